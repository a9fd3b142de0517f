"""A finished fit, or finished scores, applied to every row of a file; rows that cannot be used say why."""

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core import chem
from core.committee import Committee, load, spread
from core.data import Dataset
from core.report import Report
from core.spec import BadInput, Spec
from core.tables import RawTable, guess_smiles, numbers, read_table

CHUNK = 4096  # molecules that go through the model between two reports of progress


def predict_file(store: Any, spec: Spec, table: Path, out: Path, report: Report, smiles: str = "") -> dict[str, Any]:
    """Predictions of a fit, in label units (probabilities for binary tasks), in columns `<task>_predicted`.

    Of an ensemble also `<task>_spread`: the standard deviation of its members.
    """
    fit = store.get(spec)
    model = functools.cache(lambda: load(fit.folder / "predictor", report.part(0, 0.1)))  # once the table is seen

    def columns(chunk: Dataset, within: Report) -> dict[str, np.ndarray]:
        molecules = list(chunk.smiles)
        if not isinstance(model(), Committee):
            return named("predicted", model().predict(molecules, report=within))
        each = model().each(molecules, within)
        return named("predicted", each.mean(0)) | named("spread", spread(each))

    def named(what: str, values: np.ndarray) -> dict[str, np.ndarray]:
        return {f"{task}_{what}": values[:, column] for column, task in enumerate(fit.tasks)}

    given = (read_table(table), out, columns, fit.tasks, smiles, None, report.part(0.1, 1))
    return apply(*given, lambda smiles: model().check(smiles))


def score_file(
    store: Any, spec: Spec, table: Path, out: Path, report: Report, smiles: str = "", labels: str = ""
) -> dict[str, Any]:
    """Influence of every row, with the vector that the scores keep: label, prediction, residual, slope, ΔL, benefit."""
    from core.experiments.scoring import scorer

    scores, fit = store.get(spec), store.get(spec.fit)
    score = scorer(scores, fit)

    def columns(chunk: Dataset, within: Report) -> dict[str, np.ndarray]:
        found = score(chunk, within)
        return {name: found[name].to_numpy() for name in found.columns if name not in ("smiles", "planted")}

    raw = read_table(table)
    if labels and len(fit.tasks) > 1:
        raise BadInput(
            f"--labels names one column, the fit has {len(fit.tasks)} tasks; call the columns {_listed(fit.tasks)}"
        )
    names = [labels] if labels else list(fit.tasks)
    missing = [name for name in names if name not in raw.frame]
    if missing:
        raise BadInput(
            f"{table.name!r} has no column {missing[0]!r} for the labels; it has {_listed(raw.frame.columns)}; "
            "name it with --labels"
        )
    return apply(raw, out, columns, fit.tasks, smiles, names, report, score.check)


def apply(
    raw: RawTable,
    out: Path,
    columns: Callable[[Dataset, Report], dict[str, np.ndarray]],
    tasks: tuple[str, ...],
    smiles: str,
    labels: list[str] | None,
    report: Report,
    check: Callable[[Sequence[str]], list[tuple[int, str]]] = lambda smiles: [],
) -> dict[str, Any]:
    """Write `raw` with further columns to `out` (CSV or Parquet), in the order of its rows; NaN for unusable ones.

    A column of the table that is called like one of these keeps its values as `<name> (given)`. `unusable` says why a
    row has no numbers, `caution` what `check` has against some that it has, such as tokens the backbone does not know.
    """
    frame = raw.frame
    column = smiles or guess_smiles(frame)
    if column not in frame:
        raise BadInput(
            f"no column of SMILES {'named ' + repr(smiles) if smiles else 'was found'}; the table has "
            f"{_listed(frame.columns)}; name it with --smiles"
        )
    if out.suffix not in (".csv", ".parquet"):
        raise BadInput(f"--out wants a name that ends in .csv or .parquet, got {out.name!r}")
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise BadInput(f"--out cannot be written: {out} is a folder, or its own folder is not there or is read-only")
    named = [_canonical(cell) for cell in frame[column]]
    usable = np.array([name is not None for name, _ in named])
    if not usable.any():
        raise BadInput(
            f"none of {len(frame)} rows has a molecule (row 1: {named[0][1]}); name another column with --smiles"
        )
    targets = np.full((len(frame), len(tasks)), np.nan)
    for task, name in enumerate(labels or ()):
        targets[:, task] = numbers(frame[name])[0]
    rows = np.flatnonzero(usable)
    found: dict[str, np.ndarray] = {}
    for start in range(0, len(rows), CHUNK):
        mine = rows[start : start + CHUNK]
        chunk = Dataset(smiles=[named[row][0] for row in mine], targets=targets[mine], tasks=tasks)
        within = report.part(start / len(rows), min(start + CHUNK, len(rows)) / len(rows))
        for name, values in columns(chunk, within).items():
            found.setdefault(name, np.full(len(frame), np.nan))[mine] = values
    faults: dict[int, list[str]] = {}
    for place, fault in check([named[row][0] for row in rows]):
        faults.setdefault(int(rows[place]), []).append(fault)
    found["caution"] = np.array(["; ".join(faults.get(row, ())) for row in range(len(frame))], object)
    found["unusable"] = np.array([reason or "" for _, reason in named], object)
    kept = frame.rename(columns={name: _other(name, {*frame, *found}) for name in found if name in frame})
    _write(kept.reset_index(drop=True).assign(**found), out)
    counts = {"rows": len(frame), "unusable": int((~usable).sum()), "with_caution": len(faults)}
    return counts | {"out": str(out), "columns": sorted(found)}


def _canonical(cell: Any) -> tuple[str | None, str | None]:
    try:
        return chem.canonical(str(cell)), None
    except BadInput as error:
        return None, str(error)


def _listed(names: Iterable[Any]) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


def _other(name: str, taken: Iterable[str]) -> str:
    """What a column of the table is called where a new one has its name."""
    while name in taken:
        name += " (given)"
    return name


def _write(frame: pd.DataFrame, out: Path) -> None:
    """All of the file or nothing."""
    draft = out.with_name(f".{out.name}.draft")
    try:
        if out.suffix == ".csv":
            frame.to_csv(draft, index=False)
        else:
            frame.to_parquet(draft, index=False)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
