"""Predict: a fit and any molecules → what it says of them, how far that may be off, and what it has seen like them."""

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
from core.results.fit import PARTS, Fit, compute_task_metrics
from core.results.predictions import TASK_COLUMNS, Predictions, column_name
from core.stats import bootstrap
from core.stats.conformal import MIN_ERRORS, estimate_share

MAX_LISTED = 50  # rows that are named in the record; the table itself has all
UNSEEN = ""  # of a molecule that no part of the fit's table has
PART_NAMES = {"train": "training part", "valid": "validation part", "test": "test part"}


@settings
class Predict(Spec[Predictions]):
    """What does a finished model say of other molecules, and how far may it be off?

    Intervals are conformal: as wide as the fit's errors on its validation part ask for, wider for molecules far from
    the training part and, of an ensemble, where its members disagree. The test part tells how many of its labels they
    hold. Where the molecules are of another kind than these, they promise nothing: see `remote_threshold`.
    """

    kind: ClassVar[str] = "predict"
    page: ClassVar[str] = "predict"
    effort: ClassVar[float] = 0.5

    fit: Spec[Fit] = Field(description="the model: a fine-tuning, a baseline, an ensemble, or a trunk under a head")
    table: Spec[Dataset] = Field(
        description="molecules to predict, of a file those without a label too; labels are compared with"
    )
    labels: tuple[str, ...] = Field(
        default=(),
        description="columns of the table that measure the fit's tasks, in their order; empty: those of the same name",
    )
    level: float = Field(default=0.9, ge=0.5, le=0.99, description="share of labels that the intervals should hold")

    @field_validator("table")
    @classmethod
    def _unlabelled_too(cls, table: Spec[Dataset]) -> Spec[Dataset]:
        return Molecules.of(table) if isinstance(table, Load) else table

    @property
    def title(self) -> str:
        return f"predictions of {self.table.title.removeprefix('load ')} by {self.fit.title}"

    def make(self, report: Report, fit: Fit, table: Dataset) -> Predictions:
        read_labels(fit, table, self.labels)  # before anything takes long
        smiles = list(map(str, table.smiles))
        report(0, "loading the model")
        model = load_model(fit.folder / "predictor", report.part(0, 0.05))
        values, apart = predict_molecules(model, smiles, report.part(0.05, 0.8))
        return self.add_context(fit, table, values, apart, model.check(smiles), report.part(0.8, 1))

    def add_context(
        self,
        fit: Fit,
        table: Dataset,
        values: np.ndarray,
        apart: np.ndarray | None,
        faults: Sequence[tuple[int, str]],
        report: Report,
    ) -> Predictions:
        """Predictions (n, t) beside all that tells how far to believe them.

        `apart` (n, t): how far the members of an ensemble are apart; `faults`: what the model has against some rows.
        """
        smiles, tasks = list(map(str, table.smiles)), fit.tasks
        measured, warnings = read_labels(fit, table, self.labels)
        calibration = Calibration.of(fit, self.level, report.part(0, 0.4))
        kept = calibration.test_coverage(fit, report.part(0.4, 0.6))
        near = calibration.find_nearest(smiles, report.part(0.6, 1))
        low, high = calibration.interval_bounds(values, near, apart)
        columns: dict[str, Any] = {"smiles": smiles}
        for place, task in enumerate(tasks):
            given = {"label": measured, "prediction": values, "low": low, "high": high, "spread": apart}
            for name, found in given.items():
                if found is not None and not (name == "label" and np.isnan(found[:, place]).all()):
                    columns[column_name(name, task, tasks)] = found[:, place]
        part = np.array(find_parts(fit, smiles), object)
        new = part == UNSEEN
        columns |= {
            "similarity": near.similarity.astype(float),
            "nearest": np.array(calibration.train, object)[near.nearest],
            "remote": near.similarity < calibration.remote_threshold,
            "part": part,
            "caution": list_cautions(faults, len(smiles)),
        }
        warnings += describe_predictions(self.level, calibration, columns)
        ours = {column_name(name, task, tasks) for name in TASK_COLUMNS for task in tasks}
        for name, given in table.columns.items():
            columns[free_column_name(name, {*columns, *ours})] = given
        record = {
            "fit": self.fit.key,
            "fit_title": self.fit.title,
            "molecules": len(smiles),
            "tasks": list(tasks),
            "kinds": list(fit.record["kinds"]),
            "unit": list(fit.record["unit"]),
            "level": self.level,
            "calibrated_on": [None if one is None else one.n for one in calibration.intervals],
            "kept": kept,
            "width": [measure_width(low[:, k], high[:, k]) for k in range(len(tasks))],
            "remote_below": calibration.remote_threshold,
            "remote": int(columns["remote"].sum()),
            "known": {name: int((part == name).sum()) for name in PARTS},
            "test": fit.metrics["test"],
            "test_intervals": fit.record.get("intervals", {}),
            **measure_errors(fit, measured[new], values[new]),
            "held": [
                measure_coverage(measured[new, k], low[new, k], high[new, k]) if kind != "binary" else None
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


def read_labels(fit: Fit, table: Dataset, wanted: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """What a table measures of the fit's tasks (n, t), NaN where nothing, and what has to be said of it.

    Raises `BadInput` for columns that it lacks.
    """
    names = tuple(wanted) or tuple(task if task in table.tasks else "" for task in fit.tasks)
    if len(names) != len(fit.tasks):
        raise BadInput(f"`labels` wants a column for each task ({', '.join(fit.tasks)}); got {', '.join(names)}")
    if unknown := [name for name in names if name and name not in table.tasks]:
        raise BadInput(f"the table measures {', '.join(table.tasks) or 'nothing'}, not {unknown[0]!r}")
    found, warnings = np.full((len(table), len(fit.tasks)), np.nan), []
    for place, (task, name) in enumerate(zip(fit.tasks, names, strict=True)):
        if not name:
            continue
        column = table.tasks.index(name)
        found[:, place] = table.targets[:, column]
        own, other = fit.record["unit"][place], table.unit[column]
        if own and other and own != other:
            warnings.append(f"{name!r} is in {other} in the table, {task!r} in {own} in the fit; nothing was converted")
    check_labels(fit, Dataset(table.smiles, found, fit.tasks), "table")
    return found, warnings


def find_parts(fit: Fit, smiles: Sequence[str]) -> list[str]:
    """The part of the fit's table that has each molecule, stereo marks left aside; "" for one that is new."""
    known: dict[str, str] = {}
    for part in ("test", "valid", "train"):
        known |= dict.fromkeys((chem.stereo_free_smiles(str(one)) for one in fit.matrices(part)[2]), part)
    return [known.get(chem.stereo_free_smiles(one), UNSEEN) for one in smiles]


def list_dropped_rows(table: Dataset) -> list[dict[str, Any]]:
    """Rows of the table that are no molecule, the first fifty: row, smiles, reason."""
    rows = table.dropped[table.dropped["what"] == "molecule"][["row", "smiles", "reason"]].head(MAX_LISTED)
    return [{"row": int(row), "smiles": str(smiles), "reason": str(reason)} for row, smiles, reason in rows.to_numpy()]


def list_cautions(faults: Sequence[tuple[int, str]], n: int) -> list[str]:
    """What the model has against each of n molecules."""
    found: list[list[str]] = [[] for _ in range(n)]
    for row, fault in faults:
        found[row].append(fault)
    return ["; ".join(one) for one in found]


def measure_coverage(labels: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """The share of labels (n,) that lie in their intervals, over those that have one."""
    known = ~np.isnan(labels) & ~np.isnan(low)
    return estimate_share(((low <= labels) & (labels <= high))[known])


def measure_errors(fit: Fit, labels: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """Of each task with labels (n, t) the metrics over molecules that the fit has not seen, and their intervals."""
    mine = np.flatnonzero(~np.isnan(labels).all(0))
    tasks, kinds = ([each[place] for place in mine] for each in (fit.tasks, fit.record["kinds"]))
    given = tasks, kinds, labels[:, mine], values[:, mine]
    return {"metrics": compute_task_metrics(*given), "intervals": bootstrap.compute_intervals(*given)}


def measure_width(low: np.ndarray, high: np.ndarray) -> dict[str, float] | None:
    """Half the width of the narrowest tenth, the middle and the widest tenth of the intervals; None without any."""
    half = (high - low)[~np.isnan(low)] / 2
    if not len(half):
        return None
    return dict(zip(("low", "median", "high"), map(float, np.quantile(half, [0.1, 0.5, 0.9])), strict=True))


def describe_predictions(level: float, calibration: Calibration, columns: dict[str, Any]) -> list[str]:
    """What a reader has to know before believing the predictions."""
    found = []
    n, remote = len(columns["smiles"]), int(columns["remote"].sum())
    if known := int((columns["part"] != UNSEEN).sum()):
        counts = {name: int((columns["part"] == part).sum()) for part, name in PART_NAMES.items()}
        by_part = ", ".join(f"{count} in the {name}" for name, count in counts.items() if count)
        found.append(
            f"{known} of {n} molecules, stereo marks left aside, are of the fit's own table ({by_part}): what it says "
            "of them is no forecast, and errors leave them out"
        )
    if remote > max(2, 0.15 * n):
        found.append(
            f"{remote} of {n} molecules are further from the training part than 95 % of the validation part is "
            f"(similarity below {calibration.remote_threshold:.2f}); intervals promise nothing of molecules of another kind"
        )
    without = [
        task for task, (kind, one) in enumerate(zip(calibration.kinds, calibration.intervals, strict=True))
        if kind != "binary" and one is None
    ]  # fmt: skip
    if without:
        needed = max(MIN_ERRORS, int(np.ceil(level / (1 - level))))
        found.append(f"no intervals: the validation part has fewer than {needed} labels, which this level wants")
    if cautions := sum(map(bool, columns["caution"])):
        found.append(f"{cautions} of {n} molecules are unlike what the backbone was pre-trained on; see `caution`")
    return found
