"""Molecules far apart."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from core.chem import molecules as chem
from core.engine.spec import settings
from core.results.scores import Scores
from core.selection.checks import check_count, order_by_smiles
from core.selection.feature_space import Space, farthest_first, feature_matrix, needs_of
from core.selection.sampler import Need, Sampler

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class MaxMin(Sampler):
    """Diverse molecules: each next one is the farthest from those already selected.

    In fingerprints by RDKit's picker and Tanimoto distance (Ashton et al. 2002, doi:10.1002/qsar.200290002). Every
    molecule of the pool ends within twice the best possible distance of a selected one (Gonzalez 1985). It tends to
    select outliers, wrong structures among them.
    """

    kind: ClassVar[str] = "maxmin"
    name: ClassVar[str] = "MaxMin"
    uses_seed: ClassVar[bool] = True

    count: int = Field(default=100, ge=1, description="molecules to select")
    space: Space = Field(default="fingerprints", description="feature space in which distances are measured")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed: draws the first molecule")

    @property
    def needs(self) -> frozenset[Need]:
        return needs_of(self.space)

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        order = order_by_smiles(pool)
        first = int(np.random.default_rng(self.seed).integers(len(pool)))
        if self.space != "fingerprints":
            return order[farthest_first(feature_matrix(pool, scores, self.space)[order], self.count, first)]
        from rdkit.SimDivFilters import rdSimDivPickers

        bits = chem.bit_vectors([pool.smiles[row] for row in order])
        selected = rdSimDivPickers.MaxMinPicker().LazyBitVectorPick(bits, len(bits), self.count, [first], seed=42)
        return order[np.array(list(selected), int)]
