"""Loads the model in the folder of a fit: a network, a baseline, one head of a multitask model, or an ensemble."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np

from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput
from core.models.baseline_model import BaselineModel

if TYPE_CHECKING:
    from core.models.predictor import Predictor
    from core.models.single_head import SingleHeadModel

MEMBERS_FILE = "committee.json"


@dataclass(frozen=True, eq=False)
class EnsembleModel:
    """Several models of the same tasks, whose predictions are averaged."""

    members: tuple[Union["Predictor", "SingleHeadModel", BaselineModel], ...]

    def predict_each(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> np.ndarray:
        """Predictions (m, n, t) of every member: label units for regression, probabilities for binary tasks."""
        m = len(self.members)
        shares = (report.part(index / m, (index + 1) / m) for index in range(m))
        return np.stack(
            [member.predict(smiles, report=share) for member, share in zip(self.members, shares, strict=True)]
        )

    def predict(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> np.ndarray:
        """The mean (n, t) of the members' predictions."""
        return self.predict_each(smiles, report).mean(0)

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """Warnings about molecules: (row, sentence). The first member's; all read the same input."""
        return self.members[0].check(smiles)

    @staticmethod
    def is_saved_in(folder: Path) -> bool:
        return (folder / MEMBERS_FILE).is_file()

    @classmethod
    def load(cls, folder: Path, report: Report = SILENT_REPORT) -> "EnsembleModel":
        try:
            m = int(json.loads((folder / MEMBERS_FILE).read_text())["members"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{folder} holds no readable ensemble ({error}); delete the run and make it again") from None
        return cls(
            tuple(load_model(folder / str(index), report.part(index / m, (index + 1) / m)) for index in range(m))
        )


def collect_members(members: Sequence[Path], folder: Path) -> None:
    """Copy the folders of saved models into one, which `EnsembleModel.load` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, member in enumerate(members):
        shutil.copytree(member, folder / str(index), dirs_exist_ok=True)
    (folder / MEMBERS_FILE).write_text(json.dumps({"members": len(members)}))


def member_spread(predictions: np.ndarray) -> np.ndarray:
    """Sample standard deviation of predictions over the members (m, …), with m − 1 in the denominator."""
    return (predictions - predictions[0]).std(0, ddof=1)  # the subtraction gives exactly 0 for equal members


def load_model(
    folder: Path, report: Report = SILENT_REPORT
) -> Union["Predictor", "SingleHeadModel", BaselineModel, EnsembleModel]:
    """The model saved in a folder; every one has `predict` and `check`. Raises `BadInput`."""
    if EnsembleModel.is_saved_in(folder):
        return EnsembleModel.load(folder, report)
    if BaselineModel.is_saved_in(folder):
        return BaselineModel.load(folder, report)
    from core.models.predictor import Predictor
    from core.models.single_head import SingleHeadModel

    return SingleHeadModel.load(folder) if SingleHeadModel.is_saved_in(folder) else Predictor.load(folder)
