"""Molecules with the best scores."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from core.engine.spec import BadInput, settings
from core.results.scores import Scores, read_benefits
from core.selection.checks import check_count, require_scores
from core.selection.sampler import Need, Sampler, Variant

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class Top(Sampler):
    """Molecules with the largest predicted benefit, each as if it were added alone.

    Near-duplicates are all selected, though the second adds little; `greedy` accounts for that. Ties are broken by
    SMILES, not by position in the file. Where fewer than `count` molecules help, the least harmful ones follow.
    """

    kind: ClassVar[str] = "top"
    name: ClassVar[str] = "top"
    needs: ClassVar[frozenset[Need]] = frozenset({"scores"})
    variants: ClassVar[Mapping[str, Variant]] = {
        "bottom": Variant({"worst": True}, "molecules with the largest predicted harm: a negative control")
    }

    count: int = Field(default=100, ge=1, description="molecules to select")
    worst: bool = Field(default=False, description="select the most harmful instead (negative control)")
    cost: str = Field(
        default="",
        description="column of the pool with the cost of measuring each molecule; then ranked by benefit per cost",
    )

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        benefit = read_benefits(require_scores(self.kind, pool, scores))
        if self.cost:
            price = read_costs(pool, self.cost)
            # A harmful molecule ranks lower the more it costs.
            benefit = np.where(benefit > 0, benefit / price, benefit * price)
        names = np.asarray(pool.smiles, dtype=str)
        return np.lexsort((names, benefit if self.worst else -benefit))[: self.count]


def read_costs(pool: "Dataset", name: str) -> np.ndarray:
    """Cost of measuring each molecule (n,), from column `name`. Raises `BadInput` unless all are above 0."""
    if name not in pool.columns:
        raise BadInput(f"the pool has no column {name!r} of costs; it has {', '.join(pool.columns) or 'none'}")
    try:
        costs = np.asarray(pool.columns[name], float)
    except ValueError:
        raise BadInput(f"column {name!r} has text in it; costs are numbers above 0") from None
    if not (np.isfinite(costs) & (costs > 0)).all():
        raise BadInput(f"{int((~(np.isfinite(costs) & (costs > 0))).sum())} costs in {name!r} are not numbers above 0")
    return costs
