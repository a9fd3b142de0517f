"""Molecules with the best scores."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from core.samplers.count import check_count, scored
from core.scores import Scores, benefits
from core.spec import settings

if TYPE_CHECKING:
    from core.data import Dataset


@settings
class Top:
    """Molecules of the largest predicted benefit, each judged as if it were added alone.

    Near-copies are all kept, though the second adds little: `greedy` knows better. Ties go by SMILES, not by place in
    the file. Where fewer molecules help than are wanted, the least harmful ones follow.
    """

    kind: ClassVar[str] = "top"

    count: int = Field(default=100, ge=1, description="molecules to keep")
    worst: bool = Field(default=False, description="the most harmful instead: a control, which should do worse")

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        benefit = benefits(scored(self.kind, pool, scores))
        names = np.asarray(pool.smiles, dtype=str)
        return np.lexsort((names, benefit if self.worst else -benefit))[: self.count]
