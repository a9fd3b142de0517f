"""Stratified sampling: molecules from every stratum of the pool."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from core.chem import molecules as chem
from core.engine.spec import BadInput, settings
from core.results.scores import Scores, read_benefits
from core.selection.checks import allocate, check_count, order_by_smiles, require_scores
from core.selection.sampler import Need, Sampler

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class Stratified(Sampler):
    """Molecules of every stratum, in proportion to its size or equally: of labels, sizes, or scaffolds.

    Strata of numbers are quantiles, so all are of the same size. Each of the most common scaffolds is a stratum, and
    the rest form one. Rounding is by largest remainders. Within a stratum: random, or the most helpful.
    """

    kind: ClassVar[str] = "stratified"
    name: ClassVar[str] = "stratified"
    uses_seed: ClassVar[bool] = True

    count: int = Field(default=100, ge=1, description="molecules to select")
    by: Literal["label", "size", "scaffold"] = Field(
        default="label",
        description="what defines the strata: the label of the first task, the number of heavy atoms, or the scaffold",
    )
    bins: int = Field(default=3, ge=1, le=1000, description="number of strata; 3: low, medium, high")
    equal: bool = Field(
        default=False, description="the same number from each stratum, as far as it has them, instead of in proportion"
    )
    within: Literal["random", "benefit"] = Field(
        default="random",
        description="which molecules of a stratum: random, or those with the largest predicted benefit",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the draw")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset(
            ({"labels"} if self.by == "label" else set()) | ({"scores"} if self.within == "benefit" else set())
        )

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        if self.bins > len(pool):
            raise BadInput(f"stratified wants at most {len(pool)} bins for {len(pool)} molecules, got {self.bins}")
        order = order_by_smiles(pool)
        strata = self._strata(pool)[order]
        benefit = read_benefits(require_scores(self.kind, pool, scores))[order] if self.within == "benefit" else None
        groups = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
        random = np.random.default_rng(self.seed)
        selected = []
        for rows, count in zip(groups, allocate([len(rows) for rows in groups], self.count, self.equal), strict=True):
            candidates = (
                random.permutation(rows) if benefit is None else rows[np.argsort(-benefit[rows], kind="stable")]
            )
            selected.append(order[candidates[:count]])
        return np.concatenate(selected)

    def _strata(self, pool: "Dataset") -> np.ndarray:
        """Number of each molecule's stratum (n,)."""
        if self.by == "scaffold":
            names = np.array([chem.scaffold(smiles) for smiles in pool.smiles], object)
            scaffolds, counts = np.unique(names.astype(str), return_counts=True)
            common = scaffolds[np.lexsort((scaffolds, -counts))][: self.bins - 1]
            strata = {name: number for number, name in enumerate(common)}
            return np.array([strata.get(name, self.bins) for name in names])
        if self.by == "size":
            values = np.array([chem.parse(smiles).GetNumHeavyAtoms() for smiles in pool.smiles], float)
        else:
            values = pool.targets[:, 0] if pool.tasks else np.full(len(pool), np.nan)
            if np.isnan(values).any():
                raise BadInput(
                    f"{int(np.isnan(values).sum())} of {len(pool)} molecules have no label to stratify by; use size, "
                    "scaffold, or leave them out"
                )
        cuts = np.quantile(values, np.arange(1, self.bins) / self.bins)
        return np.searchsorted(cuts, values, side="left")
