"""A finished fit, or finished scores, applied to every row of a file, however long; rows without a number say why.

The table is read twice, a shard at a time: once to know it, so that nothing is found wrong after hours, and once to
work. Finished shards are kept beside the output until all are there: a run that was stopped goes on after the last of
them, and ends with the same file. Memory is that of a shard.
"""

import functools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.annotate_rows import Rows
from core.data.dataset import Dataset
from core.data.readers import guess_smiles, long_table
from core.data.readers.shard_store import kept_beside, written
from core.engine.report import Report
from core.engine.spec import BadInput, Spec
from core.experiments.influence.seed_average import MeanInfluence, mean_of
from core.models.ensemble import Committee, load, spread

SHARD = 10_000  # rows that are read, go through the model and are kept at a time
REVISION = 2  # raised when the same work comes to mean other numbers
BEGUN, DONE = 0.02, 0.97  # of the progress: when the model is there, and when all rows have gone through it


def predict_file(
    store: Any, spec: Spec, table: Path, out: Path, report: Report, smiles: str = "", level: float = 0.9
) -> dict[str, Any]:
    """Predictions of a fit, in label units (probabilities for binary tasks), in columns `<task>_predicted`.

    Beside them `<task>_low` and `<task>_high`, ends of the intervals of `core.results.calibration`, and `similarity` to the
    nearest training molecule; of an ensemble also `<task>_spread`: the standard deviation of its members.
    """
    from core.results.calibration import Calibration

    if not 0.5 <= level <= 0.99:
        raise BadInput(f"--level wants a share from 0.5 to 0.99, such as 0.9; got {level:g}")
    fit = store.get(spec)
    model = functools.cache(lambda: load(fit.folder / "predictor", report.part(0, BEGUN)))  # once the table is seen
    calibration = functools.cache(lambda: Calibration.of(fit, level, report.part(BEGUN, BEGUN)))

    def columns(chunk: Dataset, within: Report) -> dict[str, np.ndarray]:
        places, molecules = pd.factorize(chunk.smiles)  # each goes through the model once
        values, apart = predictions(model(), list(molecules), within)
        near = calibration().near(list(molecules))
        low, high = calibration().bounds(values, near, apart)
        found = named("predicted", values) | named("low", low) | named("high", high)
        found |= {} if apart is None else named("spread", apart)
        found["similarity"] = near.similarity.astype(float)
        return {name: column[places] for name, column in found.items()}

    def named(what: str, values: np.ndarray) -> dict[str, np.ndarray]:
        return {f"{task}_{what}": values[:, column] for column, task in enumerate(fit.tasks)}

    given = (table, out, columns, fit.tasks, smiles, (), report)
    product = product_of(store, spec) | {"level": level}
    return apply(*given, check=lambda molecules: model().check(molecules), product=product)


def predictions(model: Any, smiles: list[str], report: Report) -> tuple[np.ndarray, np.ndarray | None]:
    """Predictions (n, t), and of an ensemble how far its members are apart (n, t)."""
    if not isinstance(model, Committee):
        return model.predict(smiles, report=report), None
    each = model.each(smiles, report)
    return each.mean(0), spread(each)


def score_file(
    store: Any, spec: Spec, table: Path, out: Path, report: Report, smiles: str = "", labels: str = "", top: int = 5
) -> dict[str, Any]:
    """Influence of every row, with the vector that the scores keep: label, prediction, residual, slope, ΔL, benefit.

    The answer names the `top` most helpful and most harmful molecules, of equal ones the earlier row. Of scores that
    are the mean of several fits', all are means, and `delta_loss_sd` is the standard deviation over the fits.
    """
    from core.influence.scoring import check_labels, scorer

    members = spec.members if isinstance(spec, MeanInfluence) else (spec,)
    known = [(store.get(one), store.get(one.fit)) for one in members]
    fit = known[0][1]
    each = functools.cache(lambda: [scorer(*one) for one in known])  # once the table is seen

    def columns(chunk: Dataset, within: Report) -> dict[str, np.ndarray]:
        shares = [within.part(place / len(known), (place + 1) / len(known)) for place in range(len(known))]
        tables = [score(chunk, share) for score, share in zip(each(), shares, strict=True)]
        found = mean_of(tables)
        if len(tables) > 1:
            found["delta_loss_sd"] = np.std([one["delta_loss"] for one in tables], axis=0, ddof=1)
        return {name: found[name].to_numpy() for name in found.columns if name not in ("smiles", "planted")}

    if top < 0:
        raise BadInput(f"--top wants a number of molecules, 0 or more, got {top}")
    if labels and len(fit.tasks) > 1:
        raise BadInput(
            f"--labels names one column, the fit has {len(fit.tasks)} tasks; call the columns {_listed(fit.tasks)}"
        )
    return apply(
        table,
        out,
        columns,
        fit.tasks,
        smiles,
        [labels] if labels else list(fit.tasks),
        report,
        check=lambda molecules: each()[0].check(molecules),
        vet=(lambda labelled: check_labels(fit, labelled, "table")) if "binary" in fit.record["kinds"] else None,
        product=product_of(store, *members, *(one.fit for one in members)),
        top=top,
    )


def apply(
    path: Path,
    out: Path,
    columns: Callable[[Dataset, Report], dict[str, np.ndarray]],
    tasks: tuple[str, ...],
    smiles: str,
    labels: Sequence[str],
    report: Report,
    check: Callable[[Sequence[str]], list[tuple[int, str]]] = lambda molecules: [],
    vet: Callable[[Dataset], None] | None = None,
    product: Any = None,
    top: int = 0,
) -> dict[str, Any]:
    """Write a table with further columns to `out` (CSV or Parquet), in the order of its rows; NaN for unusable ones.

    Given columns come out as `core.data.readers.long_table` reads them: text of a text file as it was written, Parquet in its own
    types. One that is called like a new one is kept as `<name> (given)`. `unusable` says why a row has no numbers,
    `caution` what `check` has against some that it has, such as tokens the backbone does not know.

    `columns` sees the molecules of a shard at a time, `vet` before that all labels, and may refuse. `product` tells
    what is applied from all else that could be: shards of other work are not gone on from. Of the answer, `seconds`
    and `molecules_per_second` are of this run, `resumed_rows` those that an earlier one had finished.
    """
    began, molecules = time.monotonic(), 0
    if out.suffix not in (".csv", ".parquet"):
        raise BadInput(f"--out wants a name that ends in .csv or .parquet, got {out.name!r}")
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise BadInput(f"--out cannot be written: {out} is a folder, or its own folder is not there or is read-only")
    table = long_table(path, SHARD, report.part(0, 0))
    column = smiles or guess_smiles(table.first)
    if column not in table.first:
        raise BadInput(
            f"no column of SMILES {'named ' + repr(smiles) if smiles else 'was found'}; the table has "
            f"{_listed(table.first.columns)}; name it with --smiles"
        )
    if missing := [name for name in labels if name not in table.first]:
        raise BadInput(
            f"{table.name!r} has no column {missing[0]!r} for the labels; it has {_listed(table.first.columns)}; "
            "name it with --labels"
        )
    rows = Rows(table, column, tuple(labels), tasks, columns, check)
    choices = {"smiles": column, "labels": labels, "tasks": tasks, "shard": SHARD, "revision": REVISION}
    work = {"table": table.digest, "product": product, **choices}
    rows.vet(vet)
    with kept_beside(out, work, SHARD, table.rows, report.part(0, 0)) as shards:
        resumed = shards.done_rows
        for frame in table.shards(shards.done):
            within = _of_rows(report.part(BEGUN, DONE), shards.done_rows, len(frame), resumed, table.rows)
            *kept, usable = rows.shard(frame, within)
            shards.keep(*kept)
            molecules += usable
        answer = written(shards, out, top, report.part(DONE, 1))
    seconds = time.monotonic() - began
    pace = {"seconds": seconds, "molecules_per_second": molecules / seconds, "resumed_rows": resumed}
    return answer | {"out": str(out)} | pace


def _of_rows(report: Report, start: int, count: int, resumed: int, rows: int) -> Report:
    """How far a shard is, said in rows of the table; the fraction is of what this run has to do."""

    def tell(fraction: float, message: str, numbers: dict[str, Any]) -> None:
        done = start + fraction * count
        report((done - resumed) / (rows - resumed), f"{int(done):,} of {rows:,} rows", rows=int(done))

    return Report(tell=tell, cancelled=report.cancelled)


def product_of(store: Any, *specs: Spec) -> dict[str, str]:
    """Keys, and when what lies under them was made: made again it may predict otherwise."""
    return {spec.key: store.find(spec.key).made for spec in specs}


def _listed(names: Iterable[Any]) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")
