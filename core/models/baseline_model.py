"""A learner fitted to molecules: what it sees of them and one model a task; the counterpart of a predictor."""

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
PROBE_COUNT = 32  # molecules whose predictions are kept, to know the models again by
PROBE_TOLERANCE = 1e-4  # label spreads that a prediction may move when a model is fitted again


@dataclass(frozen=True, eq=False)
class BaselineModel:
    """A learner's models, one a task, each fitted to the molecules that have its label.

    Models are neither pickled nor written: `save` keeps the numbers they were fitted to, the settings and the versions,
    and `load` fits them again, which takes as long as the first time (descriptors aside) and gives the same models. It
    knows that it did by molecules whose predictions were kept.
    """

    baseline: Any
    seed: int
    tasks: tuple[str, ...]
    kinds: tuple[str, ...]
    features: Features
    rows: np.ndarray  # float32 (n, p), what it saw of the training molecules
    labels: np.ndarray  # float64 (n, t), NaN where unmeasured
    models: tuple[Callable[[np.ndarray], np.ndarray], ...]

    @classmethod
    def fit(cls, learner: Any, train: Dataset, seed: int, report: Report = SILENT_REPORT) -> "BaselineModel":
        """Fitted to a table. Raises `BadInput` where there is nothing to learn."""
        smiles = list(train.smiles)
        features, rows = Features.fit_rows(learner.features, smiles, report.part(0, 0.6))
        given = (tuple(train.tasks), tuple(train.kinds), features, rows, train.targets)
        return cls.fit_rows(learner, seed, *given, report.part(0.6, 1))

    @classmethod
    def fit_rows(
        cls,
        learner: Any,
        seed: int,
        tasks: tuple[str, ...],
        kinds: tuple[str, ...],
        features: Features,
        rows: np.ndarray,
        labels: np.ndarray,
        report: Report = SILENT_REPORT,
    ) -> "BaselineModel":
        models = []
        for place, (task, kind) in enumerate(zip(tasks, kinds, strict=True)):
            share = report.part(place / len(tasks), (place + 1) / len(tasks))
            share(0, f"fitting {learner.kind} to {task!r}")
            mine = ~np.isnan(labels[:, place])
            known = labels[mine, place]
            if kind == "binary" and np.ptp(known) == 0:
                raise BadInput(
                    f"every training label of {task!r} is {known[0]:g}; a classifier needs both 0 and 1: split anew, "
                    "or use a larger table"
                )
            models.append(learner(rows[mine], known, kind, seed, share))
        return cls(learner, seed, tasks, kinds, features, rows, labels, tuple(models))

    def predict(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> np.ndarray:
        """Predictions (n, t): label units for regression, probabilities for binary tasks."""
        rows = self.features(smiles, report)
        return np.stack([np.asarray(model(rows), float) for model in self.models], 1)

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """Nothing: descriptors and fingerprints read any molecule whole."""
        return []

    @staticmethod
    def is_saved_in(folder: Path) -> bool:
        return (folder / BASELINE_FILE).is_file()

    def save(self, folder: Path, probe: Sequence[str]) -> None:
        """The training numbers as safetensors, the rest as JSON; `probe`: molecules to know the models again by."""
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
        """Fitted again. Raises `BadInput` where the files cannot be read, or where other models come out."""
        try:
            about = json.loads((folder / BASELINE_FILE).read_text())
            numbers = load_file(folder / "training.safetensors")
            features = Features.from_json(about["features"])
            bits = np.unpackbits(numbers["bits"], axis=1).astype(np.float32)
            rows = np.hstack([numbers["descriptors"], bits])
            learner, tasks, kinds = BASELINES.read(about["baseline"]), tuple(about["tasks"]), tuple(about["kinds"])
            made = cls.fit_rows(learner, about["seed"], tasks, kinds, features, rows, numbers["labels"], report)
            before = np.array(about["predicted"], float)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise BadInput(f"{folder} holds no readable baseline ({error}); delete the run and make it again") from None
        now = made.predict(about["probe"])
        moved = np.abs(now - before) / np.nanstd(made.labels, axis=0)
        if moved.size and moved.max() > PROBE_TOLERANCE:
            where = np.unravel_index(moved.argmax(), moved.shape)
            raise BadInput(
                f"fitted again, {learner.kind} predicts {now[where]:.6g} for {about['probe'][where[0]]} and not "
                f"{before[where]:.6g} as it did; it was made with {_list_versions(about['versions'])}, here are "
                f"{_list_versions(_versions())}: delete the run and make it again"
            )
        return made


def predict_out_of_fold(
    learner: Any, table: Dataset, folds: int, seed: int, report: Report = SILENT_REPORT
) -> np.ndarray:
    """Of each molecule the prediction (n, t) of a learner fitted without it: to the other folds of the table.

    NaN where the other folds have nothing to learn a task from. A molecule that is there twice may be in two folds.
    """
    _, rows = Features.fit_rows(learner.features, list(table.smiles), report.part(0, 0.3))
    found = np.full(table.targets.shape, np.nan)
    fold = np.random.default_rng([seed, 16]).permutation(len(rows)) % folds
    for number in range(folds):
        share = report.part(0.3 + 0.7 * number / folds, 0.3 + 0.7 * (number + 1) / folds)
        for place, kind in enumerate(table.kinds):
            known = ~np.isnan(table.targets[:, place]) & (fold != number)
            labels = table.targets[known, place]
            if len(labels) > 1 and np.ptp(labels) > 0:
                model = learner(rows[known], labels, kind, seed, share)
                found[fold == number, place] = np.asarray(model(rows[fold == number]), float)
    return found


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("scikit-learn", "rdkit", "numpy")}


def _list_versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())
