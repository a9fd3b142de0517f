"""Baseline: a model without a neural network, trained on the same molecules."""

import platform
import time
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.data.dataset import Dataset
from core.data.left_out import describe_left_out
from core.engine.meter import Meter
from core.engine.report import Report
from core.engine.spec import Spec, settings, to_json
from core.models.baseline_model import BaselineModel
from core.models.baselines import BASELINES, SupportVectors
from core.results.fit import PARTS, Fit, evaluate_parts, prediction_table
from core.training.checks import check_parts, constant_predictions, describe_one_class, find_overlaps

# as in a fine-tuning; a baseline has no rows
CURVE_COLUMNS = ("step", "epoch", "seconds", "learning_rate", "train_loss", "valid_loss")


@settings
class Baseline(Spec[Fit]):
    """A model without a neural network on descriptors and fingerprints, as a reference for networks.

    Scaling and model are fitted on the training set alone, one model for each task. Validation and test set are only
    predicted. A baseline has no gradient, so it has no influence scores.
    """

    kind: ClassVar[str] = "baseline"
    page: ClassVar[str] = "train"
    effort: ClassVar[float] = 2.0
    repeatable: ClassVar[bool] = True

    train: Spec[Dataset] = Field(description="training molecules")
    valid: Spec[Dataset] = Field(description="validation molecules: predicted only, as a baseline selects no epoch")
    test: Spec[Dataset] = Field(description="test molecules: predicted only")
    baseline: Annotated[Any, BASELINES] = Field(default=SupportVectors(), description="the model")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the model")

    @property
    def title(self) -> str:
        return f"{self.baseline.name} baseline on {self.train.title}, seed {self.seed}"

    @property
    def split_parts(self) -> dict[str, Spec]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def make(self, report: Report, train: Dataset, valid: Dataset, test: Dataset) -> Fit:
        check_parts(train, valid, test)
        parts = dict(zip(PARTS, (train, valid, test), strict=True))
        warnings = [
            *describe_left_out(train.left_out),
            *describe_one_class(train, valid, test),
            *find_overlaps(train, valid, test),
        ]
        start, meter = time.monotonic(), Meter()
        model = BaselineModel.fit(self.baseline, train, self.seed, report.part(0, 0.7))
        seconds, resources = time.monotonic() - start, meter.reading()
        values = {}
        for index, (name, table) in enumerate(parts.items()):
            values[name] = model.predict(list(table.smiles), report.part(0.7 + 0.1 * index, 0.8 + 0.1 * index))
        warnings += [*describe_subsampling(self.baseline, train), *constant_predictions(train, valid, values["valid"])]
        record = {
            **evaluate_parts(parts, values),
            "seed": self.seed,
            "backbone": None,
            "features": model.features.words,
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
            **resources,
            "device": platform.processor() or "cpu",
            "warnings": warnings,
        }
        curve = pd.DataFrame({name: np.empty(0) for name in CURVE_COLUMNS})
        predictions = pd.concat(
            [prediction_table(name, parts[name], values[name]) for name in PARTS], ignore_index=True
        )
        folder = report.folder()
        model.save(folder / "predictor", list(test.smiles))
        return Fit(curve, predictions, record, folder)


def describe_subsampling(baseline: Any, train: Dataset) -> list[str]:
    """A warning for each task with more labels than the baseline trains on."""
    if baseline.most is None:
        return []
    counts = (~np.isnan(train.targets)).sum(0)
    return [
        f"{baseline.name} used a random sample of {baseline.most:,} of {count:,} labels of {task!r}; "
        "raise `most` to use all"
        for task, count in zip(train.tasks, counts, strict=True)
        if count > baseline.most
    ]
