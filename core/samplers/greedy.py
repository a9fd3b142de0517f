"""Molecules one after another, each judged after those already kept."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from core.last_layer import greedy
from core.samplers.count import check_count, scored
from core.scores import Scores
from core.spec import BadInput, settings

if TYPE_CHECKING:
    from core.data import Dataset


@settings
class Greedy:
    """One molecule after another, each the one whose whole step leaves the least target loss.

    The step is that of the last layer in closed form over fixed features (`core.last_layer`): ridge regression on what
    enters the last layer, standardised. Counts what copies share and how far a molecule really moves the model, which
    first-order scores do not. Labels of a binary task are fitted as numbers.
    """

    kind: ClassVar[str] = "greedy"

    count: int = Field(default=100, ge=1, description="molecules to keep")
    damping: float = Field(default=20.0, gt=0, description="ridge of the last layer, in molecules")
    stop_when_worse: bool = Field(default=False, description="keep fewer when none is left that lowers the target loss")

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        arrays = scored(self.kind, pool, scores).last_layer
        if not arrays:
            raise BadInput("these scores keep no features of the last layer (the pool is very large); use top instead")
        faulty = [name for name, value in arrays.items() if not np.isfinite(value).all() and "labels" not in name]
        if faulty:
            raise BadInput(f"features of {', '.join(faulty)} are not finite; train again with a lower learning rate")
        rows, _ = greedy(arrays, self.count, self.damping, self.stop_when_worse)
        if not len(rows):
            raise BadInput("no molecule of the pool lowers the target loss; turn `stop_when_worse` off")
        return rows
