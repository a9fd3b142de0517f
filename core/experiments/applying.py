"""A finished fit, or finished scores, applied to every row of a file; rows that cannot be used say why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core import chem
from core.data import Dataset
from core.report import Report
from core.spec import BadInput, Spec
from core.tables import RawTable, guess_smiles, numbers, read_table

CHUNK = 4096  # rows that are read into the model and written out at a time


def predict_file(store: Any, spec: Spec, table: Path, out: Path, report: Report, smiles: str = "") -> dict[str, Any]:
    """Predictions of a fit, in label units (probabilities for binary tasks), in columns `<task>_predicted`."""
    from core.predictor import Predictor

    fit = store.get(spec)
    predictor = Predictor.load(fit.folder / "predictor")

    def columns(chunk: Dataset, within: Report) -> dict[str, np.ndarray]:
        found = predictor.predict(list(chunk.smiles), report=within)
        return {f"{task}_predicted": found[:, column] for column, task in enumerate(fit.tasks)}

    return apply(read_table(table), out, columns, fit.tasks, smiles, None, report)


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
    names = [labels] if labels and len(fit.tasks) == 1 else list(fit.tasks)
    missing = [name for name in names if name not in raw.frame]
    if missing:
        there = ", ".join(map(str, raw.frame.columns[:12]))
        raise BadInput(f"{table.name!r} has no column {missing[0]!r} for the labels; it has {there}; name it with --labels")
    return apply(raw, out, columns, fit.tasks, smiles, names, report)


def apply(
    raw: RawTable,
    out: Path,
    columns: Callable[[Dataset, Report], dict[str, np.ndarray]],
    tasks: tuple[str, ...],
    smiles: str,
    labels: list[str] | None,
    report: Report,
) -> dict[str, Any]:
    """Write `raw` with further columns to `out` (CSV or Parquet), a chunk at a time, in the order of its rows."""
    frame = raw.frame
    column = smiles or guess_smiles(frame)
    if column not in frame:
        raise BadInput(
            f"no column of SMILES {'named ' + repr(smiles) if smiles else 'was found'}; the table has "
            f"{', '.join(map(str, frame.columns[:12]))}; name it with --smiles"
        )
    if out.suffix not in (".csv", ".parquet"):
        raise BadInput(f"--out wants a name that ends in .csv or .parquet, got {out.name!r}")
    draft, unusable = out.with_name(f"{out.name}.draft"), 0
    draft.unlink(missing_ok=True)
    writer = _writer(draft, out.suffix)
    for start in range(0, len(frame), CHUNK):
        part = frame.iloc[start : start + CHUNK]
        names, reasons = zip(*(_canonical(cell) for cell in part[column]), strict=True)
        usable = np.array([name is not None for name in names])
        targets = np.full((len(part), len(tasks)), np.nan)
        for task, name in enumerate(labels or ()):
            targets[:, task] = numbers(part[name])[0]
        chunk = Dataset(smiles=[name for name in names if name], targets=targets[usable], tasks=tasks)
        stop = min(start + CHUNK, len(frame))
        found = columns(chunk, report.part(start / len(frame), stop / len(frame))) if len(chunk) else {}
        added = {name: np.full(len(part), np.nan) for name in found}
        for name, values in found.items():
            added[name][usable] = values
        taken = {name: values for name, values in added.items() if name not in part.columns}
        writer(part.reset_index(drop=True).assign(**taken, unusable=[reason or "" for reason in reasons]))
        unusable += int((~usable).sum())
    writer(None)
    draft.replace(out)
    return {"rows": len(frame), "unusable": unusable, "out": str(out), "columns": sorted(taken)}


def _canonical(cell: Any) -> tuple[str | None, str | None]:
    try:
        return chem.canonical(str(cell)), None
    except BadInput as error:
        return None, str(error)


def _writer(path: Path, suffix: str) -> Callable[[pd.DataFrame | None], None]:
    """Something that takes frame after frame, and None at the end."""
    if suffix == ".csv":

        def write(frame: pd.DataFrame | None) -> None:
            if frame is not None:
                frame.to_csv(path, mode="a", header=not path.exists(), index=False)

        return write
    import pyarrow
    from pyarrow import parquet

    opened: list[Any] = []

    def write_parquet(frame: pd.DataFrame | None) -> None:
        if frame is None:
            for one in opened:
                one.close()
            return
        table = pyarrow.Table.from_pandas(frame, preserve_index=False)
        opened or opened.append(parquet.ParquetWriter(path, table.schema))
        opened[0].write_table(table)

    return write_parquet
