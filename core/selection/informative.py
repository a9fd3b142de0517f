"""Molecules whose measurement would tell most about the target."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from core.engine.spec import BadInput, settings
from core.influence.forward_selection import greedy
from core.influence.linearized import Unlabelled, tangent_of
from core.results.scores import Scores
from core.selection.checks import check_count, scored

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class Informative:
    """One after another, each the one whose measurement takes most of the target's uncertainty away.

    Whatever it yields: labels play no part. The uncertainty is that of the fit as the linear model of its slopes
    (`core.influence.linearized`), so that copies of what is kept are passed over. For candidates that have not been measured yet
    (Cohn et al. 1996, arXiv cs/9603104). Wants scores by the dual.
    """

    kind: ClassVar[str] = "informative"

    count: int = Field(default=100, ge=1, description="molecules to keep")

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        scores = scored(self.kind, pool, scores)
        if not scores.tangent:
            raise BadInput(
                "these scores know no pairs of molecules; score by the dual, with target and pool small enough for it"
            )
        return greedy(Unlabelled(tangent_of(scores.tangent, scores.record)), self.count)[0]
