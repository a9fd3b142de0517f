"""Molecules with the largest expected information gain about the target."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from core.engine.spec import BadInput, settings
from core.influence.forward_selection import select_greedily
from core.influence.linearized import VarianceModel, linearized_model
from core.results.scores import Scores
from core.selection.checks import check_count, require_scores
from core.selection.sampler import Need, Sampler

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class InformationGain(Sampler):
    """Forward selection: each next molecule is the one whose measurement reduces the target's uncertainty most.

    Labels are not used, so candidates need not be measured. The uncertainty is the posterior variance of the model
    linearised in its weights (`core.influence.linearized`), so near-duplicates of selected molecules are passed over
    (Cohn et al. 1996, arXiv cs/9603104). Needs scores by the dual solver.
    """

    kind: ClassVar[str] = "informative"
    name: ClassVar[str] = "information gain"
    needs: ClassVar[frozenset[Need]] = frozenset({"scores", "dual"})

    count: int = Field(default=100, ge=1, description="molecules to select")

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        scores = require_scores(self.kind, pool, scores)
        if not scores.linearized:
            raise BadInput(
                "these scores have no pairwise effects; score with the dual solver, with target and pool small "
                "enough for it"
            )
        return select_greedily(VarianceModel(linearized_model(scores.linearized, scores.record)), self.count)[0]
