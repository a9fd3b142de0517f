"""What a person has to be told of three parts and of what a fit predicts for them."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput
from core.results.mixture import MixtureParts

if TYPE_CHECKING:
    from core.models.predictor import Predictor


def check_parts(train: Dataset, valid: Dataset, test: Dataset) -> None:
    """The three parts measure the same tasks, and each task is measured in train and valid. Raises `BadInput`."""
    for name, table in (("validation", valid), ("test", test)):
        if table.tasks != train.tasks:
            raise BadInput(
                f"the {name} part measures {table.tasks}, the training part {train.tasks}; choose the same targets"
            )
        for task, one, other in zip(train.tasks, train.unit, table.unit, strict=True):
            if one != other and one and other:
                raise BadInput(
                    f"{task!r} is in {one} in the training part, in {other} in the {name} part; use one unit"
                )
        for column, (task, kind) in enumerate(zip(train.tasks, train.kinds, strict=True)):
            labels = table.targets[:, column]
            odd = labels[~np.isnan(labels) & (labels != 0) & (labels != 1)]
            if kind == "binary" and len(odd):
                raise BadInput(f"{task!r} is 0 or 1 in the training part, {odd[0]:g} in the {name} part; use one kind")
    if not train.tasks:
        raise BadInput("the training part has no target column; name at least one in `targets`")
    for name, table, least in (("training", train, 2), ("validation", valid, 1)):
        for column, task in enumerate(train.tasks):
            count = int((~np.isnan(table.targets[:, column])).sum())
            if count < least:
                raise BadInput(
                    f"the {name} part has {count} labels of {task!r}, at least {least} are needed; use a larger table"
                )
    for column, (task, kind) in enumerate(zip(train.tasks, train.kinds, strict=True)):
        labels = train.targets[~np.isnan(train.targets[:, column]), column]
        if kind == "regression" and np.ptp(labels) == 0:
            raise BadInput(
                f"every training label of {task!r} is {labels[0]:g}; there is nothing to learn from a constant"
            )


def find_overlaps(train: Dataset, valid: Dataset, test: Dataset) -> list[str]:
    """Sentences about molecules, stereo marks left aside, that the training part shares with the others."""
    known = {chem.stereo_free_smiles(smiles) for smiles in train.smiles}
    found = []
    for name, table in (("validation", valid), ("test", test)):
        shared = sum(chem.stereo_free_smiles(smiles) in known for smiles in table.smiles)
        if shared:
            found.append(
                f"{shared} of {len(table)} {name} molecules are also in the training part; its numbers flatter"
            )
    return found


def describe_unreadable(backbone: Any, parts: dict[str, Dataset]) -> list[str]:
    """Sentences about molecules of which the backbone has something to say: unknown tokens, great length."""
    found = []
    for name, table in parts.items():
        faults = backbone.check(list(table.smiles))
        if faults:
            molecules = len({row for row, _ in faults})
            found.append(
                f"{molecules} of {len(table)} {name} molecules are unlike what the backbone was pre-trained on; of the "
                f"first: {faults[0][1]}"
            )
    return found


def drop_unreadable(
    members: Sequence[MixtureParts], backbone: Any, report: Report
) -> tuple[tuple[MixtureParts, ...], list[str]]:
    """The tables without the molecules that a backbone cannot read at all, and what is to be said of that.

    Raises `BadInput` where those are more than a few in a hundred.
    """
    readable, sentences = [], []
    done, total = 0, sum(len(table) for one in members for table in one.parts.values())
    for one in members:
        name_of_table, parts = one.learning.name, {}
        for name, table in one.parts.items():
            within = report.part(done / total, (done + len(table)) / total, phase=f"reading {name_of_table}")
            done += len(table)
            lost = backbone.find_unreadable(list(table.smiles), within)
            keep = np.ones(len(table), bool)
            keep[[row for row, _ in lost]] = False
            parts[name] = table.take(keep) if lost else table
            sentences += [f"{name_of_table}, {name}, row {row}: left out, {reason}" for row, reason in lost]
        sentences += [f"{name_of_table}: {words}" for words in describe_unreadable(backbone, parts)]
        readable.append(dataclasses.replace(one, parts=parts))
    return tuple(readable), sentences


def constant_predictions(train: Dataset, valid: Dataset, predictions: np.ndarray) -> list[str]:
    """A sentence for each task whose predictions hardly vary: the model predicts the mean."""
    found = []
    for column, task in enumerate(train.tasks):
        spread = float(np.nanstd(train.targets[:, column]))
        if train.kinds[column] == "regression" and float(np.std(predictions[:, column])) < 0.05 * spread:
            found.append(
                f"the model predicts the mean of {task!r}: its predictions vary by less than 5 % of the labels' spread"
            )
    return found


def underfit_tasks(tasks: Sequence[str], kinds: Sequence[str], metrics: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence for each task that a fit cannot tell even where it learned, by the `metrics` of its training part.

    Such a fit was trained too briefly or too gently: from random weights a network first predicts the mean.
    """
    found = []
    for task, kind in zip(tasks, kinds, strict=True):
        name, words, least = ("auroc", "AUROC", 0.6) if kind == "binary" else ("r2", "R²", 0.1)
        value = metrics[task][name]
        if value is not None and value < least:
            found.append(
                f"hardly anything of {task!r} was learned: on the training part itself {words} is below {least}; more "
                "`epochs` or `steps`, a higher `learning_rate`, or `features` beside the network may help"
            )
    return found


def clipped_predictions(predictor: "Predictor", found: dict[str, np.ndarray]) -> list[str]:
    """Sentences about predictions that would lie farther outside the range of the training labels."""
    said = []
    for column, task in enumerate(predictor.tasks):
        least, most = float(predictor.least[column]), float(predictor.most[column])
        for name, predictions in found.items():
            count = int((~((least < predictions[:, column]) & (predictions[:, column] < most))).sum())
            if predictor.kinds[column] == "regression" and count:
                said.append(
                    f"{count} of {len(predictions)} {name} predictions of {task!r} were held at {least:.3g} or "
                    f"{most:.3g}, the `clip_margin` about the range of the training labels"
                )
    return said
