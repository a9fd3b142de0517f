"""Similarity of molecules by the counts of their Morgan patterns, which sees what bits cannot: size.

To bits every long alkane is the same molecule: the patterns are those of octane, only more of them. Tanimoto similarity
of counts is the sum of the smaller counts over the sum of the larger ones, Σ min(a, b) / Σ max(a, b) (Ruzicka; for
fingerprints: Willett, Barnard & Downs 1998, doi:10.1021/ci9800211).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rdkit.Chem import rdFingerprintGenerator

from core.chem.molecules import BITS, RADIUS, parse
from core.engine.spec import BadInput

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

QUERY_ROWS = 256  # molecules of a product at a time
OTHER_ROWS = 50_000  # molecules that they are compared with at a time
_generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)


@dataclass(frozen=True, eq=False)
class CountIndex:
    """Molecules among which the most similar are looked up. 20,000 take 12 MB; 2,000 queries take three seconds.

    A count c of a pattern is stored as c ones, one for each level 1 … c, so that Σ min(a, b) is a product of sparse
    matrices.
    """

    columns: np.ndarray  # the levels that any of the molecules has, sorted
    blocks: "tuple[csr_matrix, ...]"  # 0 and 1, float32 (at most OTHER_ROWS, columns)
    sums: np.ndarray  # (m,), the sum of the counts of each molecule

    @classmethod
    def of(cls, smiles: Sequence[str]) -> "CountIndex":
        """From m molecules. Raises `BadInput` where one cannot be read."""
        levels = [_levels(text) for text in smiles]
        columns = np.unique(np.concatenate(levels)) if levels else np.zeros(0, np.int64)
        blocks = tuple(
            _as_matrix([np.searchsorted(columns, row) for row in levels[start : start + OTHER_ROWS]], len(columns))
            for start in range(0, len(levels), OTHER_ROWS)
        )
        return cls(columns, blocks, np.array([len(row) for row in levels], np.float32))

    def similarities(self, smiles: Sequence[str]) -> np.ndarray:
        """Tanimoto similarities of counts, float32 (n, m); 1 for equal counts. Raises `BadInput`."""
        levels = [_levels(text) for text in smiles]
        dense = np.zeros((len(self.columns), len(levels)), np.float32)
        for row, one in enumerate(levels):
            dense[np.searchsorted(self.columns, one[np.isin(one, self.columns, assume_unique=True)]), row] = 1
        smaller = np.vstack([np.zeros((0, len(levels)), np.float32), *(block @ dense for block in self.blocks)]).T
        either = np.array([len(row) for row in levels], np.float32)[:, None] + self.sums[None, :] - smaller
        return np.divide(smaller, either, out=np.zeros_like(smaller), where=either > 0)

    def nearest(self, smiles: Sequence[str], count: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The `count` most similar molecules of each of `smiles`, nearest first; ties go to the earlier one.

        Indices int (n, c) and similarities float32 (n, c), c = min(count, m). Raises `BadInput`.
        """
        if count < 1:
            raise BadInput(f"nearest wants at least 1 neighbour, got {count}")
        count = min(count, len(self.sums))
        indices, values = np.zeros((len(smiles), count), int), np.zeros((len(smiles), count), np.float32)
        if not count:
            return indices, values
        for start in range(0, len(smiles), QUERY_ROWS):
            block = self.similarities(smiles[start : start + QUERY_ROWS])
            least = np.partition(block, -count, axis=1)[:, -count]
            for row, (similarities, at_least) in enumerate(zip(block, least, strict=True), start):
                candidates = np.flatnonzero(similarities >= at_least)
                order = candidates[np.argsort(-similarities[candidates], kind="stable")[:count]]
                indices[row], values[row] = order, similarities[order]
        return indices, values


def nearest_by_counts(smiles: Sequence[str], others: Sequence[str], count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """`CountIndex.nearest` among `others`, for a single look-up. Raises `BadInput`."""
    return CountIndex.of(others).nearest(smiles, count)


@functools.lru_cache(maxsize=50_000)
def _levels(smiles: str) -> np.ndarray:
    """Pattern p with count c as p, p + 2048, …, p + 2048 (c − 1): int32, as many as the sum of counts, sorted."""
    counts = _generator.GetCountFingerprintAsNumPy(parse(smiles)).astype(np.int64)
    positions = np.flatnonzero(counts)
    counts = counts[positions]
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(np.repeat(positions, counts) + BITS * steps).astype(np.int32)


def _as_matrix(rows: Sequence[np.ndarray], width: int) -> "csr_matrix":
    from scipy.sparse import csr_matrix

    ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    indices = np.concatenate(rows) if len(rows) else np.zeros(0, int)
    return csr_matrix((np.ones(len(indices), np.float32), indices, ends), shape=(len(rows), width))
