"""Molecules whose prediction is least sure."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from core.engine.spec import BadInput, settings
from core.results.scores import Scores
from core.selection.checks import check_count, scored

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class Uncertain:
    """Molecules whose prediction is least sure, whatever the target: active learning's first rule; often outliers.

    `leverage`: by the fit as the linear model of its slopes, how far a prediction would follow a label of its own;
    wants scores by the dual. `fits`: by how far the fits of several seeds are apart; wants scores by several fits.
    `informative` asks instead what a measurement would tell of the target.
    """

    kind: ClassVar[str] = "uncertain"

    count: int = Field(default=100, ge=1, description="molecules to keep")
    by: Literal["leverage", "fits"] = Field(default="leverage", description="whose uncertainty")

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        table = scored(self.kind, pool, scores).table
        told = {"leverage": "leverage", "fits": "prediction_sd"}[self.by]
        wanted = [name for name in table if str(name).split(":")[0] == told]
        if not wanted:
            other = "score by the dual" if self.by == "leverage" else "score by several fits"
            raise BadInput(f"these scores do not tell how unsure a prediction is by its {self.by}; {other}")
        values = table[wanted].to_numpy(float)
        values = (values / np.maximum(np.nanmean(values, axis=0), 1e-300)).max(1)
        if not np.isfinite(values).all():
            raise BadInput(f"{int((~np.isfinite(values)).sum())} of {len(values)} are not finite; score again")
        return np.lexsort((np.asarray(pool.smiles, dtype=str), -values))[: self.count]
