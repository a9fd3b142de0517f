"""Random molecules."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from core.engine.spec import settings
from core.results.scores import Scores
from core.selection.checks import check_count, order_by_smiles
from core.selection.sampler import Sampler, Variant

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class Uniform(Sampler):
    """Random molecules, each equally likely: the control for every other sampler.

    With the same seed, a larger `count` selects the molecules of a smaller one and more.
    """

    kind: ClassVar[str] = "uniform"
    name: ClassVar[str] = "random"
    uses_seed: ClassVar[bool] = True
    variants: ClassVar[Mapping[str, Variant]] = {"random": Variant({}, "random molecules, new ones for each seed")}

    count: int = Field(default=100, ge=1, description="molecules to select")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the draw")

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        return order_by_smiles(pool)[np.random.default_rng(self.seed).permutation(len(pool))[: self.count]]
