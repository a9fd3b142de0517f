"""Multitask: a mixture of tables and a backbone → a trunk that has learned all of them, and what its heads predict."""

import dataclasses
from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.training.finetune import BACKBONES_OR_CHECKPOINTS
from core.models.backbones import Gnn
from core.models.multitask_model import MultitaskModel
from core.results.mixture import MixtureParts
from core.training.optimisation import BatchSize, LearningRate, Plan, SupervisedOptimisation


@settings
class Multitask(SupervisedOptimisation, Spec[MultitaskModel]):
    """Train one backbone on several tables at once, each with a head of its own; most labels may be missing.

    A batch holds molecules of all tables. The best evaluation by the mixture's validation loss is kept; the test parts
    are predicted once, at the end. The trunk is a backbone as any other afterwards: fine-tuned, followed by influence,
    asked for embeddings. With one member it is single-task learning, by the same loop.
    """

    kind: ClassVar[str] = "multitask"
    page: ClassVar[str] = "multitask"
    effort: ClassVar[float] = 20.0
    repeatable: ClassVar[bool] = True

    members: tuple[Spec[MixtureParts], ...] = Field(description="the tables, each with its loss, scaler and weight")
    as_long_as: tuple[Spec[MixtureParts], ...] = Field(
        default=(), description="tables whose molecules together make up an epoch, to match the steps of their mixture"
    )
    backbone: Annotated[Any, BACKBONES_OR_CHECKPOINTS] = Field(default=Gnn(), description="the model to begin from")
    mixing: Literal["proportional", "square-root", "equal"] = Field(
        default="proportional", description="how often each table is drawn: by its molecules, their root, or alike"
    )
    weighting: Literal["equal", "count", "learned"] = Field(
        default="equal", description="what each table's loss weighs: alike, by its labels, or learned uncertainty"
    )
    epochs: int = Field(default=30, ge=1, le=10_000, description="passes over as many molecules as there are in all")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout in the heads")
    backbone_dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout in the backbone")
    n_randomised_smiles: int = Field(
        default=1, ge=1, le=64, description="ways each molecule is written for a model that reads SMILES"
    )

    _: KW_ONLY
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 1e-3

    def __post_init__(self) -> None:
        names = [one.called for one in self.members]
        if not names:
            raise BadInput("`members` wants at least one table")
        if len(set(names)) < len(names):
            raise BadInput(f"two members have one name among {', '.join(names)}; give each its own `name`")

    @property
    def title(self) -> str:
        names = ", ".join(one.called for one in self.members)
        return f"{self.backbone.called} on {names}, seed {self.seed}"

    @property
    def called(self) -> str:
        many = f"{len(self.members)} tables" if len(self.members) > 1 else self.members[0].title
        return f"{self.backbone.called.removesuffix(' (random weights)')} trained on {many}"

    def with_seed(self, seed: int) -> "Multitask":
        """The same with everything that is drawn by chance drawn anew, random weights too."""
        start = dataclasses.replace(self.backbone, seed=seed) if self.backbone.repeatable else self.backbone
        return dataclasses.replace(self, backbone=start, seed=seed)

    def make(
        self,
        report: Report,
        members: tuple[MixtureParts, ...],
        as_long_as: tuple[MixtureParts, ...] = (),
        backbone: Callable[[], Any] | None = None,
    ) -> MultitaskModel:
        from core.training.multitask_training import train_multitask

        return train_multitask(self, report, members, as_long_as, backbone or self.backbone)

    def build_plan(self, n: int, width: int, precision: str, **own: Any) -> Plan:
        """With an evaluation an epoch, where the length is not given in steps."""
        evaluations = self.evaluations if self.steps else self.epochs
        return super().build_plan(n, width, precision, **({"evaluations": evaluations} | own))
