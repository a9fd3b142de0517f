"""Molecules with the best scores."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from core.engine.spec import BadInput, settings
from core.results.scores import Scores, benefits
from core.selection.checks import check_count, scored

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class Top:
    """Molecules of the largest predicted benefit, each judged as if it were added alone.

    Near-copies are all kept, though the second adds little: `greedy` knows better. Ties go by SMILES, not by place in
    the file. Where fewer molecules help than are wanted, the least harmful ones follow.
    """

    kind: ClassVar[str] = "top"

    count: int = Field(default=100, ge=1, description="molecules to keep")
    worst: bool = Field(default=False, description="the most harmful instead: a control, which should do worse")
    cost: str = Field(
        default="", description="a column of the pool with what measuring costs: then by benefit for the money"
    )

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        benefit = benefits(scored(self.kind, pool, scores))
        if self.cost:
            price = costs(pool, self.cost)
            benefit = np.where(
                benefit > 0, benefit / price, benefit * price
            )  # a dear molecule that harms is no bargain
        names = np.asarray(pool.smiles, dtype=str)
        return np.lexsort((names, benefit if self.worst else -benefit))[: self.count]


def costs(pool: "Dataset", name: str) -> np.ndarray:
    """What measuring each molecule costs (n,), all above 0. Raises `BadInput`."""
    if name not in pool.columns:
        raise BadInput(f"the pool has no column {name!r} of costs; it has {', '.join(pool.columns) or 'none'}")
    try:
        found = np.asarray(pool.columns[name], float)
    except ValueError:
        raise BadInput(f"column {name!r} has text in it; costs are numbers above 0") from None
    if not (np.isfinite(found) & (found > 0)).all():
        raise BadInput(f"{int((~(np.isfinite(found) & (found > 0))).sum())} costs in {name!r} are no number above 0")
    return found
