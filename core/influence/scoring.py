"""Score a table: checks of the tables, batches, score columns; also scores of further tables later on."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput
from core.influence.solvers.solution import NotSolved
from core.results.fit import Fit
from core.results.scores import Scores, build_score_columns

if TYPE_CHECKING:
    import torch

    from core.influence.view import ParameterView
    from core.models.predictor import Predictor


def check_use(tasks: tuple[str, ...], train: Dataset, pool: Dataset, target: Dataset) -> None:
    """Raises `BadInput` where the tables cannot be used together; needs no fit, so it can run before training.

    A pool without any target column is allowed.
    """
    for name, table in (("pool", pool), ("target", target)):
        if table.tasks != tasks and (table.tasks or name == "target"):
            raise BadInput(
                f"the {name} measures {list(table.tasks)}, the model {list(tasks)}; choose the same targets, or give "
                "the columns the same names (`tasks` of a loaded table)"
            )
    if np.isnan(target.targets).all():
        raise BadInput("the target has no measured label, and its loss needs labels; give another target")
    train_keys = {chem.stereo_free_smiles(smiles) for smiles in train.smiles}
    if all(chem.stereo_free_smiles(smiles) in train_keys for smiles in pool.smiles):
        raise BadInput(f"all {len(pool)} molecules of the pool are in the training part already; give another pool")


def check_tables(fit: Fit, train: Dataset, pool: Dataset, target: Dataset) -> list[str]:
    """Warnings for a reader of the scores. Raises `BadInput` where the tables cannot be used together."""
    check_use(fit.tasks, train, pool, target)
    for name, table in (("pool", pool), ("target", target)):
        check_labels(fit, table, name)
    digests = fit.record["digests"]
    train_keys = {chem.stereo_free_smiles(smiles) for smiles in train.smiles}
    keys = [chem.stereo_free_smiles(smiles) for smiles in pool.smiles]
    warnings = []
    if target.digest == digests["test"]:
        warnings.append(
            "the target is the test part: a selection by these scores cannot be tested on it; use the validation part"
        )
    if target.digest == digests["train"]:
        warnings.append(
            "the target is the training part, whose loss says little about new molecules; use the validation part"
        )
    target_keys = {chem.stereo_free_smiles(smiles) for smiles in target.smiles}
    for name, others in (("target", target_keys), ("training part", train_keys)):
        shared = sum(key in others for key in keys)
        if shared:
            warnings.append(f"{shared} of {len(pool)} pool molecules are in the {name} too, ignoring stereochemistry")
    unlabelled = int(np.isnan(pool.targets).all(1).sum())
    if unlabelled == len(pool):
        warnings.append(
            "no molecule of the pool has a label, so there is no ΔL: only the slope of each prediction (`slope`) and, "
            "with the dual solver, the expected information gain of measuring each molecule (`information`)"
        )
    elif unlabelled:
        warnings.append(f"{unlabelled} of {len(pool)} pool molecules have no label and therefore no score")
    for name, table in (("pool", pool), ("target", target)):
        for task, (fit_unit, unit) in enumerate(zip(fit.record["unit"], table.unit, strict=True)):
            if fit_unit and unit and fit_unit != unit:
                warnings.append(
                    f"{fit.tasks[task]!r} is in {unit} in the {name}, in {fit_unit} in the model; nothing was converted"
                )
    return warnings


def with_tasks(fit: Fit, pool: Dataset) -> Dataset:
    """Give a pool without target columns the tasks of the fit, with all labels missing; other pools are unchanged."""
    if pool.tasks:
        return pool
    targets = np.full((len(pool), len(fit.tasks)), np.nan)
    return dataclasses.replace(pool, targets=targets, tasks=fit.tasks, unit=tuple(fit.record["unit"]))


def check_labels(fit: Fit, table: Dataset, name: str) -> None:
    """Raises `BadInput` where a binary task has labels other than 0 and 1."""
    for task, kind in enumerate(fit.record["kinds"]):
        values = table.targets[~np.isnan(table.targets[:, task]), task]
        if kind == "binary" and not np.isin(values, (0, 1)).all():
            raise BadInput(f"the {name} has labels of {fit.tasks[task]!r} other than 0 and 1, but the task is binary")


def check_scores(table: pd.DataFrame) -> None:
    """Raises `NotSolved` where scores are not finite or all equal: neither gives a ranking."""
    labelled = table[[name for name in table if name.split(":")[0] == "label"]].notna().any(axis=1).to_numpy()
    values = table["influence"].to_numpy(float)[labelled]
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise NotSolved(
            f"{count} of {len(values)} scores are not finite; train with a lower learning rate, or in float32"
        )
    if len(values) > 1 and np.ptp(values) == 0:
        raise NotSolved(
            f"all {len(values)} scores are {values[0]:g}: the predictions do not differ between molecules; train longer"
        )


def encode_batches(
    predictor: "Predictor",
    view: "ParameterView",
    table: Dataset,
    batch_rows: list | None,
    batch_size: int,
    report: Report,
) -> "list[tuple[Any, torch.Tensor]]":
    """Batches (inputs of the view, scaled targets); `batch_rows`: their rows, by default of similar length.

    Batches without any label are left out.
    """
    targets = predictor.scale_labels(table.targets)
    batches = []
    batch_rows = batch_rows or predictor.batches(list(table.smiles), batch_size)
    for rows in batch_rows:
        if not np.isnan(table.targets[rows]).all():
            batches.append((view.inputs(predictor.encode([table.smiles[row] for row in rows])), targets[rows]))
        report(len(batches) / len(batch_rows), f"{len(batches)} of {len(batch_rows)} batches")
    return batches


class ScoredRows(NamedTuple):
    """Scores of a table: columns of `core.results.scores.build_score_columns`, scaled outputs (n, t), and features.

    `features`: inputs (n, h/2) of the last layer, None unless asked for.
    """

    table: pd.DataFrame
    outputs: np.ndarray
    features: np.ndarray | None


def score_rows(
    predictor: "Predictor",
    view: "ParameterView",
    derivative: Any,
    table: Dataset,
    cells: int,
    batch_size: int,
    keep_features: bool,
    report: Report,
) -> ScoredRows:
    """Score a table with the directional derivative of a solved vector; `keep_features`: also last-layer inputs.

    `cells`: measured training cells N; Repeated molecules pass the network once.
    """
    from core.influence.directional import score_smiles

    indices, molecules = pd.factorize(table.smiles)
    arrays = score_smiles(predictor, view, derivative, list(molecules), batch_size, keep_features, report)
    outputs, scaled_slopes, features = (None if values is None else values[indices] for values in arrays)
    centre, spread = (value.double().cpu().numpy() for value in (predictor.centre, predictor.spread))
    binary = np.array([kind == "binary" for kind in predictor.kinds])
    predictions = np.where(binary, 1 / (1 + np.exp(-np.clip(outputs, -500, 500))), outputs * spread + centre)
    slopes = np.where(binary, scaled_slopes, scaled_slopes * spread)
    scores = build_score_columns(table.targets, predictions, slopes, predictor.tasks, predictor.kinds, spread, cells)
    scores.insert(0, "smiles", np.asarray(table.smiles, dtype=object))
    if "mislabelled" in table.columns:
        scores["mislabelled"] = np.asarray(table.columns["mislabelled"], bool)
    return ScoredRows(scores, outputs, features)


def make_scorer(scores: Scores, fit: Fit) -> Callable[[Dataset, Report], pd.DataFrame]:
    """A function that scores any table with the vector of `scores`; loads the predictor once, for many chunks.

    Rows without a label get a slope and no score. Raises `BadInput` where the tasks differ. Its `check(smiles)` lists
    (row, warning) for molecules outside the domain of the backbone.
    """
    import torch

    from core.influence.directional import DirectionalDerivative
    from core.influence.view import parameter_view
    from core.models.predictor import Predictor

    record = scores.record
    predictor = Predictor.load(fit.folder / "predictor")
    view = parameter_view(predictor, record["scope"], record["weights"])
    derivative = DirectionalDerivative(
        view, torch.as_tensor(scores.vector).to(view.binary.device), record["step"], record["route"]
    )

    def score(table: Dataset, report: Report = SILENT_REPORT) -> pd.DataFrame:
        if table.tasks != fit.tasks:
            raise BadInput(
                f"the table measures {list(table.tasks)}, the model {list(fit.tasks)}; name the same targets"
            )
        check_labels(fit, table, "table")
        arguments = (table, record["cells_train"], record["batch_size"], False, report)
        return score_rows(predictor, view, derivative, *arguments).table

    score.check = predictor.backbone.check
    return score


def score_dataset(scores: Scores, fit: Fit, dataset: Dataset, report: Report = SILENT_REPORT) -> pd.DataFrame:
    """Scores of a further table, in the columns of `Scores.table`."""
    return make_scorer(scores, fit)(dataset, report)
