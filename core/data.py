"""Dataset: molecules and what was measured of them, cleaned; what was left out is listed, with the reason."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from core import chem
from core.report import SILENT, Report
from core.spec import BadInput
from core.tables import numbers

Rule = Literal["median", "mean", "first", "drop-if-spread"]
LONG = 200  # characters of a SMILES beyond which it is worth a note: backbones have limits


def _nothing() -> pd.DataFrame:
    return pd.DataFrame(
        {"row": np.zeros(0, np.int64), **{name: np.zeros(0, object) for name in ("smiles", "what", "reason")}}
    )


@dataclass(frozen=True, eq=False)
class Dataset:
    """`n` molecules with `t` tasks; t may be 0, for a corpus. Rows of the source file count from 1, header apart."""

    smiles: np.ndarray  # object (n,), canonical isomeric
    targets: np.ndarray  # float64 (n, t), label units, NaN where unmeasured
    tasks: tuple[str, ...]
    unit: tuple[str, ...] = ()  # one a task, "" unknown
    columns: dict[str, np.ndarray] = field(default_factory=dict)  # further values a row: "row", "planted", …
    dropped: pd.DataFrame = field(default_factory=_nothing)  # row, smiles, what (molecule, label, merged), reason
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
                f"{n} molecules, {t} tasks and {len(unit)} units want targets ({n}, {t}), got {targets.shape}"
            )
        if len(set(self.tasks)) < t:
            raise BadInput(f"two tasks have one name among {', '.join(self.tasks)}; give each its own")
        if np.isinf(targets).any():
            raise BadInput("a target is infinite; leave it out (NaN)")
        columns = {name: np.asarray(values) for name, values in self.columns.items()}
        columns = {name: v.astype(object) if v.dtype.kind in "US" else v for name, v in columns.items()}
        for name, values in columns.items():
            if values.shape != (n,):
                raise BadInput(f"column {name!r} wants {n} values, one a molecule, got shape {values.shape}")
        made = {"smiles": smiles, "targets": targets, "tasks": tuple(self.tasks), "unit": unit, "columns": columns}
        for name, value in made.items():
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

        A part of a table keeps the kinds of the whole, even where only one class is left in it.
        """
        known = self.provenance.get("kinds", ())
        found = ("binary" if _binary(values) else "regression" for values in self.targets.T)
        return tuple(known if len(known) == len(self.tasks) else found)

    def take(self, rows: np.ndarray, **provenance: Any) -> "Dataset":
        """The rows at these places (or where true), in that order; `provenance` is added to that of the whole."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, int)
        return Dataset(
            smiles=self.smiles[rows],
            targets=self.targets[rows],
            tasks=self.tasks,
            unit=self.unit,
            columns={name: values[rows] for name, values in self.columns.items()},
            provenance={**self.provenance, "kinds": list(self.kinds), **provenance},
        )

    def summary(self) -> dict[str, Any]:
        """Plain JSON: rows, each task with its unit, kind and spread, what was left out, where it comes from."""
        return {
            "rows": len(self),
            "digest": self.digest,
            "tasks": [_task(*each) for each in zip(self.tasks, self.unit, self.kinds, self.targets.T, strict=True)],
            "columns": list(self.columns),
            "longest": max(map(len, self.smiles), default=0),
            "planted": int(self.columns["planted"].sum()) if "planted" in self.columns else None,
            "dropped": dict(Counter(self.dropped["what"])),
            "dropped_first": self.dropped.head(20).to_dict("records"),
            "provenance": self.provenance,
        }

    def save(self, folder: Path) -> None:
        """table.parquet, dropped.parquet and dataset.json in an empty folder."""
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

    @classmethod
    def build(
        cls,
        smiles: Sequence[Any],
        targets: Any = None,
        tasks: Sequence[str] = (),
        unit: str | Sequence[str] = (),
        *,
        duplicates: Rule = "median",
        spread: float = 0.0,
        columns: Mapping[str, Sequence[Any]] | None = None,
        reasons: Mapping[int, str] | None = None,
        provenance: Mapping[str, Any] | None = None,
        report: Report = SILENT,
    ) -> "Dataset":
        """Clean raw cells: SMILES (n,) and targets (n, t) of text or numbers.

        Left out, with a reason: what RDKit does not read, cells that are no number (text, NaN, infinity), molecules
        without any label. Rows of one molecule (same canonical isomeric SMILES) become one, with the median, the mean
        or the first of their labels, by task; with `drop-if-spread` all of them go where labels differ by more than
        `spread` (label units). Labels 0 and 1 of one molecule are settled by majority, a tie is left out.
        `reasons`: why rows (from 0) have no SMILES. Raises `BadInput` for a column that is mostly text, and if no
        molecule is left.
        """
        cells = pd.DataFrame(targets, dtype=object) if len(tasks) else pd.DataFrame(index=range(len(smiles)))
        if cells.shape != (len(smiles), len(tasks)):
            raise BadInput(f"{len(smiles)} SMILES and {len(tasks)} tasks do not fit targets of shape {cells.shape}")
        raw = [text.strip() if isinstance(text, str) else "" for text in smiles]
        names, lost = _read(raw, reasons or {}, report)
        labels, faults = _labels(cells, tasks)
        dropped = [(row, raw[row], "molecule", why) for row, why in lost.items()]
        for row in range(len(raw)):
            if row in lost:
                continue
            if len(tasks) and np.isnan(labels[row]).all():
                why = "; ".join(faults.get(row, ("every target is empty",)))
                dropped.append((row, raw[row], "molecule", f"no label: {why}"))
                names[row] = ""
            else:
                dropped += [(row, raw[row], "label", why) for why in faults.get(row, ())]
        keep = _merge(names, labels, raw, dropped, tuple(tasks), duplicates, spread)
        table = pd.DataFrame(dropped, columns=["row", "smiles", "what", "reason"]).astype({"row": np.int64})
        table = table.assign(row=table["row"] + 1).sort_values("row", kind="stable", ignore_index=True)
        if not keep:
            first = f"row {table['row'][0]}: {table['reason'][0]}" if len(table) else "there are no rows"
            raise BadInput(f"none of {len(raw)} rows is left ({first}); choose other columns or mend the table")
        long = [row + 1 for row in keep if len(names[row]) > LONG]
        notes = list((provenance or {}).get("notes", ()))
        if long:
            rows = ", ".join(map(str, long[:10])) + " …" * (len(long) > 10)
            notes.append(f"{len(long)} SMILES have more than {LONG} characters, kept (rows {rows})")
        made = cls(
            smiles=[names[row] for row in keep],
            targets=labels[keep],
            tasks=tuple(tasks),
            unit=(unit,) * len(tasks) if isinstance(unit, str) else tuple(unit),
            columns={"row": np.array(keep) + 1} | {k: np.asarray(v)[keep] for k, v in (columns or {}).items()},
            dropped=table,
            provenance={**(provenance or {}), "rows_read": len(raw), "duplicates": duplicates, "notes": notes},
        )
        made.provenance["kinds"] = list(made.kinds)
        return made


def _read(raw: list[str], reasons: Mapping[int, str], report: Report) -> tuple[list[str], dict[int, str]]:
    """Canonical names, "" where there is none, and why there is none."""
    names, lost, known = [], {}, {}
    for row, text in enumerate(raw):
        if row % 500 == 0:
            report(row / len(raw), f"reading molecules, {row:,} of {len(raw):,}")
        try:
            if text not in known:
                known[text] = chem.canonical(text)
            names.append(known[text])
        except BadInput as error:
            names.append("")
            lost[row] = reasons.get(row, str(error))
    return names, lost


def _labels(cells: pd.DataFrame, tasks: Sequence[str]) -> tuple[np.ndarray, dict[int, tuple[str, ...]]]:
    """Numbers (n, t), NaN where there is none, and what was wrong with cells, by row."""
    labels = np.full(cells.shape, np.nan)
    faults: dict[int, tuple[str, ...]] = {}
    for column, task in enumerate(tasks):
        labels[:, column], wrong, text = numbers(cells.iloc[:, column].infer_objects())
        filled = len(wrong) + int((~np.isnan(labels[:, column])).sum())
        if 2 * len(text) > filled:
            raise BadInput(
                f"column {task!r} is text in {len(text)} of its {filled} filled cells (row {text[0] + 1}: "
                f"{wrong[text[0]].removeprefix('is text: ')}); choose a column of numbers"
            )
        for row, why in wrong.items():
            faults[row] = (*faults.get(row, ()), f"{task} {why}")
    return labels, faults


def _merge(
    names: list[str],
    labels: np.ndarray,
    raw: list[str],
    dropped: list,
    tasks: tuple[str, ...],
    rule: Rule,
    limit: float,
) -> list[int]:
    """Make one row of the rows of one molecule, in place; the rows that stay."""
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name:
            groups.setdefault(name, []).append(row)
    binary = [_binary(column) for column in labels.T]
    word = "majority" if binary and all(binary) and rule != "first" else rule.replace("drop-if-spread", "median")
    keep = []
    for rows in groups.values():
        first, *others = rows
        keep.append(first)
        if not others:
            continue
        found = [column[~np.isnan(column)] for column in labels[rows].T]
        spread = max((float(np.ptp(values)) for values in found if len(values)), default=0.0)
        if rule == "drop-if-spread" and spread > limit:
            which = ", ".join(str(row + 1) for row in rows)
            dropped += [(row, raw[row], "molecule", f"labels differ by {spread:.3g} in rows {which}") for row in rows]
            keep.pop()
            continue
        labels[first] = [_agree(v, rule, b) if len(v) else np.nan for v, b in zip(found, binary, strict=True)]
        how = f"; {word} of {max(map(len, found))} labels, spread {spread:.3g}" if found else ""
        dropped += [(row, raw[row], "merged", f"same molecule as row {first + 1}{how}") for row in others]
        ties = [t for t, v, y in zip(tasks, found, labels[first], strict=True) if len(v) and np.isnan(y)]
        if ties:
            what = "molecule" if np.isnan(labels[first]).all() else "label"
            why = f"no label of {', '.join(ties)}: the rows of this molecule say 0 and 1 equally often"
            dropped.append((first, raw[first], what, why))
            keep[-1:] = [first] * (what == "label")
    return keep


def _agree(values: np.ndarray, rule: Rule, binary: bool) -> float:
    if rule == "first":
        return float(values[0])
    middle = float(np.mean(values) if rule == "mean" or binary else np.median(values))
    return middle if not binary else np.nan if middle == 0.5 else round(middle)


def _binary(values: np.ndarray) -> bool:
    return set(np.unique(values[~np.isnan(values)])) == {0.0, 1.0}


def _task(name: str, unit: str, kind: str, values: np.ndarray) -> dict[str, Any]:
    measured = values[~np.isnan(values)]
    found = {"name": name, "unit": unit, "kind": kind, "measured": len(measured)}
    if kind == "binary":
        return {**found, "positives": int(measured.sum())}
    spread = {"mean": np.mean, "sd": np.std, "least": np.min, "most": np.max}
    return {**found, **{word: float(count(measured)) if len(measured) else None for word, count in spread.items()}}
