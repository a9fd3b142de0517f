"""Fine-tuning: a backbone and measured molecules → a Fit."""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import Family, Spec, settings
from core.models.backbones import BACKBONES, Pretrained
from core.models.backbones.checkpoint import Checkpoint
from core.models.methods import METHODS, Full
from core.results.fit import Fit
from core.training.optimisation import Plan, SupervisedOptimisation

MIN_EPOCHS, MIN_STEPS = 10, 1000  # what a training has at least, unless told
BACKBONES_OR_CHECKPOINTS = Family("backbone", *BACKBONES.values(), product=Checkpoint, name="kind_name")


@settings
class FineTune(SupervisedOptimisation, Spec[Fit]):
    """Train a backbone and a head on measured molecules; the best evaluation on the validation part is kept.

    The label scaler is fitted on the training part alone. The test part is predicted once, at the end, to report.
    """

    kind: ClassVar[str] = "finetune"
    page: ClassVar[str] = "train"
    revision: ClassVar[int] = 4
    effort: ClassVar[float] = 10.0
    has_gradient: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    train: Spec[Dataset] = Field(description="molecules to learn from")
    valid: Spec[Dataset] = Field(description="molecules that choose the best epoch")
    test: Spec[Dataset] = Field(description="molecules that only report")
    backbone: Annotated[Any, BACKBONES_OR_CHECKPOINTS] = Field(
        default=Pretrained(), description="the model to begin from"
    )
    method: Annotated[Any, METHODS] = Field(default=Full(), description="which weights move")
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description=f"passes over the training part; by default {MIN_EPOCHS}, or as many as make {MIN_STEPS:,} steps",
    )
    head_lr_multiplier: float | None = Field(
        default=None, gt=0, le=100, description="learning rate of the head, times the backbone's; by default the advice"
    )
    dropout: float = Field(default=0.3, ge=0, lt=1, description="dropout in the head, and of the fingerprint")
    backbone_dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout in the backbone")
    features: Literal["none", "descriptors", "fingerprints", "both"] = Field(
        default="both",
        description="what the head reads beside the embedding: RDKit's descriptors, the fingerprint, or both",
    )
    n_randomised_smiles: int = Field(
        default=5, ge=1, le=64, description="ways each training molecule is written, one drawn each time it is read"
    )
    clip_margin: float = Field(
        default=0.5,
        ge=0,
        description="how far outside the range of the training labels a prediction may lie, in spreads of the labels",
    )

    @property
    def title(self) -> str:
        return f"{self.method.name} fine-tuning of {self.backbone.called} on {self.train.title}, seed {self.seed}"

    @property
    def split_parts(self) -> dict[str, Spec]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def with_seed(self, seed: int) -> "FineTune":
        """The same with everything that is drawn by chance drawn anew, in its backbone too."""
        start = self.backbone
        if start.repeatable:  # random weights, or an adaptation
            start = dataclasses.replace(start, seed=seed)
        return dataclasses.replace(self, backbone=start, seed=seed)

    def make(
        self, report: Report, train: Dataset, valid: Dataset, test: Dataset, backbone: Callable[[], Any] | None = None
    ) -> Fit:
        from core.training.finetuning import finetune

        return finetune(self, report, {"train": train, "valid": valid, "test": test}, backbone or self.backbone)

    def build_plan(self, n: int, width: int, precision: str, **own: Any) -> Plan:
        """With as many epochs as make `MIN_STEPS` steps, and the advice of the method, where nothing else is asked for."""
        advice = {
            "epochs": self.epochs or max(MIN_EPOCHS, math.ceil(MIN_STEPS / math.ceil(n / self.batch_size))),
            "learning_rate": self.learning_rate or advised_rate(self.method, width),
            "rate_factors": (("head.", self.head_lr_multiplier or self.method.head_lr_multiplier),),
        }
        return super().build_plan(n, width, precision, **(advice | own))


def advised_rate(method: Any, width: int) -> float:
    """The learning rate that a method advises for a backbone of this width."""
    return method.advised_rate * 256 / width
