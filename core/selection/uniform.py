"""Molecules at random."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from core.engine.spec import settings
from core.results.scores import Scores
from core.selection.checks import by_name, check_count

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class Uniform:
    """Molecules at random, each as likely: the control for every other rule.

    With the same seed a larger `count` keeps the molecules of a smaller one and adds to them.
    """

    kind: ClassVar[str] = "uniform"

    count: int = Field(default=100, ge=1, description="molecules to keep")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the draw")

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        return by_name(pool)[np.random.default_rng(self.seed).permutation(len(pool))[: self.count]]
