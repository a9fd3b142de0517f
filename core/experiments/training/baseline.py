"""A baseline: a learner without a network on the same molecules → a Fit."""

import platform
import time
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.meter import Meter
from core.engine.report import Report
from core.engine.spec import Spec, settings, to_json
from core.models.baseline_model import BaselineModel
from core.models.baselines import BASELINES, SupportVectors
from core.results.fit import PARTS, Fit, evaluate_parts, prediction_table
from core.training.checks import check_parts, constant_predictions, find_overlaps

CURVE_COLUMNS = (
    "step",
    "epoch",
    "seconds",
    "learning_rate",
    "train_loss",
    "valid_loss",
)  # of a fine-tuning; here without rows


@settings
class Baseline(Spec[Fit]):
    """A model without a network on descriptors and fingerprints: what a language model has to beat.

    Scaling and model are fitted on the training part alone, a model a task; the validation part chooses nothing here
    and only reports, like the test part. A baseline has no weights that a gradient could follow: no influence of it.
    """

    kind: ClassVar[str] = "baseline"
    page: ClassVar[str] = "train"
    effort: ClassVar[float] = 2.0
    repeatable: ClassVar[bool] = True

    train: Spec[Dataset] = Field(description="molecules to learn from")
    valid: Spec[Dataset] = Field(description="molecules that only report: a baseline has no epoch to choose")
    test: Spec[Dataset] = Field(description="molecules that only report")
    baseline: Annotated[Any, BASELINES] = Field(default=SupportVectors(), description="the model without a network")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of what is drawn by chance")

    @property
    def title(self) -> str:
        return f"{self.baseline.name} baseline on {self.train.title}, seed {self.seed}"

    @property
    def split_parts(self) -> dict[str, Spec]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def make(self, report: Report, train: Dataset, valid: Dataset, test: Dataset) -> Fit:
        check_parts(train, valid, test)
        parts = dict(zip(PARTS, (train, valid, test), strict=True))
        warnings = find_overlaps(train, valid, test)
        began, meter = time.monotonic(), Meter()
        learned = BaselineModel.fit(self.baseline, train, self.seed, report.part(0, 0.7))
        seconds, taken = time.monotonic() - began, meter.reading()
        found = {}
        for place, (name, table) in enumerate(parts.items()):
            found[name] = learned.predict(list(table.smiles), report.part(0.7 + 0.1 * place, 0.8 + 0.1 * place))
        warnings += [*describe_subsampling(self.baseline, train), *constant_predictions(train, valid, found["valid"])]
        record = {
            **evaluate_parts(parts, found),
            "seed": self.seed,
            "backbone": None,
            "features": learned.features.words,
            "beside": None,
            "method": to_json(self.baseline),
            "trainable": None,
            "parameters": None,
            "trainable_share": None,
            "trainable_bytes": None,
            "backbone_parameters": None,
            "backbone_trainable": None,
            "proof": None,
            "forms": [],
            "seconds": seconds,
            "seconds_to_best": None,
            "seconds_per_epoch": None,
            "best_epoch": None,
            "best_step": None,
            "steps": None,
            "learning_rate": None,
            "precision": None,
            **taken,
            "device": platform.processor() or "cpu",
            "warnings": warnings,
        }
        curve = pd.DataFrame({name: np.empty(0) for name in CURVE_COLUMNS})
        predictions = pd.concat([prediction_table(name, parts[name], found[name]) for name in PARTS], ignore_index=True)
        folder = report.folder()
        learned.save(folder / "predictor", list(test.smiles))
        return Fit(curve, predictions, record, folder)


def describe_subsampling(learner: Any, train: Dataset) -> list[str]:
    """A sentence for each task of which a learner took but a draw of the labels."""
    if learner.most is None:
        return []
    counts = (~np.isnan(train.targets)).sum(0)
    words = f"{learner.name} learned from a draw of {learner.most:,} of"
    return [
        f"{words} {count:,} labels of {task!r}; raise `most` to use all"
        for task, count in zip(train.tasks, counts, strict=True)
        if count > learner.most
    ]
