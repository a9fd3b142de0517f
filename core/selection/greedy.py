"""Greedy forward selection: molecules one after another, each given those already selected."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from core.chem import molecules as chem
from core.engine.spec import BadInput, settings
from core.influence.forward_selection import CrossFit, cross_fit, select_greedily
from core.influence.linearized import linearized_model
from core.influence.ridge import RidgeLastLayer
from core.results.scores import Scores
from core.selection.checks import check_count, require_scores
from core.selection.sampler import Need, Sampler, Variant

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.influence.forward_selection import ClosedFormModel


@settings
class Greedy(Sampler):
    """Forward selection: each next molecule is the one whose full update lowers the target loss most.

    The update is that of a model with a closed-form solution. `descriptors` and `last layer`: ridge regression on fixed
    features (`core.influence.ridge`); labels of a binary task are fitted as numbers. `all weights`: the model
    linearised in its weights, with the damping of the scores (`core.influence.linearized`); needs scores by the dual
    solver. Unlike first-order scores, each accounts for near-duplicates and for the size of an update. RDKit
    descriptors worked better than the inputs of the trained last layer in the case measured (`docs/LOG.md`); a likely
    reason is that the trained layer has already fitted the training labels.
    """

    kind: ClassVar[str] = "greedy"
    name: ClassVar[str] = "greedy"
    variants: ClassVar[Mapping[str, Variant]] = {
        "greedy, all weights": Variant(
            {"features": "all weights"}, "forward selection by the model linearised in all its weights"
        )
    }

    count: int = Field(default=100, ge=1, description="molecules to select")
    features: Literal["descriptors", "last layer", "all weights"] = Field(
        default="descriptors",
        description="features of the closed-form model: RDKit descriptors, the inputs of the trained last layer, or "
        "gradients by all weights",
    )
    damping: float = Field(default=20.0, gt=0, description="ridge penalty, in molecules (not for all weights)")
    stop_when_worse: bool = Field(
        default=False,
        description="select fewer where more would not lower the loss of held-out target molecules (two-fold "
        "cross-fitting: one half of the target selects, the other half decides how many)",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the two halves")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"scores", "dual" if self.features == "all weights" else "features"})

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        build_model, molecules = self._model(pool, scores)
        count = cross_fit(build_model, molecules, self.count, self.seed).best if self.stop_when_worse else self.count
        if not count:
            raise BadInput("no molecule of the pool lowers the target loss; turn `stop_when_worse` off")
        return select_greedily(build_model(np.arange(molecules)), count)[0]

    def cross_fit(self, pool: "Dataset", scores: Scores | None = None) -> CrossFit:
        """The predicted loss of the half of the target that selected, and of the other half."""
        build_model, molecules = self._model(pool, scores)
        return cross_fit(build_model, molecules, self.count, self.seed)

    def _model(self, pool: "Dataset", scores: Scores | None) -> "tuple[Callable[[np.ndarray], ClosedFormModel], int]":
        """A function from rows of the target to a closed-form model, and the number of target molecules.

        Raises `BadInput` where the scores lack what the features need.
        """
        check_count(self.kind, self.count, pool)
        scores = require_scores(self.kind, pool, scores)
        if self.features == "all weights":
            if not scores.linearized:
                raise BadInput(
                    "these scores have no pairwise effects; score with the dual solver, with target and pool small "
                    "enough for it, or select by descriptors"
                )
            return lambda rows: linearized_model(
                scores.linearized, scores.record, rows, is_temperature_scaled=False
            ), len(scores.linearized["target_labels"])
        arrays = dict(scores.last_layer)
        if not arrays:
            raise BadInput("these scores keep no features (the pool is very large); use top instead")
        if self.features == "descriptors":
            others = {"target": scores.target["smiles"].to_numpy(), "pool": pool.smiles}
            arrays |= clipped_descriptors(scores.training["smiles"].to_numpy(), others)
        not_finite = [name for name, value in arrays.items() if not np.isfinite(value).all() and "labels" not in name]
        if not_finite:
            raise BadInput(
                f"features of {', '.join(not_finite)} are not finite; train again with a lower learning rate"
            )
        return lambda rows: RidgeLastLayer(arrays, self.damping, rows), len(arrays["target_labels"])


def clipped_descriptors(train: np.ndarray, others: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """RDKit descriptors (n, p) of the training molecules and of each of `others`, clipped to the training range.

    Descriptors that are missing for a training molecule are dropped; missing values of other molecules become the
    training median. Values are clipped to the 1st and 99th percentiles of the training part, against outliers.
    """
    train_values = chem.descriptors(train.tolist()).to_numpy()
    finite = np.isfinite(train_values).all(0)
    low, median, high = np.quantile(train_values[:, finite], [0.01, 0.5, 0.99], axis=0)
    clipped = {"train": np.clip(train_values[:, finite], low, high)}
    for part, smiles in others.items():
        values = chem.descriptors(smiles.tolist()).to_numpy()[:, finite]
        clipped[part] = np.clip(np.where(np.isfinite(values), values, median), low, high)
    return clipped
