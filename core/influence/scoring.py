"""What scoring a table takes: the checks before it, the batches, the columns; also of a table that comes later."""

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
    """Raises `BadInput` where the tables cannot be used together, whatever a fit of these tasks comes to be.

    A pool without any target column will do.
    """
    for name, table in (("pool", pool), ("target", target)):
        if table.tasks != tasks and (table.tasks or name == "target"):
            raise BadInput(
                f"the {name} measures {list(table.tasks)}, the fit {list(tasks)}; choose the same targets, or give the "
                "columns the same names (`tasks` of a loaded table)"
            )
    if np.isnan(target.targets).all():
        raise BadInput("the target has no measured label; a loss that should fall needs labels")
    known = {chem.stereo_free_smiles(smiles) for smiles in train.smiles}
    if all(chem.stereo_free_smiles(smiles) in known for smiles in pool.smiles):
        raise BadInput(f"all {len(pool)} molecules of the pool are in the training part already; give another pool")


def check_tables(fit: Fit, train: Dataset, pool: Dataset, target: Dataset) -> list[str]:
    """Sentences a reader of the scores has to know. Raises `BadInput` where the tables cannot be used together."""
    check_use(fit.tasks, train, pool, target)
    for name, table in (("pool", pool), ("target", target)):
        check_labels(fit, table, name)
    digests = fit.record["digests"]
    known = {chem.stereo_free_smiles(smiles) for smiles in train.smiles}
    keys = [chem.stereo_free_smiles(smiles) for smiles in pool.smiles]
    found = []
    if target.digest == digests["test"]:
        found.append(
            "the target is the test part: what these scores choose is chosen by the answer; use the validation part"
        )
    if target.digest == digests["train"]:
        found.append(
            "the target is the training part, whose loss says little about new molecules; use the validation part"
        )
    aims = {chem.stereo_free_smiles(smiles) for smiles in target.smiles}
    for name, others in (("target", aims), ("training part", known)):
        shared = sum(key in others for key in keys)
        if shared:
            found.append(f"{shared} of {len(pool)} pool molecules, stereo marks left aside, are in the {name} too")
    unlabelled = int(np.isnan(pool.targets).all(1).sum())
    if unlabelled == len(pool):
        found.append(
            "no molecule of the pool has a label, so there is no ΔL: only how it would depend on a label (`slope`), "
            "and, where the dual solves, what measuring each would tell of the target (`information`)"
        )
    elif unlabelled:
        found.append(f"{unlabelled} of {len(pool)} pool molecules have no label and therefore no score")
    for name, table in (("pool", pool), ("target", target)):
        for task, (own, other) in enumerate(zip(fit.record["unit"], table.unit, strict=True)):
            if own and other and own != other:
                found.append(
                    f"{fit.tasks[task]!r} is in {other} in the {name}, in {own} in the fit; nothing was converted"
                )
    return found


def with_tasks(fit: Fit, pool: Dataset) -> Dataset:
    """A pool without any target column as one whose labels of the fit's tasks are all unknown; others as they are."""
    if pool.tasks:
        return pool
    targets = np.full((len(pool), len(fit.tasks)), np.nan)
    return dataclasses.replace(pool, targets=targets, tasks=fit.tasks, unit=tuple(fit.record["unit"]))


def check_labels(fit: Fit, table: Dataset, name: str) -> None:
    """Raises `BadInput` where a binary task has labels other than 0 and 1."""
    for task, kind in enumerate(fit.record["kinds"]):
        values = table.targets[~np.isnan(table.targets[:, task]), task]
        if kind == "binary" and not np.isin(values, (0, 1)).all():
            raise BadInput(
                f"the {name} has labels of {fit.tasks[task]!r} other than 0 and 1, the fit is of a binary task"
            )


def check_scores(table: pd.DataFrame) -> None:
    """Raises `NotSolved` where scores are not finite or all the same: neither is an order."""
    labelled = table[[name for name in table if name.split(":")[0] == "label"]].notna().any(axis=1).to_numpy()
    values = table["influence"].to_numpy(float)[labelled]
    if not np.isfinite(values).all():
        wrong = int((~np.isfinite(values)).sum())
        raise NotSolved(
            f"{wrong} of {len(values)} scores are not finite; train with a lower learning rate, or in float32"
        )
    if len(values) > 1 and np.ptp(values) == 0:
        raise NotSolved(
            f"all {len(values)} scores are {values[0]:g}: the predictor does not tell molecules apart; train on"
        )


def encode_batches(
    predictor: "Predictor", seen: "ParameterView", table: Dataset, parts: list | None, size: int, report: Report
) -> "list[tuple[Any, torch.Tensor]]":
    """Batches (inputs of the view, scaled targets) of a table; `parts`: its rows, by default of about equal length."""
    targets = predictor.scale_labels(table.targets)
    found = []
    parts = parts or predictor.batches(list(table.smiles), size)
    for rows in parts:
        if not np.isnan(table.targets[rows]).all():
            found.append((seen.inputs(predictor.encode([table.smiles[row] for row in rows])), targets[rows]))
        report(len(found) / len(parts), f"{len(found)} of {len(parts)} batches")
    return found


class ScoredRows(NamedTuple):
    """The score table of some molecules (`core.results.scores.build_score_columns`), the scaled outputs (n, t), and what enters the
    last layer (n, h/2) if it was wanted.
    """

    table: pd.DataFrame
    outputs: np.ndarray
    features: np.ndarray | None


def score_rows(
    predictor: "Predictor",
    seen: "ParameterView",
    slopes: Any,
    table: Dataset,
    cells: int,
    size: int,
    keep: bool,
    report: Report,
) -> ScoredRows:
    """Sweep over a table along the slopes of a solved vector; `keep` what enters the last layer.

    A molecule that occurs again goes through the network once.
    """
    from core.influence.directional import score_smiles

    places, molecules = pd.factorize(table.smiles)
    found = score_smiles(predictor, seen, slopes, list(molecules), size, keep, report)
    outputs, moved, features = (None if values is None else values[places] for values in found)
    centre, spread = (value.double().cpu().numpy() for value in (predictor.centre, predictor.spread))
    binary = np.array([kind == "binary" for kind in predictor.kinds])
    predictions = np.where(binary, 1 / (1 + np.exp(-np.clip(outputs, -500, 500))), outputs * spread + centre)
    slope = np.where(binary, moved, moved * spread)
    found = build_score_columns(table.targets, predictions, slope, predictor.tasks, predictor.kinds, spread, cells)
    found.insert(0, "smiles", np.asarray(table.smiles, dtype=object))
    if "mislabelled" in table.columns:
        found["mislabelled"] = np.asarray(table.columns["mislabelled"], bool)
    return ScoredRows(found, outputs, features)


def make_scorer(scores: Scores, fit: Fit) -> Callable[[Dataset, Report], pd.DataFrame]:
    """A function that scores any table with the vector that `scores` keep; loads the predictor once, for many chunks.

    Rows without a label get a slope and no score. Raises `BadInput` where the tasks differ. Its `check(smiles)` names
    (row, sentence) of molecules that are unlike what the backbone was pre-trained on.
    """
    import torch

    from core.influence.directional import DirectionalDerivative
    from core.influence.view import parameter_view
    from core.models.predictor import Predictor

    record = scores.record
    predictor = Predictor.load(fit.folder / "predictor")
    seen = parameter_view(predictor, record["scope"], record["weights"])
    slopes = DirectionalDerivative(
        seen, torch.as_tensor(scores.vector).to(seen.binary.device), record["step"], record["route"]
    )

    def score(table: Dataset, report: Report = SILENT_REPORT) -> pd.DataFrame:
        if table.tasks != fit.tasks:
            raise BadInput(f"the table measures {list(table.tasks)}, the fit {list(fit.tasks)}; name the same targets")
        check_labels(fit, table, "table")
        given = (table, record["cells_train"], record["batch_size"], False, report)
        return score_rows(predictor, seen, slopes, *given).table

    score.check = predictor.backbone.check
    return score


def score_dataset(scores: Scores, fit: Fit, dataset: Dataset, report: Report = SILENT_REPORT) -> pd.DataFrame:
    """Scores of a further table, in the columns of `Scores.table`."""
    return make_scorer(scores, fit)(dataset, report)
