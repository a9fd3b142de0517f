"""A mixture: several tables that one network learns at once, each with labels, loss and weight of its own."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from core.chem.atom_contributions import contributions
from core.data.dataset import Dataset
from core.results.fit import PARTS
from core.stats import bootstrap
from core.stats.metrics import averaged_metrics, compute_metrics

LEFT_OUT = ("part", "smiles", "reason")  # columns of what a table lost to the mixture
DRAWS = 500  # of the test molecules of a table: there may be hundreds of tasks


@dataclass(frozen=True)
class TaskSettings:
    """How a table of a mixture is learned.

    `loss` is of its regression tasks, binary ones have the cross-entropy of a logit. `atoms`: what single atoms
    contribute to is learned in place of the table's own labels; "" of the molecules.
    """

    name: str
    loss: str = "mae"  # mae, mse, huber, binned
    scaler: str = "standard"  # standard, robust, none
    weight: float = 1.0
    bins: int = 5
    hidden: int = 64
    atoms: str = ""


@dataclass(frozen=True, eq=False)
class MixtureParts:
    """The three parts of one table of a mixture, how it is learned, and what it lost so that no part knows another.

    `left_out`: a row a molecule and part (part, smiles, reason); `unlearnable`: tasks without two different labels.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("rows",)

    parts: dict[str, Dataset]
    learning: TaskSettings
    left_out: pd.DataFrame
    unlearnable: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        return (f"{self.learning.atoms} of atoms",) if self.learning.atoms else self.parts["train"].tasks

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("regression",) if self.learning.atoms else self.parts["train"].kinds

    @property
    def unit(self) -> tuple[str, ...]:
        return ("",) if self.learning.atoms else self.parts["train"].unit

    @property
    def measured(self) -> bool:
        """Whether somebody measured the labels; those of atoms and of `Computed` tables are computed."""
        return not self.learning.atoms and "computed" not in self.parts["train"].provenance

    def labels(self, part: str) -> list[np.ndarray] | np.ndarray:
        """Targets (n, t) of a part; of atoms, an array (atoms, 1) for each molecule."""
        table = self.parts[part]
        if not self.learning.atoms:
            return table.targets
        return [contributions(one, self.learning.atoms)[:, None] for one in table.smiles]

    def summary(self) -> dict[str, Any]:
        left_out_counts = (
            self.left_out.groupby(["part", "reason"]).size() if len(self.left_out) else pd.Series(dtype=int)
        )
        return {
            **dataclasses.asdict(self.learning),
            "tasks": list(self.tasks),
            "kinds": list(self.kinds),
            "unit": list(self.unit),
            "rows": {name: len(table) for name, table in self.parts.items()},
            "digests": {name: table.digest for name, table in self.parts.items()},
            "left_out": [
                {"part": part, "reason": reason, "molecules": int(n)} for (part, reason), n in left_out_counts.items()
            ],
            "unlearnable": list(self.unlearnable),
            "left_out_first": self.left_out.head(20).to_dict("records"),
        }

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return f"{sum(summary['rows'].values()):,} molecules"

    def save(self, folder: Path) -> None:
        for name, table in self.parts.items():
            (folder / name).mkdir()
            table.save(folder / name)
        self.left_out.to_parquet(folder / "left_out.parquet", index=False)
        settings = {"learning": dataclasses.asdict(self.learning), "unlearnable": list(self.unlearnable)}
        (folder / "learning.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "MixtureParts":
        settings = json.loads((folder / "learning.json").read_text(encoding="utf-8"))
        parts = {name: Dataset.load(folder / name) for name in PARTS}
        left_out = pd.read_parquet(folder / "left_out.parquet")
        return cls(parts, TaskSettings(**settings["learning"]), left_out, tuple(settings["unlearnable"]))


def mixing_shares(sizes: Sequence[int], mixing: str) -> np.ndarray:
    """Of what each table is among the molecules of a batch: by its size, the root of it, or all alike; sums to 1."""
    power = {"proportional": 1.0, "square-root": 0.5, "equal": 0.0}[mixing]
    weights = np.asarray(sizes, float) ** power
    return weights / weights.sum()


def draw_epoch(sizes: Sequence[int], mixing: str, generator: np.random.Generator) -> np.ndarray:
    """Rows of an epoch, shuffled, of the tables one below the other: as many as there are in all.

    A table that is to have more than it has is gone through again, in another order; one with less gives some.
    """
    first = np.concatenate([[0], np.cumsum(sizes)])
    ends = np.floor(np.cumsum(mixing_shares(sizes, mixing)) * first[-1] + 0.5).astype(int)
    rows = []
    for size, start, count in zip(sizes, first[:-1], np.diff(ends, prepend=0), strict=True):
        permutations = [generator.permutation(size) for _ in range(-(-count // size))] or [np.zeros(0, int)]
        rows.append(start + np.concatenate(permutations)[:count])
    return generator.permutation(np.concatenate(rows))


def evaluate_tasks(
    labels: np.ndarray, predictions: np.ndarray, tasks: Sequence[str], kinds: Sequence[str], spread: np.ndarray
) -> dict[str, dict[str, float | int | None]]:
    """Every metric of every task (n, t); `mae_sd` in standard deviations of the training labels, `spread` (t,).

    What is undefined, such as an area under a curve with one class only, is None.
    """
    return {
        task: compute_metrics(kinds[column], labels[:, column], predictions[:, column], float(spread[column]))
        for column, task in enumerate(tasks)
    }


def mean_metrics(metrics: dict[str, dict[str, float | int | None]]) -> dict[str, Any]:
    """Mean of each metric over the tasks in which it is defined, and by metric the tasks in which it is not.

    Errors in label units have no mean over tasks of different units: they are told of a single task alone.
    """
    means: dict[str, Any] = {"undefined": {}}
    for name in (metric.key for metric in averaged_metrics(len(metrics))):
        values = {task: one[name] for task, one in metrics.items() if name in one}
        defined = [value for value in values.values() if value is not None]
        if values:
            means[name] = float(np.mean(defined)) if defined else None
            if missing := [task for task, value in values.items() if value is None]:
                means["undefined"][name] = missing
    return means


def metric_intervals(
    labels: np.ndarray,
    predictions: np.ndarray,
    tasks: Sequence[str],
    kinds: Sequence[str],
    spread: np.ndarray,
    molecule: np.ndarray | None = None,
) -> dict[str, Any]:
    """The 95 % intervals of what `evaluate_tasks` and `mean_metrics` find, over the molecules: `{"intervals", "means_intervals"}`.

    `molecule` (n,): which one a row belongs to, where rows are atoms. In a mean over tasks all are drawn at once.
    """
    resampled = bootstrap.resample_metrics(kinds, labels, predictions, molecule, DRAWS, label_sds=spread)
    averaged: dict[str, np.ndarray] = {}
    for name in (metric.key for metric in averaged_metrics(len(tasks))):
        if values := [each[name] for each in resampled if name in each]:
            defined = np.isfinite(values)
            total = np.where(defined, values, 0.0).sum(0)
            averaged[name] = np.divide(total, defined.sum(0), out=np.full(len(total), np.nan), where=defined.any(0))
    each = {task: bootstrap.keep_defined_intervals(one) for task, one in zip(tasks, resampled, strict=True)}
    return {"intervals": each, "means_intervals": bootstrap.keep_defined_intervals(averaged)}


def stack_rows(values: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """Labels or predictions (rows, t), of atoms those of all molecules below each other."""
    return np.concatenate(values) if isinstance(values, list) else values


def molecule_of_rows(values: np.ndarray | list[np.ndarray]) -> np.ndarray | None:
    """Which molecule each row of `stack_rows` belongs to; None where a row is a molecule."""
    return np.repeat(np.arange(len(values)), list(map(len, values))) if isinstance(values, list) else None
