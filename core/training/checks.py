"""Checks of the data parts before training and of the predictions after it."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput
from core.results.mixture import MixtureParts
from core.stats.undefined import describe_classes

if TYPE_CHECKING:
    from core.models.predictor import Predictor


def check_parts(train: Dataset, valid: Dataset, test: Dataset) -> None:
    """Raises `BadInput` unless the parts have the same tasks and units, and labels in training and validation part."""
    for name, table in (("validation", valid), ("test", test)):
        if table.tasks != train.tasks:
            raise BadInput(
                f"the {name} part has the tasks {table.tasks}, the training part {train.tasks}; choose the same targets"
            )
        for task, unit, other_unit in zip(train.tasks, train.unit, table.unit, strict=True):
            if unit != other_unit and unit and other_unit:
                raise BadInput(
                    f"{task!r} is in {unit} in the training part, in {other_unit} in the {name} part; use one unit"
                )
        for column, (task, kind) in enumerate(zip(train.tasks, train.kinds, strict=True)):
            labels = table.targets[:, column]
            odd = labels[~np.isnan(labels) & (labels != 0) & (labels != 1)]
            if kind == "binary" and len(odd):
                raise BadInput(
                    f"{task!r} is 0 or 1 in the training part, {odd[0]:g} in the {name} part; use classes in both"
                )
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
            raise BadInput(f"every training label of {task!r} is {labels[0]:g}; use a larger table, or another target")


def describe_one_class(train: Dataset, valid: Dataset, test: Dataset) -> list[str]:
    """Sentences about validation and test sets where a binary task has labels of one class, or none."""
    consequences = {
        "validation": "AUROC is undefined there, and whatever is chosen by it is chosen by one class alone",
        "test": "AUROC is undefined there, and an accuracy near 1 says nothing",
    }
    sentences = []
    for column, (task, kind) in enumerate(zip(train.tasks, train.kinds, strict=True)):
        for name, table in (("validation", valid), ("test", test)):
            labels = table.targets[:, column]
            lack = describe_classes(labels[~np.isnan(labels)]) if kind == "binary" else ""
            if lack:
                sentences.append(
                    f"in the {name} set {lack} ({task!r}): {consequences[name]}; use a larger {name} set or another "
                    "split"
                )
    return sentences


def find_overlaps(train: Dataset, valid: Dataset, test: Dataset) -> list[str]:
    """Sentences about molecules, compared without stereochemistry, that are also in the training part."""
    train_molecules = {chem.stereo_free_smiles(smiles) for smiles in train.smiles}
    sentences = []
    for part, table in (("validation", valid), ("test", test)):
        shared = sum(chem.stereo_free_smiles(smiles) in train_molecules for smiles in table.smiles)
        if shared:
            sentences.append(
                f"{shared} of {len(table)} {part} molecules are also in the training part; the {part} metrics are "
                "too optimistic"
            )
    return sentences


def describe_unreadable(backbone: Any, parts: dict[str, Dataset]) -> list[str]:
    """Sentences about molecules with warnings of the backbone: unknown tokens, more tokens than in pre-training."""
    sentences = []
    for name, table in parts.items():
        faults = backbone.check(list(table.smiles))
        if faults:
            molecules = len({row for row, _ in faults})
            sentences.append(
                f"{molecules} of {len(table)} {name} molecules are unlike the pre-training molecules of the backbone; "
                f"the first: {faults[0][1]}"
            )
    return sentences


def drop_unreadable(
    members: Sequence[MixtureParts], backbone: Any, report: Report
) -> tuple[tuple[MixtureParts, ...], list[str]]:
    """The tables without the molecules that a backbone cannot embed, and sentences about them.

    Raises `BadInput` where those are more than a few per cent.
    """
    readable, sentences = [], []
    done, total = 0, sum(len(table) for member in members for table in member.parts.values())
    for member in members:
        name_of_table, parts = member.learning.name, {}
        for name, table in member.parts.items():
            within = report.part(done / total, (done + len(table)) / total, phase=f"reading {name_of_table}")
            done += len(table)
            unreadable = backbone.find_unreadable(list(table.smiles), within)
            keep = np.ones(len(table), bool)
            keep[[row for row, _ in unreadable]] = False
            parts[name] = table.take(keep) if unreadable else table
            sentences += [f"{name_of_table}, {name}, row {row}: left out, {reason}" for row, reason in unreadable]
        sentences += [f"{name_of_table}: {words}" for words in describe_unreadable(backbone, parts)]
        readable.append(dataclasses.replace(member, parts=parts))
    return tuple(readable), sentences


def constant_predictions(train: Dataset, valid: Dataset, predictions: np.ndarray) -> list[str]:
    """A sentence for each regression task whose predictions hardly vary: the model predicts the mean."""
    sentences = []
    for column, task in enumerate(train.tasks):
        spread = float(np.nanstd(train.targets[:, column]))
        if train.kinds[column] == "regression" and float(np.std(predictions[:, column])) < 0.05 * spread:
            sentences.append(
                f"the model predicts the mean of {task!r}: its predictions vary by less than 5 % of the labels' spread"
            )
    return sentences


def underfit_tasks(tasks: Sequence[str], kinds: Sequence[str], metrics: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence for each task that a model does not predict even on its training part, by the `metrics` there.

    The training was too short or its learning rate too low: a network with random weights first predicts the mean.
    """
    sentences = []
    for task, kind in zip(tasks, kinds, strict=True):
        name, words, least = ("auroc", "AUROC", 0.6) if kind == "binary" else ("r2", "R²", 0.1)
        value = metrics[task][name]
        if value is not None and value < least:
            sentences.append(
                f"the model underfits {task!r}: even on the training part {words} is below {least}; try more `epochs` "
                "or `steps`, a higher `learning_rate`, or `features`"
            )
    return sentences


def clipped_predictions(predictor: "Predictor", parts: dict[str, np.ndarray]) -> list[str]:
    """Sentences about predictions that were clipped to the extended range of the training labels."""
    sentences = []
    for column, task in enumerate(predictor.tasks):
        least, most = float(predictor.least[column]), float(predictor.most[column])
        for name, predictions in parts.items():
            count = int((~((least < predictions[:, column]) & (predictions[:, column] < most))).sum())
            if predictor.kinds[column] == "regression" and count:
                sentences.append(
                    f"{count} of {len(predictions)} {name} predictions of {task!r} were clipped to {least:.3g} or "
                    f"{most:.3g}, the range of the training labels extended by `clip_margin`"
                )
    return sentences
