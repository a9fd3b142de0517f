"""LearningRateSearch: short trials of several learning rates, then the full training at the best one."""

import dataclasses
from typing import Any, ClassVar

from pydantic import Field

from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.training.finetune import FineTune, advised_rate
from core.models.random_weights import find_width
from core.results.fit import Fit

EDGE_WARNING = (
    "the best of the learning rates tried, {rate:g}, is the {end}; the optimum may be outside the range: extend "
    "`factors`"
)


@settings
class LearningRateSearch(Spec[Fit]):
    """A fine-tuning at the learning rate with the lowest validation loss in short trials.

    A comparison of methods at one common rate is unfair: the best rate of an adapter with a thousand weights is far too
    high for full fine-tuning. Every method gets the same number of trials with the same number of steps. Trials are
    compared by their lowest validation loss, never by the test set. They have their own seed, so the repeats of a study
    share them.
    """

    kind: ClassVar[str] = "learning-rate-search"
    page: ClassVar[str] = "train"
    effort: ClassVar[float] = 10.0
    has_gradient: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True

    fit: Spec[Fit] = Field(description="the fine-tuning whose learning rate is searched")
    factors: tuple[float, ...] = Field(
        default=(0.3, 1.0, 3.0),
        description="learning rates to try, as multiples of the advised rate, or of that of `fit`",
    )
    steps: int = Field(default=300, ge=1, le=1_000_000, description="optimiser steps of a trial")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the trials")

    def __post_init__(self) -> None:
        if not isinstance(self.fit, FineTune):
            raise BadInput(f"`fit` wants a fine-tuning, which has a learning rate; got {self.fit.kind!r}")
        if len(set(self.factors)) < max(2, len(self.factors)) or min(self.factors) <= 0:
            raise BadInput(f"`factors` wants at least two different numbers above 0, got {list(self.factors)}")
        if max(self.rates) > 1:
            raise BadInput(f"a learning rate of {max(self.rates):g} is above 1; lower the largest of `factors`")

    @property
    def title(self) -> str:
        return f"{self.fit.title}, best of {len(self.factors)} learning rates"

    # the attributes that others read of a fine-tuning
    train = property(lambda self: self.fit.train)
    valid = property(lambda self: self.fit.valid)
    test = property(lambda self: self.fit.test)
    backbone = property(lambda self: self.fit.backbone)
    method = property(lambda self: self.fit.method)

    @property
    def split_parts(self) -> dict[str, Spec]:
        return self.fit.split_parts

    @property
    def rates(self) -> tuple[float, ...]:
        """Learning rates to try, lowest first. Raises `BadInput` where the width of the backbone is unknown."""
        middle = self.fit.learning_rate
        if middle is None:
            width = find_width(self.fit.backbone)
            if width is None:
                raise BadInput(
                    f"the width of {self.fit.backbone.called} is unknown, so no learning rate is advised; set "
                    "`learning_rate` of the fine-tuning"
                )
            middle = advised_rate(self.fit.method, width)
        return tuple(float(f"{factor * middle:.3g}") for factor in sorted(self.factors))

    def with_seed(self, seed: int) -> "LearningRateSearch":
        """The same with another seed for the training; the trials stay the same."""
        return dataclasses.replace(self, fit=self.fit.with_seed(seed))

    def parts(self) -> dict[str, Any]:
        return {"trials": tuple(self.trial(rate) for rate in self.rates), **self.fit.parts()}

    def trial(self, rate: float) -> FineTune:
        """The spec of a short training at one learning rate."""
        evaluations = min(10, self.steps)
        trial = dataclasses.replace(
            self.fit.with_seed(self.seed), learning_rate=rate, epochs=None, steps=self.steps, evaluations=evaluations
        )
        return dataclasses.replace(trial, patience=0)

    def make(self, report: Report, trials: tuple[Fit, ...], **parts: Any) -> Fit:
        losses = [float(trial.curve["valid_loss"].min()) for trial in trials]
        best = min(range(len(losses)), key=losses.__getitem__)
        fit = dataclasses.replace(self.fit, learning_rate=self.rates[best]).make(report, **parts)
        warnings = list(fit.record["warnings"])
        if best in (0, len(losses) - 1):
            warnings.append(EDGE_WARNING.format(rate=self.rates[best], end="lowest" if best == 0 else "highest"))
        tuned = {
            "learning_rates": list(self.rates),
            "valid_losses": losses,
            "chosen": self.rates[best],
            "steps": self.steps,
            "seed": self.seed,
            "seconds": sum(trial.record["seconds"] for trial in trials),
            "trials": [self.trial(rate).key for rate in self.rates],
        }
        return dataclasses.replace(fit, record=fit.record | {"tuned": tuned, "warnings": warnings})
