"""A trained predictor as stored: weights, learning curve, predictions, metrics, cost. Does not import torch."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from core.data.dataset import Dataset
from core.stats.bootstrap import Interval, compute_intervals
from core.stats.metrics import METRICS, compute_metrics
from core.stats.undefined import NAME, explain_intervals, explain_metrics

PARTS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Fit:
    """A predictor after training.

    `curve`: one row per evaluation (step, epoch, seconds, learning_rate, train_loss, valid_loss, main metric).
    `predictions`: one row per molecule and task (part, row, smiles, task, label, prediction) in label units; for an
    ensemble also `spread`, the standard deviation over members.
    `record`: seed, digests of the parts, parameters, cost, device, tasks, units, warnings.
    `folder`: contains `predictor/` with the weights, read by `core.models.ensemble.load_model`.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("tasks", "unit", "metrics.test")

    curve: pd.DataFrame
    predictions: pd.DataFrame
    record: dict[str, Any]
    folder: Path

    @property
    def metrics(self) -> dict[str, dict[str, dict[str, Any]]]:
        """`{part: {task: {metric: value}}}`, pooled over the part's measured rows, in label units.

        Where a value is None, `undefined` of the same card has the reason by metric.
        """
        return self.record["metrics"]

    def interval(self, task: str, metric: str) -> Interval | None:
        """The 95 % bootstrap interval of a metric on the test set; None if it is unknown."""
        return self.record.get("intervals", {}).get(task, {}).get(metric)

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.record["tasks"])

    def suggest_patience(self) -> tuple[int, float] | None:
        """The `patience` that would have selected the same weights, and the training time in seconds with it.

        It includes one spare evaluation and is at least three. None without a curve, or if it saves less than a third
        of the time.
        """
        evaluations = self.curve[self.curve["valid_loss"].notna()] if "valid_loss" in self.curve else self.curve[:0]
        if not len(evaluations):
            return None
        losses, seconds = evaluations["valid_loss"].to_numpy(float), evaluations["seconds"].to_numpy(float)
        improvements = np.flatnonzero(losses < np.minimum.accumulate(np.append(np.inf, losses[:-1])))
        patience = max(3, int(np.diff(improvements).max(initial=0)) + 1)
        last = int(improvements[-1]) + patience
        return (
            (patience, float(seconds[last]))
            if last < len(evaluations) and seconds[last] < 2 / 3 * seconds[-1]
            else None
        )

    def table(self, part: str) -> Dataset:
        """The Dataset of one part, as used for this fit."""
        labels, _, smiles = self.matrices(part)
        return Dataset(
            smiles=smiles,
            targets=labels,
            tasks=self.tasks,
            unit=tuple(self.record["unit"]),
            provenance={"part": part, "digest": self.record["digests"][part], "kinds": self.record["kinds"]},
        )

    def matrices(self, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels (n, t), predictions (n, t) and SMILES (n,) of a part, in the order of its rows."""
        rows = self.predictions[self.predictions["part"] == part]
        n, t = len(rows) // len(self.tasks), len(self.tasks)
        labels = rows["label"].to_numpy(float).reshape(n, t)
        predictions = rows["prediction"].to_numpy(float).reshape(n, t)
        return labels, predictions, rows["smiles"].to_numpy(object)[::t]

    def summary(self) -> dict[str, Any]:
        return self.record

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        """The main metric of the first task on the test set, with its interval."""
        task, *others = summary["tasks"]
        test = summary["metrics"]["test"].get(task) or {}
        metric = next((one for one in METRICS if one.is_headline and test.get(one.key) is not None), None)
        if metric is None:
            return ""
        interval = summary.get("intervals", {}).get(task, {}).get(metric.key)
        words = ("test", metric.name, metric.format_value(test[metric.key], interval), summary["unit"][0])
        return " ".join(filter(None, words)) + (f" (+{len(others)} tasks)" if others else "")

    def save(self, folder: Path) -> None:
        self.curve.to_parquet(folder / "curve.parquet")
        self.predictions.to_parquet(folder / "predictions.parquet")
        (folder / "record.json").write_text(json.dumps(self.record, indent=1))
        shutil.copytree(self.folder / "predictor", folder / "predictor")

    @classmethod
    def load(cls, folder: Path) -> "Fit":
        return cls(
            curve=pd.read_parquet(folder / "curve.parquet"),
            predictions=pd.read_parquet(folder / "predictions.parquet"),
            record=json.loads((folder / "record.json").read_text()),
            folder=folder,
        )


def evaluate_parts(parts: dict[str, Dataset], predictions: dict[str, np.ndarray]) -> dict[str, Any]:
    """Entries of every fit's record on its parts and predictions (n, t): metrics by part and task, digests, sizes.

    The intervals are bootstrap intervals of the test metrics, over molecules; `undefined_intervals`: why a metric has
    none, by task and metric.
    """
    first, test = parts["train"], parts["test"]
    metrics = {n: compute_task_metrics(first.tasks, first.kinds, t.targets, predictions[n]) for n, t in parts.items()}
    return {
        "metrics": metrics,
        **compute_task_intervals(first.tasks, first.kinds, test.targets, predictions["test"], metrics["test"]),
        "tasks": list(first.tasks),
        "kinds": list(first.kinds),
        "unit": list(first.unit),
        "digests": {name: table.digest for name, table in parts.items()},
        "rows": {name: len(table) for name, table in parts.items()},
    }


def prediction_table(part: str, table: Dataset, predictions: np.ndarray) -> pd.DataFrame:
    """Predictions (n, t) of a part as a table, one row per molecule and task; tasks vary fastest."""
    n, t = table.targets.shape
    return pd.DataFrame(
        {
            "part": part,
            "row": np.repeat(np.arange(n), t),
            "smiles": np.repeat(table.smiles.astype(object), t),
            "task": np.tile(np.array(table.tasks, object), n),
            "label": table.targets.ravel(),
            "prediction": predictions.ravel(),
        }
    )


def compute_task_metrics(
    tasks: Sequence[str], kinds: Sequence[str], labels: np.ndarray, predictions: np.ndarray
) -> dict[str, dict[str, Any]]:
    """`{task: {metric: value}}` of labels and predictions (n, t); a card with a None has its reasons in `undefined`."""
    cards: dict[str, dict[str, Any]] = {}
    for column, (task, kind) in enumerate(zip(tasks, kinds, strict=True)):
        values = labels[:, column], predictions[:, column]
        card = compute_metrics(kind, *values)
        reasons = explain_metrics(kind, *values, card)
        cards[task] = card | ({NAME: reasons} if reasons else {})
    return cards


def compute_task_intervals(
    tasks: Sequence[str],
    kinds: Sequence[str],
    labels: np.ndarray,
    predictions: np.ndarray,
    cards: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Bootstrap intervals by task and metric, and why metrics of the `cards` lack one; labels, predictions (n, t)."""
    intervals = compute_intervals(tasks, kinds, labels, predictions)
    reasons = {
        task: explain_intervals(kind, labels[:, column], cards[task], intervals[task])
        for column, (task, kind) in enumerate(zip(tasks, kinds, strict=True))
    }
    return {"intervals": intervals, "undefined_intervals": {task: why for task, why in reasons.items() if why}}
