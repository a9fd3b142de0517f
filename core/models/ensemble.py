"""What predicts, as the folder of a fit has it: a network, a baseline, a trunk under one head, or several's mean."""

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
    """Several models of the same tasks; together they predict the mean of what each predicts."""

    members: tuple[Union["Predictor", "SingleHeadModel", BaselineModel], ...]

    def predict_each(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> np.ndarray:
        """Predictions (m, n, t) of every member: label units for regression, probabilities for binary tasks."""
        m = len(self.members)
        shares = (report.part(place / m, (place + 1) / m) for place in range(m))
        return np.stack([one.predict(smiles, report=share) for one, share in zip(self.members, shares, strict=True)])

    def predict(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> np.ndarray:
        """The members' mean (n, t)."""
        return self.predict_each(smiles, report).mean(0)

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """What the members, which read alike, have against some of the molecules: (row, sentence)."""
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
            tuple(load_model(folder / str(place), report.part(place / m, (place + 1) / m)) for place in range(m))
        )


def collect_members(members: Sequence[Path], folder: Path) -> None:
    """Copy the folders of saved models into one, from which `Committee.load` reads them."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, member in enumerate(members):
        shutil.copytree(member, folder / str(place), dirs_exist_ok=True)
    (folder / MEMBERS_FILE).write_text(json.dumps({"members": len(members)}))


def member_spread(predictions: np.ndarray) -> np.ndarray:
    """How far members (m, …) are from one another: the standard deviation that members not asked would show."""
    return (predictions - predictions[0]).std(0, ddof=1)  # of members that agree to the last bit exactly 0


def load_model(
    folder: Path, report: Report = SILENT_REPORT
) -> Union["Predictor", "SingleHeadModel", BaselineModel, EnsembleModel]:
    """The model that lies in a folder; all of them have `predict` and `check`. Raises `BadInput`."""
    if EnsembleModel.is_saved_in(folder):
        return EnsembleModel.load(folder, report)
    if BaselineModel.is_saved_in(folder):
        return BaselineModel.load(folder, report)
    from core.models.predictor import Predictor
    from core.models.single_head import SingleHeadModel

    return SingleHeadModel.load(folder) if SingleHeadModel.is_saved_in(folder) else Predictor.load(folder)
