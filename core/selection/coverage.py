"""Representatives of clusters or scaffolds."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from core.chem import molecules as chem
from core.engine.spec import settings
from core.results.scores import Scores
from core.selection.checks import check_count, order_by_smiles
from core.selection.sampler import Sampler

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class Coverage(Sampler):
    """One representative of each cluster or scaffold, the largest first; then a second of each, and so on.

    `butina`: clusters of molecules within a Tanimoto distance of a centroid (Butina 1999, doi:10.1021/ci9803381; by
    RDKit). `scaffold`: molecules with the same Bemis–Murcko scaffold. The centroid of a cluster comes first; of a
    scaffold, the first in the order of SMILES.
    """

    kind: ClassVar[str] = "coverage"
    name: ClassVar[str] = "coverage"

    count: int = Field(default=100, ge=1, description="molecules to select")
    by: Literal["butina", "scaffold"] = Field(
        default="butina", description="groups: Butina clusters, or Bemis–Murcko scaffolds"
    )
    distance: float = Field(default=0.4, gt=0, lt=1, description="Tanimoto distance to a centroid, at most (butina)")

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        order = order_by_smiles(pool)
        smiles = [pool.smiles[row] for row in order]
        groups = self._scaffolds(smiles) if self.by == "scaffold" else self._butina(smiles)
        selected, depth = [], 0
        while len(selected) < self.count:
            selected += [group[depth] for group in groups if len(group) > depth]
            depth += 1
        return order[np.array(selected[: self.count], int)]

    def _scaffolds(self, smiles: list[str]) -> list[list[int]]:
        groups: dict[str, list[int]] = {}
        for row, molecule in enumerate(smiles):
            groups.setdefault(chem.scaffold(molecule), []).append(row)
        return sorted(groups.values(), key=lambda rows: (-len(rows), rows[0]))

    def _butina(self, smiles: list[str]) -> list[list[int]]:
        from rdkit import DataStructs
        from rdkit.ML.Cluster import Butina

        bits, distances = chem.bit_vectors(smiles), []
        for row in range(1, len(bits)):
            distances.extend(DataStructs.BulkTanimotoSimilarity(bits[row], bits[:row], returnDistance=True))
        clusters = Butina.ClusterData(distances, len(bits), self.distance, isDistData=True, reordering=True)
        return sorted((list(group) for group in clusters), key=lambda rows: (-len(rows), rows[0]))
