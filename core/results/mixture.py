"""A mixture: several tables for one multitask model, each with its own labels, loss and weight."""

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

LEFT_OUT = ("part", "smiles", "reason")  # columns of `MixtureParts.left_out`
DRAWS = 500  # bootstrap resamples of the test molecules; few, because there may be hundreds of tasks


@dataclass(frozen=True)
class TaskSettings:
    """Training settings of one table of a mixture.

    `loss` is for regression tasks; binary tasks use the cross-entropy of a logit. `atoms`: a computed property whose
    atom contributions are learned in place of the table's labels; "" for the labels.
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
    """The three parts of one table of a mixture, its training settings, and the molecules left out against leakage.

    `left_out`: one row per molecule and part (part, smiles, reason); `unlearnable`: tasks without two different labels.
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
        """Whether the labels were measured; those of atoms and of `ComputedLabels` tables are computed."""
        return not self.learning.atoms and "computed" not in self.parts["train"].provenance

    def labels(self, part: str) -> list[np.ndarray] | np.ndarray:
        """Targets (n, t) of a part; for atom contributions an array (atoms, 1) per molecule."""
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
    """Share of each table in a batch: by size, by square root of size, or equal; sums to 1."""
    power = {"proportional": 1.0, "square-root": 0.5, "equal": 0.0}[mixing]
    weights = np.asarray(sizes, float) ** power
    return weights / weights.sum()


def draw_epoch(sizes: Sequence[int], mixing: str, generator: np.random.Generator) -> np.ndarray:
    """Shuffled rows of an epoch, as indices into the concatenated tables; as many as all tables have.

    A table whose share exceeds its size is repeated in another order; a table with a smaller share is subsampled.
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

    An undefined metric, such as AUROC with one class only, is None.
    """
    return {
        task: compute_metrics(kinds[column], labels[:, column], predictions[:, column], float(spread[column]))
        for column, task in enumerate(tasks)
    }


def mean_metrics(metrics: dict[str, dict[str, float | int | None]]) -> dict[str, Any]:
    """Mean of each metric over the tasks where it is defined, and by metric the tasks where it is not.

    Errors in label units are not averaged over tasks, whose units differ; they are given for a single task only.
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
    """95 % bootstrap intervals over molecules of the metrics of `evaluate_tasks` and `mean_metrics`.

    Returns `{"intervals": by task, "means_intervals": …}`. `molecule` (n,): the molecule of each row, if rows are
    atoms. For means, all tasks are resampled together.
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
    """Labels or predictions (rows, t); for atoms, those of all molecules concatenated."""
    return np.concatenate(values) if isinstance(values, list) else values


def molecule_of_rows(values: np.ndarray | list[np.ndarray]) -> np.ndarray | None:
    """The molecule of each row of `stack_rows`; None if rows are molecules."""
    return np.repeat(np.arange(len(values)), list(map(len, values))) if isinstance(values, list) else None
