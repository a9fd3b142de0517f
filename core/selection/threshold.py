"""Molecules whose predicted benefit is significant."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from core.engine.spec import BadInput, settings
from core.results.scores import Scores, read_benefits
from core.selection.checks import check_count, require_scores
from core.selection.sampler import Need, Sampler

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class Threshold(Sampler):
    """Molecules whose 95 % interval of ΔL excludes zero on the helpful side, the most helpful first.

    Often fewer than `count`. One in twenty such intervals misses the true value, so among many useless molecules some
    pass.
    """

    kind: ClassVar[str] = "threshold"
    name: ClassVar[str] = "threshold"
    needs: ClassVar[frozenset[Need]] = frozenset({"scores", "intervals"})

    count: int = Field(default=100, ge=1, description="molecules to select at most")
    by: Literal["delta_loss", "whole_step"] = Field(
        default="delta_loss", description="the first-order score, or the effect of the molecule's full update"
    )

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        scores = require_scores(self.kind, pool, scores)
        read_benefits(scores)  # raises where the scores give no ranking
        if f"{self.by}_high" not in scores.table:
            raise BadInput("these scores have no intervals; score with the dual solver or several models, or use top")
        values, high = (scores.table[name].to_numpy(float) for name in (self.by, f"{self.by}_high"))
        order = np.lexsort((np.asarray(pool.smiles, dtype=str), values))
        significant = order[high[order] < 0]
        if not len(significant):
            raise BadInput(
                "no molecule has an interval below zero, so none certainly helps; use top, or a larger target"
            )
        return significant[: self.count]
