"""Multitask: one backbone trained on a mixture of tables, with one head per table."""

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
    """Train one shared backbone on several tables at once, with one head per table; most labels may be missing.

    A batch contains molecules of all tables. The evaluation with the lowest validation loss of the mixture is used; the
    test sets are predicted once, at the end. The shared backbone can be fine-tuned and used for embeddings like any
    other. With one member this is single-task training.
    """

    kind: ClassVar[str] = "multitask"
    page: ClassVar[str] = "multitask"
    effort: ClassVar[float] = 20.0
    repeatable: ClassVar[bool] = True

    members: tuple[Spec[MixtureParts], ...] = Field(description="tables, each with its loss, scaler and weight")
    step_reference: tuple[Spec[MixtureParts], ...] = Field(
        default=(),
        description="tables whose molecules together define the length of an epoch, to match the steps of a mixture",
    )
    backbone: Annotated[Any, BACKBONES_OR_CHECKPOINTS] = Field(default=Gnn(), description="initial backbone")
    mixing: Literal["proportional", "square-root", "equal"] = Field(
        default="proportional",
        description="how often each table is sampled: by its number of molecules, its square root, or equally",
    )
    weighting: Literal["equal", "count", "learned"] = Field(
        default="equal",
        description="weights of the tables' losses: equal, by the number of labels, or by learned uncertainty",
    )
    epochs: int = Field(
        default=30, ge=1, le=10_000, description="epochs: passes over the number of molecules in all tables"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout probability in the heads")
    backbone_dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout probability in the backbone")
    n_randomised_smiles: int = Field(
        default=1,
        ge=1,
        le=64,
        description="SMILES randomisation: forms of each molecule, for a model that reads SMILES",
    )

    _: KW_ONLY
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 1e-3

    def __post_init__(self) -> None:
        names = [member.called for member in self.members]
        if not names:
            raise BadInput("`members` wants at least one table")
        if len(set(names)) < len(names):
            raise BadInput(f"two members have the same name among {', '.join(names)}; give each a different `name`")

    @property
    def title(self) -> str:
        names = ", ".join(member.called for member in self.members)
        return f"{self.backbone.called} on {names}, seed {self.seed}"

    @property
    def called(self) -> str:
        tables = f"{len(self.members)} tables" if len(self.members) > 1 else self.members[0].title
        return f"{self.backbone.called.removesuffix(' (random weights)')} trained on {tables}"

    def with_seed(self, seed: int) -> "Multitask":
        """The same training with another seed for everything random, including random initial weights."""
        start = dataclasses.replace(self.backbone, seed=seed) if self.backbone.repeatable else self.backbone
        return dataclasses.replace(self, backbone=start, seed=seed)

    def make(
        self,
        report: Report,
        members: tuple[MixtureParts, ...],
        step_reference: tuple[MixtureParts, ...] = (),
        backbone: Callable[[], Any] | None = None,
    ) -> MultitaskModel:
        from core.training.multitask_training import train_multitask

        return train_multitask(self, report, members, step_reference, backbone or self.backbone)

    def build_plan(self, n: int, width: int, precision: str, **overrides: Any) -> Plan:
        """The plan; one evaluation per epoch, unless the length is given in steps."""
        evaluations = self.evaluations if self.steps else self.epochs
        return super().build_plan(n, width, precision, **({"evaluations": evaluations} | overrides))
