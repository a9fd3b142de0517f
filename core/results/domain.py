"""Applicability domain: similarity to the training set, and the range of its size, lipophilicity, charge and elements.

A property that grows with the size of the molecule cannot be known beyond the sizes that were measured, however
familiar every single pattern looks. So similarity counts patterns, and a molecule beyond the range of the training set
is outside its domain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.chem.count_similarity import CountIndex
from core.chem.extent import QUANTITIES, list_elements, measure_extent
from core.engine.report import SILENT_REPORT, Report

NEIGHBOURS = 5
TAIL = 0.005  # share of training molecules that the range leaves out at either end; none of 200 or fewer
SAMPLE = 5000  # training molecules, evenly spaced over the table, that the range of a larger set is taken from
CHUNK_MOLECULES = 2000  # between two progress reports


@dataclass(frozen=True, eq=False)
class Position:
    """Where n molecules lie with respect to a training set."""

    nearest: np.ndarray  # (n,), the nearest training molecule
    similarities: np.ndarray  # (n, c), Tanimoto similarities of Morgan counts to the nearest c
    distance: np.ndarray  # (n,), beyond the range of the training set in its standard deviations; 0 inside
    outside: list[str]  # (n,), what is beyond the range, in words; "" inside

    @property
    def similarity(self) -> np.ndarray:
        """Similarity to the nearest training molecule (n,)."""
        return self.similarities[:, 0]


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """The range of each of `QUANTITIES` in a training set, and its elements."""

    low: np.ndarray  # (k,)
    high: np.ndarray  # (k,)
    scale: np.ndarray  # (k,) standard deviation within the range, at least the quantity's step
    whole: np.ndarray  # (k,) whether the range contains every training molecule
    elements: frozenset[str]

    @classmethod
    def of(cls, smiles: Sequence[str], report: Report = SILENT_REPORT) -> "TrainingRange":
        """The range of training molecules; of none it is unlimited. Raises `BadInput` for what cannot be read."""
        values = _measure(smiles[:: -(-len(smiles) // SAMPLE) or 1], report)
        steps = np.array([quantity.step for quantity in QUANTITIES])
        if not len(values):
            k = len(QUANTITIES)
            return cls(np.full(k, -np.inf), np.full(k, np.inf), steps, np.ones(k, bool), frozenset())
        low = np.quantile(values, TAIL, axis=0, method="lower")
        high = np.quantile(values, 1 - TAIL, axis=0, method="higher")
        scale = np.maximum(np.clip(values, low, high).std(0), steps)
        whole = (low <= values.min(0)) & (values.max(0) <= high) & (len(values) == len(smiles))
        return cls(low, high, scale, whole, frozenset().union(*map(list_elements, smiles)))

    def measure(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> tuple[np.ndarray, list[str]]:
        """How far molecules (n,) are beyond the range, 0 inside, and in what: `24 heavy atoms, training set 2–14`.

        The largest of the distances in the single quantities, each in standard deviations of the training molecules; an
        element that no training molecule has counts as 1. Raises `BadInput`.
        """
        values = _measure(smiles, report)
        excess = np.maximum(np.maximum(self.low - values, values - self.high), 0) / self.scale  # (n, k)
        unknown = [sorted(list_elements(one) - self.elements) if self.elements else [] for one in smiles]
        distance = np.maximum(excess.max(1, initial=0), [float(bool(one)) for one in unknown])
        outside = [self._describe(*row) for row in zip(values, excess, unknown, strict=True)]
        return distance, outside

    def _describe(self, values: np.ndarray, excess: np.ndarray, unknown: list[str]) -> str:
        """`24 heavy atoms, training set 2–14; element Si, not in the training set`."""
        parts = [
            f"{QUANTITIES[one].describe(values[one])}, {self.describe_range(one)}" for one in np.flatnonzero(excess > 0)
        ]
        if unknown:
            parts.append(f"element{'s' * (len(unknown) > 1)} {', '.join(unknown)}, not in the training set")
        return "; ".join(parts)

    def describe_range(self, quantity: int) -> str:
        """`training set 2–14`, or `99 % of the training set 2–14` where the extremes are left out."""
        low, high = (QUANTITIES[quantity].format(value) for value in (self.low[quantity], self.high[quantity]))
        words = "training set" if self.whole[quantity] else f"{1 - 2 * TAIL:.0%} of the training set".replace("%", " %")
        dash = " to " if "−" in low + high or "+" in low + high else "–"
        return f"{words} {low}" if low == high else f"{words} {low}{dash}{high}"


@dataclass(frozen=True, eq=False)
class Domain:
    """The molecules of a training set, to compare others with. Computed from them, so that it holds for any fit."""

    train: tuple[str, ...]
    index: CountIndex
    range: TrainingRange

    @classmethod
    def of(cls, train: Sequence[str], report: Report = SILENT_REPORT) -> "Domain":
        """Of training molecules (m,); about a millisecond each. Raises `BadInput` for what cannot be read."""
        return cls(tuple(train), CountIndex.of(train), TrainingRange.of(train, report))

    def locate(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> Position:
        """Where molecules (n,) lie. Raises `BadInput` for what cannot be read."""
        rows, similarities = [np.zeros(0, int)], [np.zeros((0, min(NEIGHBOURS, len(self.train))), np.float32)]
        for start in range(0, len(smiles), CHUNK_MOLECULES):
            report(0.5 * start / len(smiles), f"compared {start:,} of {len(smiles):,} molecules with the training set")
            neighbours, similarity = self.index.nearest(smiles[start : start + CHUNK_MOLECULES], NEIGHBOURS)
            rows.append(neighbours[:, 0])
            similarities.append(similarity)
        distance, outside = self.range.measure(smiles, report.part(0.5, 1))
        return Position(np.concatenate(rows), np.concatenate(similarities), distance, outside)


def _measure(smiles: Sequence[str], report: Report) -> np.ndarray:
    blocks = [np.zeros((0, len(QUANTITIES)))]
    for start in range(0, len(smiles), CHUNK_MOLECULES):
        report(start / len(smiles), f"measured {start:,} of {len(smiles):,} molecules")
        blocks.append(measure_extent(smiles[start : start + CHUNK_MOLECULES]))
    return np.concatenate(blocks)
