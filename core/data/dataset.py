"""Dataset: molecules with their measured values; removed rows are listed with the reason."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from core.data.actions import list_actions
from core.data.left_out import count_left_out
from core.engine.spec import BadInput


def _no_dropped_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {"row": np.zeros(0, np.int64), **{name: np.zeros(0, object) for name in ("smiles", "what", "reason")}}
    )


@dataclass(frozen=True, eq=False)
class Dataset:
    """`n` molecules with `t` tasks; t may be 0, for a corpus. Source rows count from 1, without the header."""

    headline_keys: ClassVar[tuple[str, ...]] = ("rows",)

    smiles: np.ndarray  # object (n,), canonical isomeric
    targets: np.ndarray  # float64 (n, t), label units, NaN where unmeasured
    tasks: tuple[str, ...]
    unit: tuple[str, ...] = ()  # one per task, "" if unknown
    columns: dict[str, np.ndarray] = field(default_factory=dict)  # further values per row: "row", "mislabelled", …
    dropped: pd.DataFrame = field(default_factory=_no_dropped_rows)  # row, smiles, what, reason
    # `what` in `dropped` is "molecule", "label" or "merged".
    provenance: dict[str, Any] = field(default_factory=dict)  # plain JSON: source, digests, rules, notes

    def __post_init__(self) -> None:
        smiles = np.empty(len(self.smiles), object)
        smiles[:] = [str(text) for text in self.smiles]
        n, t = len(smiles), len(self.tasks)
        targets = np.asarray(self.targets, np.float64)
        targets = targets.reshape(n, t) if targets.size == n * t else targets
        unit = tuple(self.unit) or ("",) * t
        if targets.shape != (n, t) or len(unit) != t:
            raise BadInput(
                f"{n} molecules, {t} tasks and {len(unit)} units need targets of shape ({n}, {t}), got {targets.shape}"
            )
        if len(set(self.tasks)) < t:
            raise BadInput(f"two tasks have the same name among {', '.join(self.tasks)}; rename one")
        if np.isinf(targets).any():
            raise BadInput("a target is infinite; use NaN for a missing label")
        columns = {name: np.asarray(values) for name, values in self.columns.items()}
        columns = {name: v.astype(object) if v.dtype.kind in "US" else v for name, v in columns.items()}
        for name, values in columns.items():
            if values.shape != (n,):
                raise BadInput(f"column {name!r} needs {n} values, one per molecule, got shape {values.shape}")
        checked = {"smiles": smiles, "targets": targets, "tasks": tuple(self.tasks), "unit": unit, "columns": columns}
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.smiles)

    @property
    def n(self) -> int:
        return len(self.smiles)

    @functools.cached_property
    def digest(self) -> str:
        """16 hex digits of the sha256 of SMILES, targets, tasks and units."""
        targets = np.where(np.isnan(self.targets), np.nan, self.targets + 0.0)  # one NaN, no -0
        text = json.dumps([list(self.smiles), list(self.tasks), list(self.unit)])
        return hashlib.sha256(text.encode() + targets.astype("<f8").tobytes()).hexdigest()[:16]

    @functools.cached_property
    def kinds(self) -> tuple[str, ...]:
        """ "binary" or "regression" for each task. Binary: every measured value is 0 or 1, and both occur.

        A part of a table keeps the kinds of the full table, even if it contains one class only.
        """
        recorded = self.provenance.get("kinds", ())
        inferred = ("binary" if is_binary(values) else "regression" for values in self.targets.T)
        return tuple(recorded if len(recorded) == len(self.tasks) else inferred)

    @property
    def left_out(self) -> dict[str, Any]:
        """What of the source was left out, as `count_left_out` gives it; of a part of a table, that of the whole."""
        counts: dict[str, Any] = self.provenance.get("left_out_rows") or count_left_out(len(self), self.dropped)
        return counts

    def take(self, rows: np.ndarray, **provenance: Any) -> "Dataset":
        """The rows with these indices (or where true), in that order; `provenance` is added to that of the table."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, int)
        return Dataset(
            smiles=self.smiles[rows],
            targets=self.targets[rows],
            tasks=self.tasks,
            unit=self.unit,
            columns={name: values[rows] for name, values in self.columns.items()},
            provenance={
                **self.provenance,
                "kinds": list(self.kinds),
                "left_out_rows": self.left_out,
                **provenance,
            },
        )

    def select_tasks(self, columns: np.ndarray) -> "Dataset":
        """The tasks with these indices, in that order."""
        return Dataset(
            smiles=self.smiles,
            targets=self.targets[:, columns],
            tasks=tuple(self.tasks[column] for column in columns),
            unit=tuple(self.unit[column] for column in columns),
            columns=self.columns,
            dropped=self.dropped,
            provenance={**self.provenance, "kinds": [self.kinds[column] for column in columns]},
        )

    def source_smiles(self) -> Iterator[str]:
        """SMILES of all source molecules; removed ones as they were written, which may be invalid."""
        yield from self.smiles
        yield from self.dropped.loc[self.dropped["what"] == "molecule", "smiles"]

    def summary(self) -> dict[str, Any]:
        """Plain JSON: rows, each task with its unit, kind and statistics, removed rows, provenance."""
        return {
            "rows": len(self),
            "digest": self.digest,
            "tasks": [
                _summarise_task(*each) for each in zip(self.tasks, self.unit, self.kinds, self.targets.T, strict=True)
            ],
            "columns": list(self.columns),
            "longest": max(map(len, self.smiles), default=0),
            "mislabelled": int(self.columns["mislabelled"].sum()) if "mislabelled" in self.columns else None,
            "dropped": dict(Counter(self.dropped["what"])),
            "dropped_first": self.dropped.head(20).to_dict("records"),
            "actions": list_actions(self.dropped),
            "provenance": self.provenance,
        }

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return f"{summary['rows']:,} molecules"

    def save(self, folder: Path) -> None:
        """Write table.parquet, dropped.parquet and dataset.json to an empty folder."""
        table = {"smiles": self.smiles}
        table |= {f"target:{task}": values for task, values in zip(self.tasks, self.targets.T, strict=True)}
        for name, values in self.columns.items():
            table[f"column:{name}"] = values.astype(str).astype(object) if values.dtype.kind == "O" else values
        pd.DataFrame(table).to_parquet(folder / "table.parquet", index=False)
        self.dropped.to_parquet(folder / "dropped.parquet", index=False)
        head = {"tasks": self.tasks, "unit": self.unit, "provenance": self.provenance, "digest": self.digest}
        (folder / "dataset.json").write_text(json.dumps(head, indent=1, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        head = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        table = pd.read_parquet(folder / "table.parquet")
        return cls(
            smiles=table["smiles"].to_numpy(object),
            targets=table[[f"target:{task}" for task in head["tasks"]]].to_numpy(np.float64),
            tasks=tuple(head["tasks"]),
            unit=tuple(head["unit"]),
            columns={
                name.removeprefix("column:"): values.to_numpy(object if values.dtype.kind == "O" else None)
                for name, values in table.items()
                if name.startswith("column:")
            },
            dropped=pd.read_parquet(folder / "dropped.parquet"),
            provenance=head["provenance"],
        )


def is_binary(values: np.ndarray) -> bool:
    """Whether the measured values are 0 and 1, and both occur."""
    return set(np.unique(values[~np.isnan(values)])) == {0.0, 1.0}


def _summarise_task(name: str, unit: str, kind: str, values: np.ndarray) -> dict[str, Any]:
    measured = values[~np.isnan(values)]
    summary = {"name": name, "unit": unit, "kind": kind, "measured": len(measured)}
    if kind == "binary":
        return {**summary, "positives": int(measured.sum())}
    statistics = {"mean": np.mean, "sd": np.std, "least": np.min, "most": np.max}
    return {
        **summary,
        **{key: float(statistic(measured)) if len(measured) else None for key, statistic in statistics.items()},
    }
