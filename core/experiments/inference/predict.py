"""Predict: predictions of a model for any molecules, with intervals and the nearest training molecules."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from core.chem import molecules as chem
from core.data.annotated_table import free_column_name
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.data.load import Load
from core.experiments.data.molecules import Molecules
from core.experiments.inference.apply import predict_molecules
from core.influence.scoring import check_labels
from core.models.ensemble import load_model
from core.results.calibration import Calibration
from core.results.fit import PARTS, Fit, compute_task_intervals, compute_task_metrics
from core.results.predictions import TASK_COLUMNS, Predictions, column_name
from core.stats.conformal import estimate_share

MAX_LISTED = 50  # rows that are listed in the record
FAR = 1.0  # standard deviations beyond the range of the training set from which one molecule is worth a warning
UNSEEN = ""  # a molecule that is in none of the sets of the model
PART_NAMES = {"train": "training set", "valid": "validation set", "test": "test set"}


@settings
class Predict(Spec[Predictions]):
    """Predictions of a trained model for other molecules, with prediction intervals.

    The intervals are conformal: their width follows from the errors on the validation set. They are wider for molecules
    far from the training set, for molecules beyond its range of size, logP, charge and the like, and, for an ensemble,
    where its members disagree. Their coverage is measured on the test set. It is not guaranteed for molecules outside
    the applicability domain: see `core.results.domain`.
    """

    kind: ClassVar[str] = "predict"
    revision: ClassVar[int] = 2
    page: ClassVar[str] = "predict"
    effort: ClassVar[float] = 0.5

    fit: Spec[Fit] = Field(
        description="the model: a fine-tuning, a baseline, an ensemble or a head of a multitask model"
    )
    table: Spec[Dataset] = Field(
        description="molecules to predict, with or without labels; labels are compared with the predictions"
    )
    labels: tuple[str, ...] = Field(
        default=(),
        description="columns of the table with labels of the tasks of the model, in order; empty: the same names",
    )
    level: float = Field(
        default=0.9, ge=0.5, le=0.99, description="coverage: share of labels that the intervals should contain"
    )

    @field_validator("table")
    @classmethod
    def _keep_unlabelled(cls, table: Spec[Dataset]) -> Spec[Dataset]:
        return Molecules.of(table) if isinstance(table, Load) else table

    @property
    def title(self) -> str:
        return f"predictions of {self.table.title.removeprefix('load ')} by {self.fit.title}"

    def make(self, report: Report, fit: Fit, table: Dataset) -> Predictions:
        read_labels(fit, table, self.labels)  # raises before anything slow
        smiles = list(map(str, table.smiles))
        report(0, "loading the model")
        model = load_model(fit.folder / "predictor", report.part(0, 0.05))
        values, spread = predict_molecules(model, smiles, report.part(0.05, 0.8))
        return self.add_context(fit, table, values, spread, model.check(smiles), report.part(0.8, 1))

    def add_context(
        self,
        fit: Fit,
        table: Dataset,
        values: np.ndarray,
        spread: np.ndarray | None,
        problems: Sequence[tuple[int, str]],
        report: Report,
    ) -> Predictions:
        """The product: predictions `values` (n, t) with intervals, nearest training molecules and cautions.

        `spread` (n, t): standard deviation of the members of an ensemble; `problems`: (row, text) of unusual molecules.
        """
        smiles, tasks = list(map(str, table.smiles)), fit.tasks
        measured, warnings = read_labels(fit, table, self.labels)
        calibration = Calibration.of(fit, self.level, report.part(0, 0.4))
        coverage = calibration.test_coverage(fit, report.part(0.4, 0.6))
        position = calibration.locate(smiles, report.part(0.6, 1))
        low, high = calibration.interval_bounds(values, position, spread)
        columns: dict[str, Any] = {"smiles": smiles}
        for column, task in enumerate(tasks):
            matrices = {"label": measured, "prediction": values, "low": low, "high": high, "spread": spread}
            for name, matrix in matrices.items():
                if matrix is not None and not (name == "label" and np.isnan(matrix[:, column]).all()):
                    columns[column_name(name, task, tasks)] = matrix[:, column]
        part = np.array(find_parts(fit, smiles), object)
        unseen = part == UNSEEN
        columns |= {
            "similarity": position.similarity.astype(float),
            "nearest": np.array(calibration.domain.train, object)[position.nearest],
            "remote": calibration.is_remote(position),
            "outside": np.array(position.outside, object),
            "part": part,
            "caution": list_cautions(problems, len(smiles)),
        }
        warnings += describe_predictions(tasks, calibration, columns, position.distance)
        reserved = {column_name(name, task, tasks) for name in TASK_COLUMNS for task in tasks}
        for name, column_values in table.columns.items():
            columns[free_column_name(name, {*columns, *reserved})] = column_values
        record = {
            "fit": self.fit.key,
            "fit_title": self.fit.title,
            "molecules": len(smiles),
            "tasks": list(tasks),
            "kinds": list(fit.record["kinds"]),
            "unit": list(fit.record["unit"]),
            "level": self.level,
            "calibrated_on": [None if one is None else one.n for one in calibration.intervals],
            "kept": coverage,
            "undefined": {
                task: why for task, why in zip(tasks, calibration.explain_missing(), strict=True) if why
            },  # why there are no intervals
            "width": [measure_width(low[:, k], high[:, k]) for k in range(len(tasks))],
            "remote_below": calibration.remote_threshold,
            "remote": int(columns["remote"].sum()),
            "beyond_range": int((position.distance > 0).sum()),
            "known": {name: int((part == name).sum()) for name in PARTS},
            "test": fit.metrics["test"],
            "test_intervals": fit.record.get("intervals", {}),
            **measure_errors(fit, measured[unseen], values[unseen]),
            "held": [
                measure_coverage(measured[unseen, k], low[unseen, k], high[unseen, k]) if kind != "binary" else None
                for k, kind in enumerate(fit.record["kinds"])
            ],
            "digests": {"table": table.digest, **fit.record["digests"]},
            "seed": fit.record.get("seed"),
            "device": fit.record.get("device"),
            "dropped": list_dropped_rows(table),
            "merged": int((table.dropped["what"] == "merged").sum()),
            "warnings": warnings,
        }
        return Predictions(pd.DataFrame(columns), record)


def read_labels(fit: Fit, table: Dataset, columns: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Labels of the tasks of a model in a table (n, t), NaN where missing, and warnings about units.

    Raises `BadInput` for missing columns and labels that do not fit the task.
    """
    names = tuple(columns) or tuple(task if task in table.tasks else "" for task in fit.tasks)
    if len(names) != len(fit.tasks):
        raise BadInput(f"`labels` wants a column for each task ({', '.join(fit.tasks)}); got {', '.join(names)}")
    if unknown := [name for name in names if name and name not in table.tasks]:
        raise BadInput(f"the table has labels of {', '.join(table.tasks) or 'nothing'}, not of {unknown[0]!r}")
    labels, warnings = np.full((len(table), len(fit.tasks)), np.nan), []
    for index, (task, name) in enumerate(zip(fit.tasks, names, strict=True)):
        if not name:
            continue
        column = table.tasks.index(name)
        labels[:, index] = table.targets[:, column]
        own, other = fit.record["unit"][index], table.unit[column]
        if own and other and own != other:
            warnings.append(
                f"{name!r} is in {other} in the table, {task!r} in {own} in the model; nothing was converted"
            )
    check_labels(fit, Dataset(table.smiles, labels, fit.tasks), "table")
    return labels, warnings


def find_parts(fit: Fit, smiles: Sequence[str]) -> list[str]:
    """The set of the model (train, valid, test) that has each molecule, stereoisomers included; "" for a new one."""
    part_of: dict[str, str] = {}
    for part in ("test", "valid", "train"):
        part_of |= dict.fromkeys((chem.stereo_free_smiles(str(one)) for one in fit.matrices(part)[2]), part)
    return [part_of.get(chem.stereo_free_smiles(one), UNSEEN) for one in smiles]


def list_dropped_rows(table: Dataset) -> list[dict[str, Any]]:
    """Rows of the table without a valid molecule, the first fifty: row, smiles, reason."""
    rows = table.dropped[table.dropped["what"] == "molecule"][["row", "smiles", "reason"]].head(MAX_LISTED)
    return [{"row": int(row), "smiles": str(smiles), "reason": str(reason)} for row, smiles, reason in rows.to_numpy()]


def list_cautions(problems: Sequence[tuple[int, str]], n: int) -> list[str]:
    """The problems of each of n molecules as one text."""
    texts: list[list[str]] = [[] for _ in range(n)]
    for row, problem in problems:
        texts[row].append(problem)
    return ["; ".join(one) for one in texts]


def measure_coverage(labels: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """The share of labels (n,) inside their intervals, over molecules with a label and an interval."""
    usable = ~np.isnan(labels) & ~np.isnan(low)
    return estimate_share(((low <= labels) & (labels <= high))[usable])


def measure_errors(fit: Fit, labels: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """Metrics and their intervals of each task with labels (n, t), over molecules that are new to the model."""
    labelled = np.flatnonzero(~np.isnan(labels).all(0))
    tasks, kinds = ([column[index] for index in labelled] for column in (fit.tasks, fit.record["kinds"]))
    arguments = tasks, kinds, labels[:, labelled], values[:, labelled]
    cards = compute_task_metrics(*arguments)
    return {"metrics": cards, **compute_task_intervals(*arguments, cards)}


def measure_width(low: np.ndarray, high: np.ndarray) -> dict[str, float] | None:
    """Half the width of the intervals: 10 % quantile, median, 90 % quantile; None without intervals."""
    half = (high - low)[~np.isnan(low)] / 2
    if not len(half):
        return None
    return dict(zip(("low", "median", "high"), map(float, np.quantile(half, [0.1, 0.5, 0.9])), strict=True))


def describe_predictions(
    tasks: Sequence[str], calibration: Calibration, columns: dict[str, Any], distance: np.ndarray
) -> list[str]:
    """Warnings about the predictions as a whole; `distance` (n,) beyond the range of the training set."""
    warnings = []
    n, remote = len(columns["smiles"]), int((columns["similarity"] < calibration.remote_threshold).sum())
    if n_known := int((columns["part"] != UNSEEN).sum()):
        counts = {name: int((columns["part"] == part).sum()) for part, name in PART_NAMES.items()}
        by_part = ", ".join(f"{count} in the {name}" for name, count in counts.items() if count)
        warnings.append(
            f"{n_known} of {n} molecules or their stereoisomers are in the data of the model ({by_part}); they are "
            "left out of the errors"
        )
    if remote > max(2, 0.15 * n):
        warnings.append(
            f"{remote} of {n} molecules are outside the applicability domain: further from the training set than 95 % "
            f"of the validation set (similarity below {calibration.remote_threshold:.2f}); coverage is not guaranteed"
        )
    beyond = int((distance > 0).sum())
    if beyond > max(2, 0.15 * n) or distance.max(initial=0) >= FAR:
        words = columns["outside"][int(distance.argmax())]
        warnings.append(
            f"{beyond} of {n} molecules {'is' if beyond == 1 else 'are'} beyond the range of the training set (the "
            f"farthest: {words}): errors were not measured there, the intervals are wider by a rule of thumb"
        )
    warnings += calibration.missing_sentences(tasks)
    if n_cautions := sum(map(bool, columns["caution"])):
        warnings.append(
            f"{n_cautions} of {n} molecules differ from the pre-training molecules of the backbone; see `caution`"
        )
    return warnings
