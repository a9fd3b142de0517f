"""Fine-tuning of a backbone and a head on measured molecules."""

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

MIN_EPOCHS, MIN_STEPS = 10, 1000  # a training has at least this many by default
BACKBONES_OR_CHECKPOINTS = Family("backbone", *BACKBONES.values(), product=Checkpoint, name="kind_name")


@settings
class FineTune(SupervisedOptimisation, Spec[Fit]):
    """Train a backbone and a head on measured molecules; keep the weights with the lowest validation loss.

    The label scaler is fitted on the training set alone. The test set is predicted once, after the training.
    """

    kind: ClassVar[str] = "finetune"
    page: ClassVar[str] = "train"
    revision: ClassVar[int] = 4
    effort: ClassVar[float] = 10.0
    has_gradient: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    train: Spec[Dataset] = Field(description="training molecules")
    valid: Spec[Dataset] = Field(description="validation molecules: select the best evaluation")
    test: Spec[Dataset] = Field(description="test molecules: not used for training or selection")
    backbone: Annotated[Any, BACKBONES_OR_CHECKPOINTS] = Field(
        default=Pretrained(), description="the backbone to start from"
    )
    method: Annotated[Any, METHODS] = Field(default=Full(), description="fine-tuning method: which weights are trained")
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description=f"passes over the training set; by default {MIN_EPOCHS}, or more to reach {MIN_STEPS:,} steps",
    )
    head_lr_multiplier: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="learning rate of the head relative to the backbone; by default that of the method",
    )
    dropout: float = Field(default=0.3, ge=0, lt=1, description="dropout of the head and of the fingerprint")
    backbone_dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout of the backbone")
    features: Literal["none", "descriptors", "fingerprints", "both"] = Field(
        default="both",
        description="inputs of the head besides the embedding: RDKit descriptors, the fingerprint, or both",
    )
    n_randomised_smiles: int = Field(
        default=5,
        ge=1,
        le=64,
        description="SMILES for each training molecule, one drawn at random in each epoch; 1: canonical only",
    )
    clip_margin: float = Field(
        default=0.5,
        ge=0,
        description="how far predictions may exceed the range of the training labels, in their standard deviations",
    )

    @property
    def title(self) -> str:
        return f"{self.method.name} fine-tuning of {self.backbone.called} on {self.train.title}, seed {self.seed}"

    @property
    def split_parts(self) -> dict[str, Spec]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def with_seed(self, seed: int) -> "FineTune":
        """The same with another seed, for the initial weights of a random backbone or an adaptation too."""
        start = self.backbone
        if start.repeatable:
            start = dataclasses.replace(start, seed=seed)
        return dataclasses.replace(self, backbone=start, seed=seed)

    def make(
        self, report: Report, train: Dataset, valid: Dataset, test: Dataset, backbone: Callable[[], Any] | None = None
    ) -> Fit:
        from core.training.finetuning import finetune

        return finetune(self, report, {"train": train, "valid": valid, "test": test}, backbone or self.backbone)

    def build_plan(self, n: int, width: int, precision: str, **overrides: Any) -> Plan:
        """The plan; by default enough epochs for `MIN_STEPS` steps and the learning rates that the method advises."""
        advice = {
            "epochs": self.epochs or max(MIN_EPOCHS, math.ceil(MIN_STEPS / math.ceil(n / self.batch_size))),
            "learning_rate": self.learning_rate or advised_rate(self.method, width),
            "rate_factors": (("head.", self.head_lr_multiplier or self.method.head_lr_multiplier),),
        }
        return super().build_plan(n, width, precision, **(advice | overrides))


def advised_rate(method: Any, width: int) -> float:
    """Learning rate that a method advises for a backbone of this width: its rate at 256, times 256 / width."""
    return method.advised_rate * 256 / width
