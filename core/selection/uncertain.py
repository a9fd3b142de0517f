"""Molecules whose prediction is most uncertain."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from core.engine.spec import BadInput, settings
from core.results.scores import Scores
from core.selection.checks import check_count, require_scores
from core.selection.sampler import Need, Sampler

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class Uncertainty(Sampler):
    """Molecules with the most uncertain prediction: uncertainty sampling, which often selects outliers.

    `leverage`: how far a prediction would follow the molecule's own label, in the model linearised in its weights;
    needs scores by the dual solver. `fits`: the standard deviation of predictions over models of several seeds; needs
    scores averaged over them. `informative` instead measures the information about the target.
    """

    kind: ClassVar[str] = "uncertain"
    name: ClassVar[str] = "uncertainty"

    count: int = Field(default=100, ge=1, description="molecules to select")
    by: Literal["leverage", "fits"] = Field(
        default="leverage", description="measure of uncertainty: leverage, or spread over models of several seeds"
    )

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"scores", "dual" if self.by == "leverage" else "several models"})

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        table = require_scores(self.kind, pool, scores).table
        column = {"leverage": "leverage", "fits": "prediction_sd"}[self.by]
        columns = [name for name in table if str(name).split(":")[0] == column]
        if not columns:
            remedy = "score with the dual solver" if self.by == "leverage" else "average scores over several models"
            raise BadInput(f"these scores have no {column}, which `by: {self.by}` needs; {remedy}")
        values = table[columns].to_numpy(float)
        values = (values / np.maximum(np.nanmean(values, axis=0), 1e-300)).max(1)
        if not np.isfinite(values).all():
            raise BadInput(f"{int((~np.isfinite(values)).sum())} of {len(values)} are not finite; score again")
        return np.lexsort((np.asarray(pool.smiles, dtype=str), -values))[: self.count]
