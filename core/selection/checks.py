"""What samplers check first, and the order in which they look at a pool: not that of the file."""

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
    """The scores, which this sampler needs. Raises `BadInput` where they are missing or of another pool."""
    if scores is None:
        raise BadInput(f"{kind} ranks by influence and got no scores; give `scores`, or use uniform")
    if len(scores.table) != len(pool):
        raise BadInput(f"the scores are of {len(scores.table)} molecules, the pool has {len(pool)}; score this pool")
    return scores


def order_by_smiles(pool: "Dataset") -> np.ndarray:
    """Rows (n,) in the order of their SMILES, so that a choice does not hang on the order of the file."""
    return np.argsort(np.asarray(pool.smiles, dtype=str), kind="stable")


def allocate(sizes: Sequence[int], count: int, equal: bool = False) -> np.ndarray:
    """How many of `count` each group gives, in proportion to its size, or as equally as the sizes allow.

    What rounding leaves goes to the largest remainders, of equal ones to the earlier group (Hamilton's method). The
    numbers add up to `count`, which is at most the sum of the sizes.
    """
    sizes = np.asarray(sizes)
    if equal:
        given = np.zeros(len(sizes), int)
        while (left := count - given.sum()) > 0:
            open_ = np.flatnonzero(given < sizes)
            share = max(1, left // len(open_))
            for place in open_[: left if share == 1 else None]:
                given[place] += min(share, sizes[place] - given[place])
        return given
    exact = count * sizes / max(sizes.sum(), 1)
    given = np.floor(exact).astype(int)
    order = np.argsort(-(exact - given), kind="stable")
    given[order[: count - given.sum()]] += 1
    return given
