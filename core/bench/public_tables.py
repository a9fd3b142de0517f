"""The public tables of the benchmarks of accuracy."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from core.data.dataset import Dataset
from core.engine.spec import BadInput, Spec
from core.experiments import FineTune, LabelNoise, Load, split_table
from core.models.backbones import Pretrained

MINI = Pretrained("molsway-mini")
STEPS = 150  # optimiser steps of a short training


@dataclasses.dataclass(frozen=True)
class TableSource:
    """A public table: the names its file may have, or a bundled source."""

    unit: str
    target: str = ""
    files: tuple[str, ...] = ()
    source: str = ""

    def load(self, name: str, folder: Path | None) -> Load:
        """The table from `folder`, or from its source. Raises `BadInput` where there is no file."""
        if self.source:
            return Load(self.source)
        for file in (folder / file_name for file_name in self.files) if folder else ():
            if file.is_file():
                return Load(f"file:{file}", targets=(self.target,), tasks=(name,), unit=self.unit)
        where = f"{folder} has none" if folder else "no folder was given"
        raise BadInput(
            f"{name} needs {' or '.join(self.files)} with a column {self.target!r}, but {where}; name its folder with "
            "--data"
        )


TABLES = {
    "Lipophilicity": TableSource("logD", "exp", ("Lipophilicity.csv", "Lipophilicity.csv.gz")),
    "ESOL": TableSource(
        "log10(mol/L)",
        "measured log solubility in mols per litre",
        ("delaney-processed.csv", "delaney-processed.csv.gz"),
    ),
    "solubility": TableSource("log10(mol/L)", source="bundled:solubility"),
    "BACE": TableSource("pIC50", "pIC50", ("bace.csv", "bace.csv.gz")),
}


SMALL_SIZES = {  # rows of train, valid and pool; the rest is the test set
    "Lipophilicity": {"train": 500, "valid": 300, "pool": 600},
    "solubility": {"train": 300, "valid": 200, "pool": 300},
}


CLASS_TABLES = {"BACE classes": TableSource("", "Class", ("bace.csv", "bace.csv.gz"))}  # only run by name
SMALL_CLASS_SIZES = {"BACE classes": {"train": 400, "valid": 250, "pool": 400}}


class NoisyPoolCase(NamedTuple):
    """A short fine-tuning on a small part of a table, and a pool in which a share of the labels is swapped."""

    fit: FineTune
    pool: Spec[Dataset]


def make_case(table: Load, sizes: dict[str, float], noise_rate: float, seed: int, **settings: Any) -> NoisyPoolCase:
    """`sizes` as in `SMALL_SIZES`; `noise_rate`: share of swapped labels; `seed`: of split, noise and fit."""
    train, valid, test, pool = split_table(table, by="random", seed=seed, **{"test": None, **sizes})
    training = {"steps": STEPS, "evaluations": 4, "batch_size": 32, "seed": seed}
    return NoisyPoolCase(
        FineTune(train, valid, test, **training | settings), LabelNoise(pool, fraction=noise_rate, seed=seed)
    )
