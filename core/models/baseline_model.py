"""A fitted baseline: molecular features and one model per task; the counterpart of a predictor."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from core.chem import molecules as chem
from core.chem.features import Features
from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput, to_json
from core.models.baselines import BASELINES

BASELINE_FILE = "baseline.json"
PROBE_COUNT = 32  # molecules whose predictions are saved, to check the refitted models
PROBE_TOLERANCE = 1e-4  # largest change of a prediction after refitting, in standard deviations of the labels


@dataclass(frozen=True, eq=False)
class BaselineModel:
    """The models of a baseline, one per task, each fitted to the molecules with a label of that task.

    Models are not pickled: `save` writes the training data, the settings and the library versions, and `load` refits,
    which takes as long as the first time (without descriptors) and gives the same models. `load` checks this with the
    saved predictions of a few molecules.
    """

    baseline: Any
    seed: int
    tasks: tuple[str, ...]
    kinds: tuple[str, ...]
    features: Features
    rows: np.ndarray  # float32 (n, p), features of the training molecules
    labels: np.ndarray  # float64 (n, t), NaN where unmeasured
    models: tuple[Callable[[np.ndarray], np.ndarray], ...]

    @classmethod
    def fit(cls, baseline: Any, train: Dataset, seed: int, report: Report = SILENT_REPORT) -> "BaselineModel":
        """Fit to a table. Raises `BadInput` for a binary task with one class only."""
        smiles = list(train.smiles)
        features, rows = Features.fit_rows(baseline.features, smiles, report.part(0, 0.6))
        data = (tuple(train.tasks), tuple(train.kinds), features, rows, train.targets)
        return cls.fit_rows(baseline, seed, *data, report.part(0.6, 1))

    @classmethod
    def fit_rows(
        cls,
        baseline: Any,
        seed: int,
        tasks: tuple[str, ...],
        kinds: tuple[str, ...],
        features: Features,
        rows: np.ndarray,
        labels: np.ndarray,
        report: Report = SILENT_REPORT,
    ) -> "BaselineModel":
        """Fit to computed features `rows` (n, p) and `labels` (n, t), NaN where unmeasured. See `fit`."""
        models = []
        for column, (task, kind) in enumerate(zip(tasks, kinds, strict=True)):
            share = report.part(column / len(tasks), (column + 1) / len(tasks))
            share(0, f"fitting {baseline.kind} to {task!r}")
            measured = ~np.isnan(labels[:, column])
            values = labels[measured, column]
            if kind == "binary" and np.ptp(values) == 0:
                raise BadInput(
                    f"every training label of {task!r} is {values[0]:g}; a classifier needs both 0 and 1: split "
                    "with another seed, or use a larger table"
                )
            models.append(baseline(rows[measured], values, kind, seed, share))
        return cls(baseline, seed, tasks, kinds, features, rows, labels, tuple(models))

    def predict(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> np.ndarray:
        """Predictions (n, t): label units for regression, probabilities for binary tasks."""
        rows = self.features(smiles, report)
        return np.stack([np.asarray(model(rows), float) for model in self.models], 1)

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """Nothing: descriptors and fingerprints exist for every molecule."""
        return []

    @staticmethod
    def is_saved_in(folder: Path) -> bool:
        return (folder / BASELINE_FILE).is_file()

    def save(self, folder: Path, probe: Sequence[str]) -> None:
        """Write the training data as safetensors, the rest as JSON; `probe`: molecules to check the refitted models."""
        folder.mkdir(parents=True, exist_ok=True)
        probe = list(probe[:PROBE_COUNT])
        wide = self.rows.shape[1] - (0 if self.features.columns == "descriptors" else chem.BITS)
        numbers = {"labels": self.labels, "descriptors": self.rows[:, :wide]}
        numbers["bits"] = np.packbits(self.rows[:, wide:].astype(np.uint8), axis=1)
        save_file(
            {name: np.ascontiguousarray(value) for name, value in numbers.items()}, folder / "training.safetensors"
        )
        about = {
            "baseline": to_json(self.baseline),
            "seed": self.seed,
            "tasks": self.tasks,
            "kinds": self.kinds,
            "features": self.features.to_json(),
            "versions": _versions(),
            "probe": probe,
            "predicted": self.predict(probe).tolist(),
        }
        (folder / BASELINE_FILE).write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, folder: Path, report: Report = SILENT_REPORT) -> "BaselineModel":
        """Refit from saved data. Raises `BadInput` where the files cannot be read or the models differ."""
        try:
            about = json.loads((folder / BASELINE_FILE).read_text())
            numbers = load_file(folder / "training.safetensors")
            features = Features.from_json(about["features"])
            bits = np.unpackbits(numbers["bits"], axis=1).astype(np.float32)
            rows = np.hstack([numbers["descriptors"], bits])
            baseline, tasks, kinds = BASELINES.read(about["baseline"]), tuple(about["tasks"]), tuple(about["kinds"])
            model = cls.fit_rows(baseline, about["seed"], tasks, kinds, features, rows, numbers["labels"], report)
            before = np.array(about["predicted"], float)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise BadInput(f"{folder} holds no readable baseline ({error}); delete the run and make it again") from None
        now = model.predict(about["probe"])
        change = np.abs(now - before) / np.nanstd(model.labels, axis=0)
        if change.size and change.max() > PROBE_TOLERANCE:
            where = np.unravel_index(change.argmax(), change.shape)
            raise BadInput(
                f"after refitting, {baseline.kind} predicts {now[where]:.6g} for {about['probe'][where[0]]}, before "
                f"{before[where]:.6g}; it was made with {_list_versions(about['versions'])}, installed are "
                f"{_list_versions(_versions())}: delete the run and make it again"
            )
        return model


def predict_out_of_fold(
    baseline: Any, table: Dataset, folds: int, seed: int, report: Report = SILENT_REPORT
) -> np.ndarray:
    """Out-of-fold predictions (n, t): of each molecule by a baseline fitted to the other folds of the table.

    NaN where the labels of a task do not vary in the other folds. A repeated molecule may be in two folds.
    """
    _, rows = Features.fit_rows(baseline.features, list(table.smiles), report.part(0, 0.3))
    predictions = np.full(table.targets.shape, np.nan)
    fold = np.random.default_rng([seed, 16]).permutation(len(rows)) % folds
    for number in range(folds):
        share = report.part(0.3 + 0.7 * number / folds, 0.3 + 0.7 * (number + 1) / folds)
        for column, kind in enumerate(table.kinds):
            train = ~np.isnan(table.targets[:, column]) & (fold != number)
            labels = table.targets[train, column]
            if len(labels) > 1 and np.ptp(labels) > 0:
                model = baseline(rows[train], labels, kind, seed, share)
                predictions[fold == number, column] = np.asarray(model(rows[fold == number]), float)
    return predictions


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("scikit-learn", "rdkit", "numpy")}


def _list_versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())
