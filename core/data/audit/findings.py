"""Findings of an audit: what was found, in which rows, what it means for a comparison, and what can be done."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from core.data.dataset import Dataset
from core.engine.spec import BadInput

FIXES = {
    "drop": "leave these rows out",
    "merge": "merge each group into one row, with the median of its labels",
    "hold out": "leave these rows of the other table out of the evaluation",
}


@dataclass(frozen=True, eq=False)
class Finding:
    """One finding on a table.

    `level`: a "fault" invalidates a comparison, a "caution" may, a "note" is for information. `rows`: row indices in
    the table; `others`: row indices in the compared tables, by name; `groups` (rows,): which rows a "merge" joins.
    `fix`: a key of `FIXES`, "" if nothing is to be done; "hold out" applies to `others`.
    """

    kind: str
    level: Literal["fault", "caution", "note"]
    statement: str
    consequence: str
    fix: str = ""
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    others: dict[str, np.ndarray] = field(default_factory=dict)
    groups: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    numbers: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As JSON, with counts of rows in place of the rows."""
        other_counts = {name: len(rows) for name, rows in self.others.items()}
        return {
            "kind": self.kind,
            "level": self.level,
            "said": self.statement,
            "means": self.consequence,
            "fix": self.fix,
            "rows": len(self.rows),
            "others": other_counts,
            "numbers": self.numbers,
        }


@dataclass(frozen=True, eq=False)
class Findings:
    """All findings of an audit of one table, the most serious first.

    `record`: rows, digest and tasks of the table; names, sizes and digests of the others.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("findings",)

    findings: tuple[Finding, ...]
    record: dict[str, Any]

    def of(self, kind: str) -> Finding:
        """The finding of a kind. Raises `BadInput` if there is none."""
        for finding in self.findings:
            if finding.kind == kind:
                return finding
        kinds = ", ".join(finding.kind for finding in self.findings)
        raise BadInput(f"the audit has no finding {kind!r}; it has {kinds or 'none'}")

    def summary(self) -> dict[str, Any]:
        return {**self.record, "findings": [finding.as_json() for finding in self.findings]}

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        levels = [finding["level"] for finding in summary["findings"]]
        counts = ((levels.count(level), level) for level in LEVELS)
        return ", ".join(f"{count} {level}{'s' * (count > 1)}" for count, level in counts if count) or "no findings"

    def rows(self) -> pd.DataFrame:
        """One row per row of a finding: kind, table ("" is the audited one), row, group (−1: none)."""
        parts = []
        for finding in self.findings:
            groups = finding.groups if len(finding.groups) else np.full(len(finding.rows), -1)
            parts.append(pd.DataFrame({"kind": finding.kind, "table": "", "row": finding.rows, "group": groups}))
            for name, rows in finding.others.items():
                parts.append(pd.DataFrame({"kind": finding.kind, "table": name, "row": rows, "group": -1}))
        columns = {"kind": object, "table": object, "row": np.int64, "group": np.int64}
        empty = pd.DataFrame({name: np.zeros(0, kind) for name, kind in columns.items()})
        return pd.concat([empty, *parts], ignore_index=True).astype(columns)

    def save(self, folder: Path) -> None:
        self.rows().to_parquet(folder / "rows.parquet")
        text = json.dumps(self.summary(), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "findings.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Findings":
        record = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
        rows = pd.read_parquet(folder / "rows.parquet")
        findings = []
        for entry in record.pop("findings"):
            entry_rows = rows[rows["kind"] == entry["kind"]]
            table_rows = entry_rows[entry_rows["table"] == ""]
            has_groups = len(table_rows) and (table_rows["group"] >= 0).all()
            findings.append(
                Finding(
                    kind=entry["kind"],
                    level=entry["level"],
                    statement=entry["said"],
                    consequence=entry["means"],
                    fix=entry["fix"],
                    numbers=entry["numbers"],
                    rows=table_rows["row"].to_numpy(int),
                    others={
                        name: entry_rows.loc[entry_rows["table"] == name, "row"].to_numpy(int)
                        for name in entry["others"]
                    },
                    groups=table_rows["group"].to_numpy(int) if has_groups else np.zeros(0, int),
                )
            )
        return cls(tuple(findings), record)


LEVELS = ("fault", "caution", "note")
PARTS = ("train", "valid", "test")


def sort_by_level(findings: list[Finding]) -> tuple[Finding, ...]:
    """The most serious first, otherwise in the given order."""
    return tuple(sorted(findings, key=lambda one: LEVELS.index(one.level)))


def table_name(name: str) -> str:
    """The name of a compared table in a sentence."""
    return f"the {name} part" if name in PARTS else name


def match_tasks(table: Dataset, other: Dataset) -> list[tuple[int, int]]:
    """Pairs of columns of the same task; if both tables have a single target, these two."""
    pairs = [(table.tasks.index(task), column) for column, task in enumerate(other.tasks) if task in table.tasks]
    return pairs or ([(0, 0)] if len(table.tasks) == len(other.tasks) == 1 else [])
