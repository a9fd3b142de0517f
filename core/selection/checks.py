"""Checks and helpers of several samplers: counts, scores, an order independent of the file, and allocation."""

from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING

import numpy as np

from core.engine.spec import BadInput
from core.results.scores import Scores

if TYPE_CHECKING:
    from core.data.dataset import Dataset


def check_count(kind: str, count: int, pool: Sized) -> None:
    """Raises `BadInput` where more molecules are wanted than the pool has."""
    if count > len(pool):
        raise BadInput(f"{kind} wants {count} molecules of a pool of {len(pool)}; lower `count` or give a larger pool")


def require_scores(kind: str, pool: Sized, scores: Scores | None) -> Scores:
    """The scores, for samplers that need them. Raises `BadInput` where they are missing or of another pool."""
    if scores is None:
        raise BadInput(f"{kind} ranks by influence and got no scores; give `scores`, or use uniform")
    if len(scores.table) != len(pool):
        raise BadInput(f"the scores are of {len(scores.table)} molecules, the pool has {len(pool)}; score this pool")
    return scores


def order_by_smiles(pool: "Dataset") -> np.ndarray:
    """Rows (n,) in the order of their SMILES, so that a selection does not depend on the order of the file."""
    return np.argsort(np.asarray(pool.smiles, dtype=str), kind="stable")


def allocate(sizes: Sequence[int], count: int, equal: bool = False) -> np.ndarray:
    """Split `count` over groups, in proportion to their sizes or as equally as the sizes allow.

    Remainders go to the groups with the largest fractions, of equal ones to the earlier group (Hamilton's method). The
    numbers sum to `count`, which is at most the sum of the sizes.
    """
    sizes = np.asarray(sizes)
    if equal:
        counts = np.zeros(len(sizes), int)
        while (left := count - counts.sum()) > 0:
            open_ = np.flatnonzero(counts < sizes)
            share = max(1, left // len(open_))
            for index in open_[: left if share == 1 else None]:
                counts[index] += min(share, sizes[index] - counts[index])
        return counts
    exact = count * sizes / max(sizes.sum(), 1)
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: count - counts.sum()]] += 1
    return counts
