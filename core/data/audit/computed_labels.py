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
    smiles: np.ndarray, labels: np.ndarray, others: np.ndarray, known: np.ndarray, seed: int = 0
) -> list[LabelRule]:
    """Every rule that was tried on labels (n,) of molecules (n,), from a table's molecules (m,) and labels (m,).

    Molecules that are in both, stereo marks aside, explain and are explained by nothing; nor do labels that are common
    (a ceiling, a class). Large tables are sampled.
    """
    generator = np.random.default_rng(seed)
    keys = np.array([chem.stereo_free_smiles(one) for one in others], object)
    shared = set(keys)
    mine = np.flatnonzero(~np.isnan(labels))
    mine = generator.permutation(mine[~_is_common(labels[mine])])
    apart = (row for row in mine if chem.stereo_free_smiles(smiles[row]) not in shared)
    mine = np.sort(np.fromiter(itertools.islice(apart, POOL), int))
    table = np.flatnonzero(~np.isnan(known))
    table = np.sort(generator.permutation(table)[:TABLE])
    if len(mine) < 10 or len(table) < 30 or np.ptp(labels[mine]) == 0:
        return []
    own = np.sort(generator.permutation(len(table))[:OWN])  # of the table, explained by its other molecules
    case = _Case(smiles[mine], labels[mine], others[table], known[table], keys[table], own, table)
    return [*_by_neighbours(case), *_by_descriptors(case), *_by_a_model(case)]


def choose_rule(tried: list[LabelRule]) -> LabelRule | None:
    """The rule that the labels follow, if there is one."""
    guilty = [rule for rule in tried if rule.coincides or rule.too_good]
    return max(guilty, key=lambda rule: rule.strength) if guilty else None


@dataclass(frozen=True, eq=False)
class _Case:
    smiles: np.ndarray
    labels: np.ndarray
    others: np.ndarray
    other_labels: np.ndarray
    keys: np.ndarray
    own: np.ndarray  # places in `others`
    rows: np.ndarray  # of `others` in the whole table

    def rule(self, words: str, values: np.ndarray, of_own: np.ndarray, **more: object) -> LabelRule:
        """How well values (n,) do, those of the table's own sample (q,) doing as usual."""
        usual = float(np.median(np.abs(of_own - self.other_labels[self.own])))
        return LabelRule(words, usual_error=usual, **_error_summary(self.labels, values), **more)


def _error_summary(labels: np.ndarray, values: np.ndarray) -> dict[str, float]:
    gaps = values - labels
    rest = float(np.mean(gaps**2) / max(np.var(labels), 1e-300))
    return {"error": float(np.median(np.abs(gaps))), "explained_variance": 1 - rest}


def count_coincidences(labels: np.ndarray, values: np.ndarray) -> tuple[int, float]:
    """How many labels are what a rule gives, to their own rounding; and the share that is, a little beside it."""
    step = max(label_resolution(labels), 2e-4 * float(np.std(labels)))
    gaps = labels - values
    beside = [np.mean(np.abs(gaps - sign * k * step) <= 0.51 * step) for k in range(2, 12) for sign in (-1, 1)]
    return int((np.abs(gaps) <= 0.51 * step).sum()), float(np.mean(beside))


def label_resolution(labels: np.ndarray) -> float:
    """The coarsest power of ten of which all labels are multiples; 1e-6 at the finest."""
    for digits in range(0, 6):
        if np.abs(labels - np.round(labels, digits)).max() < 1e-7 * max(1.0, float(np.abs(labels).max())):
            return 10.0**-digits
    return 1e-6


def _is_common(labels: np.ndarray) -> np.ndarray:
    """(n,) whether a label's value is too frequent to say where it comes from."""
    _, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return counts[places] > max(3, COMMON_SHARE * len(labels))


def _by_neighbours(case: _Case) -> Iterator[LabelRule]:
    for metric, near, of_own in _distances(case):
        order, gap = _nearest_neighbours(near)
        order_own, _ = _nearest_neighbours(of_own)
        for k in (k for k in NEIGHBOURS if k < order.shape[1]):
            values = case.other_labels[order[:, :k]].mean(1)
            clear = gap[:, k] > gap[:, k - 1] + 1e-7  # the next one is farther: no tie
            matches, chance = count_coincidences(case.labels[clear], values[clear]) if clear.sum() else (0, 0.0)
            rule = case.rule(
                f"the mean of the {k} nearest molecules’ labels ({metric})" if k > 1 else
                f"the label of the nearest molecule ({metric})",
                values,
                case.other_labels[order_own[:, :k]].mean(1),
                matches=matches,
                checkable=int(clear.sum()),
                chance_share=chance,
                source_rows=case.rows[np.unique(order[:, :k])],
            )  # fmt: skip
            if rule.coincides and not clear.all():
                some = [
                    _matches_some_tie(case, order[row], gap[row], k, case.labels[row]) for row in np.flatnonzero(~clear)
                ]
                rule = _add_ties(rule, len(some), sum(some))
            yield rule


def _add_ties(rule: LabelRule, tied: int, matches: int) -> LabelRule:
    import dataclasses

    return dataclasses.replace(rule, ties=tied, tie_matches=matches)


def _matches_some_tie(case: _Case, order: np.ndarray, gap: np.ndarray, k: int, label: float) -> bool:
    """Whether some choice among the neighbours that are equally far gives the label."""
    nearer = gap < gap[k - 1] - 1e-7
    level = np.abs(gap - gap[k - 1]) <= 1e-7
    sure, loose = case.other_labels[order[nearer]].sum(), case.other_labels[order[level]]
    wanted = k - int(nearer.sum())
    step = max(label_resolution(case.labels), 2e-4 * float(np.std(case.labels)))
    if math.comb(len(loose), wanted) > MAX_TIE_CHOICES:
        return False
    return any(
        abs((sure + sum(some)) / k - label) <= 0.51 * step for some in itertools.combinations(loose.tolist(), wanted)
    )


def _nearest_neighbours(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest columns of each row, nearest first, and their distances; inf where none is left."""
    kept = min(MAX_NEIGHBOURS, distances.shape[1])
    places = np.argpartition(distances, kept - 1, axis=1)[:, :kept]
    far = np.take_along_axis(distances, places, 1)
    order = np.lexsort((places, far), axis=1)
    return np.take_along_axis(places, order, 1), np.take_along_axis(far, order, 1)


def _distances(case: _Case) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """By each metric the distances of the molecules (n, m), and of the table's own sample (q, m), to the table's."""
    apart = case.keys[case.own][:, None] == case.keys[None, :]  # a molecule, or its stereoisomer, explains not itself

    def own(distances: np.ndarray) -> np.ndarray:
        return np.where(apart, np.inf, distances)

    bits, others = (chem.fingerprints(list(some)).astype(np.float32) for some in (case.smiles, case.others))
    both, among = bits @ others.T, others[case.own] @ others.T
    one, two = bits.sum(1)[:, None], others.sum(1)[None, :]
    mine = others[case.own].sum(1)[:, None]
    yield (
        "Tanimoto of Morgan bits, radius 2",
        1 - both / np.maximum(one + two - both, 1),
        own(1 - among / np.maximum(mine + two - among, 1)),
    )
    yield "Euclidean distance of Morgan bits, radius 2", one + two - 2 * both, own(mine + two - 2 * among)
    yield (
        "cosine of Morgan bits, radius 2",
        1 - both / np.sqrt(np.maximum(one * two, 1)),
        own(1 - among / np.sqrt(np.maximum(mine * two, 1))),
    )
    counts, theirs = (
        chem.fingerprints(list(some), counted=True).astype(np.float32) for some in (case.smiles, case.others)
    )
    squares = (theirs**2).sum(1)[None, :]
    yield (
        "Euclidean distance of Morgan counts, radius 2",
        (counts**2).sum(1)[:, None] + squares - 2 * counts @ theirs.T,
        own((theirs[case.own] ** 2).sum(1)[:, None] + squares - 2 * theirs[case.own] @ theirs.T),
    )


def _by_descriptors(case: _Case) -> Iterator[LabelRule]:
    """Labels that are a descriptor, but for scale and offset, or a linear formula of all."""
    names = properties.descriptor_names(quick=True)
    few = case.own
    mine, theirs = (
        properties.compute_descriptors(list(some), quick=True).astype(float) for some in (case.smiles, case.others[few])
    )
    known = case.other_labels[few]
    whole = np.isfinite(mine).all(0) & np.isfinite(theirs).all(0)
    whole &= (np.ptp(mine, axis=0) > 0) & (np.ptp(theirs, axis=0) > 0)
    if len(mine) >= 20:
        for place in np.flatnonzero(whole):
            values, usual = (_fit_line(x[:, place], y) for x, y in ((mine, case.labels), (theirs, known)))
            rule = case.rule(
                f"RDKit’s descriptor {names[place]}, but for scale and offset", values, usual, checkable=len(mine)
            )
            if rule.explained_variance > MIN_EXPLAINED_VARIANCE:
                yield rule
    if len(mine) >= 60 and whole.any():
        values, usual = (_cross_predict(x[:, whole], y) for x, y in ((mine, case.labels), (theirs, known)))
        yield case.rule("a linear formula of RDKit’s descriptors", values, usual, checkable=len(mine))


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

    few = np.union1d(np.random.default_rng(0).permutation(len(case.others))[:MAX_TRAINING], case.own)
    bits = chem.fingerprints(list(case.others[few])).astype(np.float32)
    model = Ridge(10.0)
    usual = cross_val_predict(model, bits, case.other_labels[few], cv=KFold(5, shuffle=True, random_state=0))
    values = model.fit(bits, case.other_labels[few]).predict(chem.fingerprints(list(case.smiles)).astype(np.float32))
    own = np.searchsorted(few, case.own)
    yield case.rule(
        "a linear model of the other table’s labels on Morgan bits", values, usual[own], checkable=len(values)
    )
