"""The public tables that the long benchmarks are of."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from core.data.dataset import Dataset
from core.engine.spec import BadInput, Spec
from core.experiments import FineTune, LabelNoise, Load, split_table
from core.models.backbones import Pretrained

MINI = Pretrained("molsway-mini")
STEPS = 150  # of a short training


@dataclasses.dataclass(frozen=True)
class TableSource:
    """A table by the names its file goes by, or one that can always be had."""

    unit: str
    target: str = ""
    files: tuple[str, ...] = ()
    source: str = ""

    def load(self, name: str, folder: Path | None) -> Load:
        """Raises `BadInput` where it is not to be had."""
        if self.source:
            return Load(self.source)
        for file in (folder / one for one in self.files) if folder else ():
            if file.is_file():
                return Load(f"file:{file}", targets=(self.target,), tasks=(name,), unit=self.unit)
        where = f"in {folder}" if folder else "given"
        raise BadInput(
            f"{name} wants {' or '.join(self.files)} with a column {self.target!r}, and none is {where}; name its "
            "folder with --data"
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


SMALL_SIZES = {  # rows of train, valid and pool; the rest reports
    "Lipophilicity": {"train": 500, "valid": 300, "pool": 600},
    "solubility": {"train": 300, "valid": 200, "pool": 300},
}


CLASS_TABLES = {"BACE classes": TableSource("", "Class", ("bace.csv", "bace.csv.gz"))}  # asked for by their names
SMALL_CLASS_SIZES = {"BACE classes": {"train": 400, "valid": 250, "pool": 400}}


class NoisyPoolCase(NamedTuple):
    """A short fine-tuning on a small part of a table, and a pool of which a share carries wrong labels."""

    fit: FineTune
    pool: Spec[Dataset]


def make_case(table: Load, sizes: dict[str, float], wrong: float, seed: int, **settings: Any) -> NoisyPoolCase:
    """`sizes` as in `SMALL_SIZES`, `wrong` the share of the pool; the same seed draws the split, the labels and the fit."""
    train, valid, test, pool = split_table(table, by="random", seed=seed, **{"test": None, **sizes})
    brief = {"steps": STEPS, "evaluations": 4, "batch_size": 32, "seed": seed}
    return NoisyPoolCase(FineTune(train, valid, test, **brief | settings), LabelNoise(pool, fraction=wrong, seed=seed))
