"""The optimiser settings that specs of training inherit, and the plan of the training loop. Needs no torch.

The settings are keyword-only, so that a spec can add positional fields.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

SORTED_BATCHES = 32  # batches that are sorted by length together

Steps = Annotated[int, Field(ge=1, le=10_000_000, description="optimiser steps")]
StepsOrEpochs = Annotated[
    int | None,
    Field(ge=1, le=10_000_000, description="optimiser steps, in place of epochs: equal work for tables of any size"),
]
Evaluations = Annotated[
    int, Field(ge=1, le=1000, description="number of evaluations on the validation part, if `steps` is given")
]
BatchSize = Annotated[int, Field(ge=1, le=65_536, description="molecules per optimiser step")]
LearningRate = Annotated[float, Field(gt=0, le=1, description="peak learning rate")]
LearningRateOrAdvice = Annotated[
    float | None,
    Field(gt=0, le=1, description="peak learning rate; empty: the advice for backbone and method"),
]
WeightDecay = Annotated[float, Field(ge=0, le=1, description="weight decay of matrices (AdamW)")]
Warmup = Annotated[float, Field(ge=0, le=1, description="share of the steps with rising learning rate")]
Clip = Annotated[float, Field(gt=0, description="largest norm of the gradient")]
Patience = Annotated[
    int, Field(ge=0, description="evaluations without improvement before stopping; 0: no early stopping")
]
EmaDecay = Annotated[float, Field(ge=0, lt=1, description="decay of the moving average of the weights; 0: no average")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    Field(description="data type; auto: bfloat16 on CUDA and, for wide models, on CPUs that support it"),
]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1, description="random seed of new weights, batches, masks and dropout")]


@dataclass(frozen=True)
class Plan:
    """The settings of the training loop, from `Optimisation.build_plan`."""

    epochs: int
    steps: int | None  # optimiser steps; if given, `epochs` is ignored
    evaluations: int  # number of evaluations on the validation part, if `steps` is given
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float  # share of the steps
    clip: float  # largest norm of the gradient
    patience: int  # evaluations without improvement before stopping; 0: no early stopping
    precision: str  # "float32" or "bfloat16"
    seed: int
    rate_factors: tuple[tuple[str, float], ...] = ()  # prefix of weight names → factor of the learning rate
    start_shares: tuple[tuple[str, float], ...] = ()  # prefix of weight names → share of the steps before training
    sorted_batches: int = SORTED_BATCHES  # batches sorted by length together; 0: none, for graphs
    ema_decay: float = 0.0  # decay of the moving average of the weights, which is evaluated; 0: no average

    def evaluation_steps(self, n: int) -> list[int]:
        """Numbers of steps after which the validation part is evaluated, for `n` molecules; the last is the total."""
        if self.steps:
            return sorted({math.ceil(self.steps * k / self.evaluations) for k in range(1, self.evaluations + 1)})
        steps_per_epoch = math.ceil(n / self.batch_size)
        return [steps_per_epoch * epoch for epoch in range(1, self.epochs + 1)]


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class Optimisation:
    """The settings of every training: fields, and constants where a spec does not offer a setting.

    Limits and help are in the annotation: pydantic takes a field whose default is a `Field` as positional.
    """

    # no annotations: if a spec makes a `ClassVar` a field, a dataclass orders it first
    epochs = 1
    steps = None
    evaluations = 1
    weight_decay = 0.01
    warmup = 0.1
    clip = 1.0
    patience = 0
    ema_decay = 0.0

    batch_size: BatchSize = 32
    learning_rate: LearningRateOrAdvice = None
    precision: Precision = "auto"
    seed: Seed = 0

    def build_plan(self, n: int, width: int, precision: str, **overrides: Any) -> Plan:
        """The plan for `n` molecules, a backbone of this `width` and this `precision`; `overrides` replace settings.

        A spec fills in its advice for settings that are None here.
        """
        plan = Plan(
            epochs=self.epochs,
            steps=self.steps,
            evaluations=self.evaluations,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            clip=self.clip,
            patience=self.patience,
            precision=precision,
            seed=self.seed,
            ema_decay=self.ema_decay,
        )
        return dataclasses.replace(plan, **overrides)


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduledOptimisation(Optimisation):
    """Adds the number of steps and evaluations, weight decay and warm-up."""

    steps: StepsOrEpochs = None
    evaluations: Evaluations = 20
    weight_decay: WeightDecay = 0.01
    warmup: Warmup = 0.1


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class SupervisedOptimisation(ScheduledOptimisation):
    """Adds settings for training on few labels: gradient clipping, early stopping, averaged weights."""

    clip: Clip = 1.0
    patience: Patience = 0
    ema_decay: EmaDecay = 0.995
