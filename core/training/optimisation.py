"""What a spec of a training lets a person set about its optimiser, and the plan of the loop that follows from it.

Read without torch. The settings are keyword-only: a spec inherits them and has fields of its own beside them.
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
    Field(ge=1, le=10_000_000, description="optimiser steps in all, in place of epochs: equal work for unequal tables"),
]
Evaluations = Annotated[int, Field(ge=1, le=1000, description="looks at the validation part, when `steps` is given")]
BatchSize = Annotated[int, Field(ge=1, le=65_536, description="molecules in an optimiser step")]
LearningRate = Annotated[float, Field(gt=0, le=1, description="peak of the learning rate")]
LearningRateOrAdvice = Annotated[
    float | None,
    Field(gt=0, le=1, description="peak of the learning rate; by default the advice for backbone and method"),
]
WeightDecay = Annotated[float, Field(ge=0, le=1, description="decay of weight matrices (AdamW)")]
Warmup = Annotated[float, Field(ge=0, le=1, description="share of the steps in which the learning rate rises")]
Clip = Annotated[float, Field(gt=0, description="largest norm of a gradient")]
Patience = Annotated[
    int, Field(ge=0, description="evaluations without a better one before stopping; 0 never stops early")
]
EmaDecay = Annotated[
    float, Field(ge=0, lt=1, description="decay of the running mean of the weights, which is kept; 0: no mean")
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    Field(description="arithmetic; auto is bfloat16 on CUDA and, for wide models, CPUs that multiply in it"),
]
Seed = Annotated[
    int, Field(ge=0, le=2**31 - 1, description="of all that is drawn by chance: new weights, batches, masks, dropout")
]


@dataclass(frozen=True)
class Plan:
    """How long and how: the numbers of one training, as `Optimisation.build_plan` gives them."""

    epochs: int
    steps: int | None  # optimiser steps in all; if given, `epochs` does not count
    evaluations: int  # looks at the validation part, when `steps` is given
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup: float  # share of the steps
    clip: float  # largest norm of a gradient
    patience: int  # evaluations without a better one before stopping; 0 never stops early
    precision: str  # "float32" or "bfloat16"
    seed: int
    rate_factors: tuple[tuple[str, float], ...] = ()  # how a weight's name begins → factor of the learning rate
    start_shares: tuple[
        tuple[str, float], ...
    ] = ()  # how a weight's name begins → share of the steps from which it moves
    sorted_batches: int = (
        SORTED_BATCHES  # batches that are sorted by length together; 0: none, where no padding is worked on
    )
    ema_decay: float = 0.0  # decay of the running mean of the weights that is looked at and kept; 0: the weights

    def evaluation_steps(self, n: int) -> list[int]:
        """Step numbers after which the validation part is looked at; the last is the last step."""
        if self.steps:
            return sorted({math.ceil(self.steps * k / self.evaluations) for k in range(1, self.evaluations + 1)})
        each = math.ceil(n / self.batch_size)
        return [each * epoch for epoch in range(1, self.epochs + 1)]


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class Optimisation:
    """The settings that every training has; of those it does not let a person set, the values.

    Limits and help stand in the annotation: pydantic reads a field whose default is a `Field` as one given by position.
    """

    # no annotations: a dataclass would keep the first place for a `ClassVar` that a spec makes a field
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

    def build_plan(self, n: int, width: int, precision: str, **own: Any) -> Plan:
        """The plan for `n` molecules, a backbone of this `width` and this arithmetic; `own` in place of settings.

        A spec with advice for a setting that is None gives it here.
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
        return dataclasses.replace(plan, **own)


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class ScheduledOptimisation(Optimisation):
    """And how many steps there are, when they are looked at, and how large each of them is."""

    steps: StepsOrEpochs = None
    evaluations: Evaluations = 20
    weight_decay: WeightDecay = 0.01
    warmup: Warmup = 0.1


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class SupervisedOptimisation(ScheduledOptimisation):
    """And what keeps a training on few labels steady: clipped gradients, an early stop, a mean of the weights."""

    clip: Clip = 1.0
    patience: Patience = 0
    ema_decay: EmaDecay = 0.995
