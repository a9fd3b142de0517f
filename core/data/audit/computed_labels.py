"""Whether the labels of a table look computed from another table, by a rule simple enough to be found again.

Two signs, each beside what honest labels would show. Labels that *coincide* with what a rule gives, more often than
they coincide with values a little beside it. And a rule that foretells the labels *better than it foretells those of
the table it is made from*: measured labels carry a noise and a chemistry of their own, which no rule has seen.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from core.chem import descriptors as properties
from core.chem import molecules as chem

NEIGHBOURS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20)  # numbers of neighbours that are tried
MAX_NEIGHBOURS = 64  # nearest molecules that are looked at, so that ties at the last neighbour are seen
POOL, TABLE, OWN = 1000, 20_000, 400  # molecules at most: that are explained, that explain, the latter's own sample
MAX_TRAINING = 4000  # of the table at most that a model learns from
MAX_TIE_CHOICES = 20_000  # ways to break a tie that are tried
COMMON_SHARE = 0.02  # share of the labels from which on a value is a ceiling or a class, and coincides with anything
MAX_P_VALUE = 1e-9  # chance of so many coincidences below which they are none; some hundred rules are tried
SMALL_ERROR_RATIO = 0.4  # times a rule's usual error below which the labels follow it too well
MIN_EXPLAINED_VARIANCE = 0.8  # share of the labels' variance that it has to explain besides


@dataclass(frozen=True, eq=False)
class LabelRule:
    """A way to compute the labels, and how well it does.

    `matches` of `checkable` labels coincide with it, where `chance_share` (a share) would by accident; `error` is the median
    absolute error, `usual_error` that on the other table; `explained_variance`, the share of the labels' variance. `source_rows`: rows of
    the other table that it reads for any label.
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
        from scipy.stats import binom

        if self.checkable < 10 or self.matches < max(5, 0.1 * self.checkable):
            return False
        return bool(
            binom.sf(self.matches - 1, self.checkable, max(self.chance_share, 0.5 / self.checkable)) < MAX_P_VALUE
        )

    @property
    def too_good(self) -> bool:
        return (
            self.checkable >= 20
            and self.error < SMALL_ERROR_RATIO * self.usual_error
            and self.explained_variance > MIN_EXPLAINED_VARIANCE
        )

    @property
    def strength(self) -> tuple[float, float]:
        """What the best rule has most of: coincidences, then how small its error is beside the usual one."""
        return (
            self.matches / max(self.checkable, 1) if self.coincides else 0.0,
            -self.error / max(self.usual_error, 1e-300),
        )


def try_rules(
    smiles: np.ndarray, labels: np.ndarray, others: np.ndarray, other_labels: np.ndarray, seed: int = 0
) -> list[LabelRule]:
    """Every rule that was tried on labels (n,) of molecules (n,), from a table's molecules (m,) and labels (m,).

    Molecules that are in both, stereo marks aside, explain and are explained by nothing; nor do labels that are common
    (a ceiling, a class). Large tables are sampled.
    """
    generator = np.random.default_rng(seed)
    keys = np.array([chem.stereo_free_smiles(molecule) for molecule in others], object)
    shared = set(keys)
    pool_rows = np.flatnonzero(~np.isnan(labels))
    pool_rows = generator.permutation(pool_rows[~_is_common(labels[pool_rows])])
    unshared_rows = (row for row in pool_rows if chem.stereo_free_smiles(smiles[row]) not in shared)
    pool_rows = np.sort(np.fromiter(itertools.islice(unshared_rows, POOL), int))
    table_rows = np.flatnonzero(~np.isnan(other_labels))
    table_rows = np.sort(generator.permutation(table_rows)[:TABLE])
    if len(pool_rows) < 10 or len(table_rows) < 30 or np.ptp(labels[pool_rows]) == 0:
        return []
    sample = np.sort(generator.permutation(len(table_rows))[:OWN])  # of the table, explained by its other molecules
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
    """The rule that the labels follow, if there is one."""
    candidates = [rule for rule in rules if rule.coincides or rule.too_good]
    return max(candidates, key=lambda rule: rule.strength) if candidates else None


@dataclass(frozen=True, eq=False)
class _Case:
    smiles: np.ndarray
    labels: np.ndarray
    others: np.ndarray
    other_labels: np.ndarray
    keys: np.ndarray
    own: np.ndarray  # places in `others`
    rows: np.ndarray  # of `others` in the whole table

    def rule(self, description: str, values: np.ndarray, sample_values: np.ndarray, **more: object) -> LabelRule:
        """How well values (n,) do, those of the table's own sample (q,) doing as usual."""
        usual_error = float(np.median(np.abs(sample_values - self.other_labels[self.own])))
        return LabelRule(description, usual_error=usual_error, **_error_summary(self.labels, values), **more)


def _error_summary(labels: np.ndarray, values: np.ndarray) -> dict[str, float]:
    errors = values - labels
    unexplained = float(np.mean(errors**2) / max(np.var(labels), 1e-300))
    return {"error": float(np.median(np.abs(errors))), "explained_variance": 1 - unexplained}


def count_coincidences(labels: np.ndarray, values: np.ndarray) -> tuple[int, float]:
    """How many labels are what a rule gives, to their own rounding; and the share that is, a little beside it."""
    step = max(label_resolution(labels), 2e-4 * float(np.std(labels)))
    gaps = labels - values
    offset_shares = [np.mean(np.abs(gaps - sign * k * step) <= 0.51 * step) for k in range(2, 12) for sign in (-1, 1)]
    return int((np.abs(gaps) <= 0.51 * step).sum()), float(np.mean(offset_shares))


def label_resolution(labels: np.ndarray) -> float:
    """The coarsest power of ten of which all labels are multiples; 1e-6 at the finest."""
    for digits in range(0, 6):
        if np.abs(labels - np.round(labels, digits)).max() < 1e-7 * max(1.0, float(np.abs(labels).max())):
            return 10.0**-digits
    return 1e-6


def _is_common(labels: np.ndarray) -> np.ndarray:
    """(n,) whether a label's value is too frequent to say where it comes from."""
    _, value_index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return counts[value_index] > max(3, COMMON_SHARE * len(labels))


def _by_neighbours(case: _Case) -> Iterator[LabelRule]:
    for metric, distances, sample_distances in _distances(case):
        order, gap = _nearest_neighbours(distances)
        sample_order, _ = _nearest_neighbours(sample_distances)
        for k in (k for k in NEIGHBOURS if k < order.shape[1]):
            values = case.other_labels[order[:, :k]].mean(1)
            untied = gap[:, k] > gap[:, k - 1] + 1e-7  # the next one is farther: no tie
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
    """Whether some choice among the neighbours that are equally far gives the label."""
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
    """The nearest columns of each row, nearest first, and their distances; inf where none is left."""
    count = min(MAX_NEIGHBOURS, distances.shape[1])
    columns = np.argpartition(distances, count - 1, axis=1)[:, :count]
    nearest = np.take_along_axis(distances, columns, 1)
    order = np.lexsort((columns, nearest), axis=1)
    return np.take_along_axis(columns, order, 1), np.take_along_axis(nearest, order, 1)


def _distances(case: _Case) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """By each metric the distances of the molecules (n, m), and of the table's own sample (q, m), to the table's."""
    same_molecule = (
        case.keys[case.own][:, None] == case.keys[None, :]
    )  # a molecule, or its stereoisomer, explains not itself

    def own(distances: np.ndarray) -> np.ndarray:
        return np.where(same_molecule, np.inf, distances)

    bits, others = (chem.fingerprints(list(molecules)).astype(np.float32) for molecules in (case.smiles, case.others))
    shared_bits, sample_shared_bits = bits @ others.T, others[case.own] @ others.T
    bit_counts, other_bit_counts = bits.sum(1)[:, None], others.sum(1)[None, :]
    sample_bit_counts = others[case.own].sum(1)[:, None]
    yield (
        "Tanimoto of Morgan bits, radius 2",
        1 - shared_bits / np.maximum(bit_counts + other_bit_counts - shared_bits, 1),
        own(1 - sample_shared_bits / np.maximum(sample_bit_counts + other_bit_counts - sample_shared_bits, 1)),
    )
    yield (
        "Euclidean distance of Morgan bits, radius 2",
        bit_counts + other_bit_counts - 2 * shared_bits,
        own(sample_bit_counts + other_bit_counts - 2 * sample_shared_bits),
    )
    yield (
        "cosine of Morgan bits, radius 2",
        1 - shared_bits / np.sqrt(np.maximum(bit_counts * other_bit_counts, 1)),
        own(1 - sample_shared_bits / np.sqrt(np.maximum(sample_bit_counts * other_bit_counts, 1))),
    )
    counts, other_counts = (
        chem.fingerprints(list(molecules), counted=True).astype(np.float32) for molecules in (case.smiles, case.others)
    )
    other_squares = (other_counts**2).sum(1)[None, :]
    yield (
        "Euclidean distance of Morgan counts, radius 2",
        (counts**2).sum(1)[:, None] + other_squares - 2 * counts @ other_counts.T,
        own(
            (other_counts[case.own] ** 2).sum(1)[:, None] + other_squares - 2 * other_counts[case.own] @ other_counts.T
        ),
    )


def _by_descriptors(case: _Case) -> Iterator[LabelRule]:
    """Labels that are a descriptor, but for scale and offset, or a linear formula of all."""
    names = properties.descriptor_names(quick=True)
    sample = case.own
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
                f"RDKit’s descriptor {names[column]}, but for scale and offset",
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
    """What ridge regression on standardised columns says of each fifth from the others."""
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict

    scaled = properties.Scaling.of(x, list(map(str, range(x.shape[1]))))(x, list(map(str, range(x.shape[1]))))
    model = RidgeCV(np.logspace(-4, 4, 9))
    return cross_val_predict(model, scaled.astype(float), y, cv=KFold(5, shuffle=True, random_state=0))


def _by_a_model(case: _Case) -> Iterator[LabelRule]:
    """Labels that a linear model of the other table gives: predictions, not measurements."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold, cross_val_predict

    training_rows = np.union1d(np.random.default_rng(0).permutation(len(case.others))[:MAX_TRAINING], case.own)
    bits = chem.fingerprints(list(case.others[training_rows])).astype(np.float32)
    model = Ridge(10.0)
    cross_predictions = cross_val_predict(
        model, bits, case.other_labels[training_rows], cv=KFold(5, shuffle=True, random_state=0)
    )
    values = model.fit(bits, case.other_labels[training_rows]).predict(
        chem.fingerprints(list(case.smiles)).astype(np.float32)
    )
    sample = np.searchsorted(training_rows, case.own)
    yield case.rule(
        "a linear model of the other table’s labels on Morgan bits",
        values,
        cross_predictions[sample],
        checkable=len(values),
    )
