"""Detects labels of a table that were computed from another table by a simple rule.

Two signs, each compared with what measured labels show. First, labels *equal* the values of a rule more often than they
equal values slightly shifted from them. Second, a rule predicts the labels *better than it predicts those of the table
it is derived from*: measured labels have noise and structure that no rule reproduces.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from core.chem import descriptors as properties
from core.chem import molecules as chem

NEIGHBOURS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20)  # numbers of neighbours to try
MAX_NEIGHBOURS = 64  # nearest molecules to search, so that ties at the last neighbour are found
# At most this many molecules: of the pool, of the other table, and of the sample of that table.
MAX_POOL, MAX_TABLE, MAX_SAMPLE = 1000, 20_000, 400
MAX_TRAINING = 4000  # molecules of the table that a model is trained on
MAX_TIE_CHOICES = 20_000  # ways to break a tie to try
COMMON_SHARE = 0.02  # share of labels above which a value is a ceiling or a class, so equality means nothing
MAX_P_VALUE = 1e-9  # p-value below which the matches are not by chance; some hundred rules are tried
SMALL_ERROR_RATIO = 0.4  # fraction of a rule's usual error below which the labels follow it too closely
MIN_EXPLAINED_VARIANCE = 0.8  # and share of the labels' variance that it must explain


@dataclass(frozen=True, eq=False)
class LabelRule:
    """A way to compute the labels, and how well it does.

    `matches` of `checkable` labels equal its values; the share `chance_share` would by chance. `error`: median absolute
    error; `usual_error`: the same on the other table; `explained_variance`: share of the labels' variance.
    `tie_matches` of `ties` labels match for some choice among equally distant neighbours. `source_rows`: rows of the
    other table that the rule reads.
    """

    description: str
    matches: int = 0
    checkable: int = 0
    chance_share: float = 0.0
    error: float = math.nan
    usual_error: float = math.nan
    explained_variance: float = math.nan
    ties: int = 0
    tie_matches: int = 0
    source_rows: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    @property
    def coincides(self) -> bool:
        """Whether more labels match than chance allows (binomial test)."""
        from scipy.stats import binom

        if self.checkable < 10 or self.matches < max(5, 0.1 * self.checkable):
            return False
        return bool(
            binom.sf(self.matches - 1, self.checkable, max(self.chance_share, 0.5 / self.checkable)) < MAX_P_VALUE
        )

    @property
    def too_good(self) -> bool:
        """Whether the error is much smaller than on the other table, and the variance mostly explained."""
        return (
            self.checkable >= 20
            and self.error < SMALL_ERROR_RATIO * self.usual_error
            and self.explained_variance > MIN_EXPLAINED_VARIANCE
        )

    @property
    def strength(self) -> tuple[float, float]:
        """Key to rank rules: the share of matches, then how small the error is relative to the usual one."""
        return (
            self.matches / max(self.checkable, 1) if self.coincides else 0.0,
            -self.error / max(self.usual_error, 1e-300),
        )


def try_rules(
    smiles: np.ndarray, labels: np.ndarray, others: np.ndarray, other_labels: np.ndarray, seed: int = 0
) -> list[LabelRule]:
    """All rules, evaluated on labels (n,) of molecules (n,), from another table's molecules (m,) and labels (m,).

    Molecules in both tables (ignoring stereo) are left out, as are labels with a frequent value (a ceiling, a class).
    Large tables are sampled. Returns [] if there are too few labels.
    """
    generator = np.random.default_rng(seed)
    keys = np.array([chem.stereo_free_smiles(molecule) for molecule in others], object)
    shared = set(keys)
    pool_rows = np.flatnonzero(~np.isnan(labels))
    pool_rows = generator.permutation(pool_rows[~_is_common(labels[pool_rows])])
    unshared_rows = (row for row in pool_rows if chem.stereo_free_smiles(smiles[row]) not in shared)
    pool_rows = np.sort(np.fromiter(itertools.islice(unshared_rows, MAX_POOL), int))
    table_rows = np.flatnonzero(~np.isnan(other_labels))
    table_rows = np.sort(generator.permutation(table_rows)[:MAX_TABLE])
    if len(pool_rows) < 10 or len(table_rows) < 30 or np.ptp(labels[pool_rows]) == 0:
        return []
    sample = np.sort(
        generator.permutation(len(table_rows))[:MAX_SAMPLE]
    )  # of the table, predicted from its other molecules
    case = _Case(
        smiles[pool_rows],
        labels[pool_rows],
        others[table_rows],
        other_labels[table_rows],
        keys[table_rows],
        sample,
        table_rows,
    )
    return [*_by_neighbours(case), *_by_descriptors(case), *_by_a_model(case)]


def choose_rule(rules: list[LabelRule]) -> LabelRule | None:
    """The best rule that the labels follow, or None."""
    candidates = [rule for rule in rules if rule.coincides or rule.too_good]
    return max(candidates, key=lambda rule: rule.strength) if candidates else None


@dataclass(frozen=True, eq=False)
class _Case:
    smiles: np.ndarray
    labels: np.ndarray
    others: np.ndarray
    other_labels: np.ndarray
    keys: np.ndarray
    sample: np.ndarray  # indices into `others`
    rows: np.ndarray  # row of each of `others` in the full table

    def rule(self, description: str, values: np.ndarray, sample_values: np.ndarray, **more: object) -> LabelRule:
        """A rule with values (n,) for the pool; its values (q,) for the table's sample give the usual error."""
        usual_error = float(np.median(np.abs(sample_values - self.other_labels[self.sample])))
        return LabelRule(description, usual_error=usual_error, **_error_summary(self.labels, values), **more)


def _error_summary(labels: np.ndarray, values: np.ndarray) -> dict[str, float]:
    errors = values - labels
    unexplained = float(np.mean(errors**2) / max(np.var(labels), 1e-300))
    return {"error": float(np.median(np.abs(errors))), "explained_variance": 1 - unexplained}


def count_coincidences(labels: np.ndarray, values: np.ndarray) -> tuple[int, float]:
    """How many labels equal a rule's values, to the labels' rounding; and the share that equals shifted values."""
    step = max(label_resolution(labels), 2e-4 * float(np.std(labels)))
    gaps = labels - values
    offset_shares = [np.mean(np.abs(gaps - sign * k * step) <= 0.51 * step) for k in range(2, 12) for sign in (-1, 1)]
    return int((np.abs(gaps) <= 0.51 * step).sum()), float(np.mean(offset_shares))


def label_resolution(labels: np.ndarray) -> float:
    """The largest power of ten of which all labels are multiples; at least 1e-6."""
    for digits in range(0, 6):
        if np.abs(labels - np.round(labels, digits)).max() < 1e-7 * max(1.0, float(np.abs(labels).max())):
            return 10.0**-digits
    return 1e-6


def _is_common(labels: np.ndarray) -> np.ndarray:
    """(n,) whether a label's value is too frequent to show its origin."""
    _, value_index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return counts[value_index] > max(3, COMMON_SHARE * len(labels))


def _by_neighbours(case: _Case) -> Iterator[LabelRule]:
    for metric, distances, sample_distances in _distances(case):
        order, gap = _nearest_neighbours(distances)
        sample_order, _ = _nearest_neighbours(sample_distances)
        for k in (k for k in NEIGHBOURS if k < order.shape[1]):
            values = case.other_labels[order[:, :k]].mean(1)
            untied = gap[:, k] > gap[:, k - 1] + 1e-7  # the next neighbour is farther: no tie
            matches, chance = count_coincidences(case.labels[untied], values[untied]) if untied.sum() else (0, 0.0)
            rule = case.rule(
                f"the mean of the {k} nearest molecules’ labels ({metric})" if k > 1 else
                f"the label of the nearest molecule ({metric})",
                values,
                case.other_labels[sample_order[:, :k]].mean(1),
                matches=matches,
                checkable=int(untied.sum()),
                chance_share=chance,
                source_rows=case.rows[np.unique(order[:, :k])],
            )  # fmt: skip
            if rule.coincides and not untied.all():
                tie_matches = [
                    _matches_some_tie(case, order[row], gap[row], k, case.labels[row])
                    for row in np.flatnonzero(~untied)
                ]
                rule = _add_ties(rule, len(tie_matches), sum(tie_matches))
            yield rule


def _add_ties(rule: LabelRule, tied: int, matches: int) -> LabelRule:
    import dataclasses

    return dataclasses.replace(rule, ties=tied, tie_matches=matches)


def _matches_some_tie(case: _Case, order: np.ndarray, gap: np.ndarray, k: int, label: float) -> bool:
    """Whether some choice among equally distant neighbours gives the label."""
    nearer = gap < gap[k - 1] - 1e-7
    tied = np.abs(gap - gap[k - 1]) <= 1e-7
    nearer_sum, tied_labels = case.other_labels[order[nearer]].sum(), case.other_labels[order[tied]]
    missing = k - int(nearer.sum())
    step = max(label_resolution(case.labels), 2e-4 * float(np.std(case.labels)))
    if math.comb(len(tied_labels), missing) > MAX_TIE_CHOICES:
        return False
    return any(
        abs((nearer_sum + sum(choice)) / k - label) <= 0.51 * step
        for choice in itertools.combinations(tied_labels.tolist(), missing)
    )


def _nearest_neighbours(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest columns of each row, nearest first, and their distances; inf where there is none."""
    count = min(MAX_NEIGHBOURS, distances.shape[1])
    columns = np.argpartition(distances, count - 1, axis=1)[:, :count]
    nearest = np.take_along_axis(distances, columns, 1)
    order = np.lexsort((columns, nearest), axis=1)
    return np.take_along_axis(columns, order, 1), np.take_along_axis(nearest, order, 1)


def _distances(case: _Case) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """For each metric, distances of the pool (n, m) and of the table's sample (q, m) to the table's molecules."""
    same_molecule = case.keys[case.sample][:, None] == case.keys[None, :]  # or a stereoisomer

    def exclude_same(distances: np.ndarray) -> np.ndarray:
        return np.where(same_molecule, np.inf, distances)

    bits, others = (chem.fingerprints(list(molecules)).astype(np.float32) for molecules in (case.smiles, case.others))
    shared_bits, sample_shared_bits = bits @ others.T, others[case.sample] @ others.T
    bit_counts, other_bit_counts = bits.sum(1)[:, None], others.sum(1)[None, :]
    sample_bit_counts = others[case.sample].sum(1)[:, None]
    yield (
        "Tanimoto of Morgan bits, radius 2",
        1 - shared_bits / np.maximum(bit_counts + other_bit_counts - shared_bits, 1),
        exclude_same(1 - sample_shared_bits / np.maximum(sample_bit_counts + other_bit_counts - sample_shared_bits, 1)),
    )
    yield (
        "Euclidean distance of Morgan bits, radius 2",
        bit_counts + other_bit_counts - 2 * shared_bits,
        exclude_same(sample_bit_counts + other_bit_counts - 2 * sample_shared_bits),
    )
    yield (
        "cosine of Morgan bits, radius 2",
        1 - shared_bits / np.sqrt(np.maximum(bit_counts * other_bit_counts, 1)),
        exclude_same(1 - sample_shared_bits / np.sqrt(np.maximum(sample_bit_counts * other_bit_counts, 1))),
    )
    counts, other_counts = (
        chem.fingerprints(list(molecules), counted=True).astype(np.float32) for molecules in (case.smiles, case.others)
    )
    other_squares = (other_counts**2).sum(1)[None, :]
    yield (
        "Euclidean distance of Morgan counts, radius 2",
        (counts**2).sum(1)[:, None] + other_squares - 2 * counts @ other_counts.T,
        exclude_same(
            (other_counts[case.sample] ** 2).sum(1)[:, None]
            + other_squares
            - 2 * other_counts[case.sample] @ other_counts.T
        ),
    )


def _by_descriptors(case: _Case) -> Iterator[LabelRule]:
    """Labels that are one descriptor, up to scale and offset, or a linear formula of all descriptors."""
    names = properties.descriptor_names(quick=True)
    sample = case.sample
    pool_values, sample_values = (
        properties.compute_descriptors(list(molecules), quick=True).astype(float)
        for molecules in (case.smiles, case.others[sample])
    )
    sample_labels = case.other_labels[sample]
    usable = np.isfinite(pool_values).all(0) & np.isfinite(sample_values).all(0)
    usable &= (np.ptp(pool_values, axis=0) > 0) & (np.ptp(sample_values, axis=0) > 0)
    if len(pool_values) >= 20:
        for column in np.flatnonzero(usable):
            values, sample_fit = (
                _fit_line(x[:, column], y) for x, y in ((pool_values, case.labels), (sample_values, sample_labels))
            )
            rule = case.rule(
                f"RDKit’s descriptor {names[column]}, up to scale and offset",
                values,
                sample_fit,
                checkable=len(pool_values),
            )
            if rule.explained_variance > MIN_EXPLAINED_VARIANCE:
                yield rule
    if len(pool_values) >= 60 and usable.any():
        values, sample_fit = (
            _cross_predict(x[:, usable], y) for x, y in ((pool_values, case.labels), (sample_values, sample_labels))
        )
        yield case.rule("a linear formula of RDKit’s descriptors", values, sample_fit, checkable=len(pool_values))


def _fit_line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    slope, offset = np.polyfit(x, y, 1)
    return slope * x + offset


def _cross_predict(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Five-fold cross-validated predictions of ridge regression on standardised columns (n, p)."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict

    scaled = properties.Scaling.of(x, list(map(str, range(x.shape[1]))))(x, list(map(str, range(x.shape[1]))))
    model = RidgeCV(np.logspace(-4, 4, 9))
    return cross_val_predict(model, scaled.astype(float), y, cv=KFold(5, shuffle=True, random_state=0))


def _by_a_model(case: _Case) -> Iterator[LabelRule]:
    """Labels that are predictions of a linear model trained on the other table."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold, cross_val_predict

    training_rows = np.union1d(np.random.default_rng(0).permutation(len(case.others))[:MAX_TRAINING], case.sample)
    bits = chem.fingerprints(list(case.others[training_rows])).astype(np.float32)
    model = Ridge(10.0)
    cross_predictions = cross_val_predict(
        model, bits, case.other_labels[training_rows], cv=KFold(5, shuffle=True, random_state=0)
    )
    values = model.fit(bits, case.other_labels[training_rows]).predict(
        chem.fingerprints(list(case.smiles)).astype(np.float32)
    )
    sample = np.searchsorted(training_rows, case.sample)
    yield case.rule(
        "a linear model of the other table’s labels on Morgan bits",
        values,
        cross_predictions[sample],
        checkable=len(values),
    )
