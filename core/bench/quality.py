"""How good: test errors of networks and baselines on public tables, the same rows for all, several seeds."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from core.bench.tables import MINI, TABLES
from core.data.dataset import Dataset
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import Spec
from core.engine.store import Store
from core.experiments import Adapt, Baseline, Ensemble, FineTune, Load, parts, settled
from core.models.backbones import Pretrained, Untrained
from core.models.baselines import GradientBoosting, RandomForest, SupportVectors
from core.models.methods import Full, LoRA
from core.results.fit import Fit

SPLITS = ("random", "scaffold")


class Cell(NamedTuple):
    """What the fits of all arms have in common: the same rows, one seed, one pre-trained backbone."""

    train: Spec[Dataset]
    valid: Spec[Dataset]
    test: Spec[Dataset]
    seed: int
    backbone: Pretrained


def network(cell: Cell, **settings: Any) -> FineTune:
    return FineTune(cell.train, cell.valid, cell.test, **{"backbone": cell.backbone, "seed": cell.seed, **settings})


def adapted(cell: Cell) -> Adapt:
    """The backbone adapted to the molecules of the training part alone."""
    return Adapt(cell.train, leave_out=cell.test, backbone=cell.backbone, seed=cell.seed)


def baseline(learner: Any) -> Callable[[Cell], Spec[Fit]]:
    return lambda cell: Baseline(cell.train, cell.valid, cell.test, learner=learner, seed=cell.seed)


NETWORKS: dict[str, Callable[[Cell], Spec[Fit]]] = {
    "full": lambda cell: network(cell, method=Full()),
    "full, mean of three": lambda cell: Ensemble(
        network(cell, method=Full()), seeds=tuple(range(cell.seed, cell.seed + 3))
    ),
    "full after adapting": lambda cell: network(cell, method=Full(), backbone=adapted(cell)),
    "LoRA": lambda cell: network(cell, method=LoRA()),
    "LoRA after adapting": lambda cell: network(cell, method=LoRA(), backbone=adapted(cell)),
    "full, embedding alone": lambda cell: network(cell, method=Full(), features="none"),
    "random weights": lambda cell: network(cell, method=Full(), backbone=Untrained(MINI.name, seed=cell.seed)),
}
BASELINES: dict[str, Callable[[Cell], Spec[Fit]]] = {
    "support vectors": baseline(SupportVectors(features="descriptors")),
    "gradient boosting": baseline(GradientBoosting(features="both")),
    "random forest": baseline(RandomForest(features="both")),
}
ARMS = NETWORKS | BASELINES
ASKED = {"table": tuple(TABLES), "split": SPLITS, "arm": tuple(ARMS)}


def cells(table: Load, split: str, seeds: Sequence[int], backbone: Pretrained = MINI) -> Iterator[Cell]:
    for seed in seeds:
        train, valid, test = parts(table, by=split, seed=seed, train=None, valid=0.1, test=0.1)
        yield Cell(train, valid, test, seed, backbone)


def run(
    store: Store,
    report: Report,
    folder: Path | None = None,
    tables: Sequence[str] = tuple(TABLES),
    splits: Sequence[str] = SPLITS,
    arms: Sequence[str] = tuple(ARMS),
    seeds: Sequence[int] = (0, 1, 2),
    backbone: Pretrained = MINI,
    show: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Rows, one for a table, a split and an arm: test RMSE (mean, sd over seeds), seconds, keys of the fits.

    Every fit is kept in the store: an interrupted benchmark goes on where it was. `show` gets each row as a line.
    """
    given = {name: settled(TABLES[name].load(name, folder), store.files) for name in tables}
    rows: list[dict[str, Any]] = []
    for name, split, arm, fits in made(given, splits, {arm: ARMS[arm] for arm in arms}, seeds, backbone, store, report):
        rows.append(row(name, split, arm, fits))
        show(line(rows[-1]))
    return rows


def made(
    tables: dict[str, Load],
    splits: Sequence[str],
    arms: dict[str, Callable[[Cell], Spec[Fit]]],
    seeds: Sequence[int],
    backbone: Pretrained,
    store: Store,
    report: Report,
) -> Iterator[tuple[str, str, str, list[tuple[str, Fit]]]]:
    """Of each table, split and arm the fits of all seeds with their keys; each is kept in the store."""
    total, done = len(tables) * len(splits) * len(arms) * len(seeds), 0
    for name, table in tables.items():
        for split in splits:
            for arm, recipe in arms.items():
                found = []
                for cell in cells(table, split, seeds, backbone):
                    spec = settled(recipe(cell), store.files)
                    found.append((spec.key, make(spec, store, report.part(done / total, (done + 1) / total))))
                    done += 1
                yield name, split, arm, found


def row(table: str, split: str, arm: str, fits: list[tuple[str, Fit]]) -> dict[str, Any]:
    cards = {part: [next(iter(fit.metrics[part].values()))["rmse"] for _, fit in fits] for part in ("valid", "test")}
    seconds = [fit.record["seconds"] for _, fit in fits]
    return {
        "table": table,
        "split": split,
        "arm": arm,
        "baseline": arm in BASELINES,
        "rmse": float(np.mean(cards["test"])),
        "sd": float(np.std(cards["test"], ddof=1)) if len(fits) > 1 else None,
        "rmse_of_seeds": cards["test"],
        "valid_rmse": float(np.mean(cards["valid"])),
        "seconds": float(np.mean(seconds)),
        "rows": fits[0][1].record["rows"],
        "test_digests": [fit.record["digests"]["test"] for _, fit in fits],
        "fits": [key for key, _ in fits],
    }


def line(found: dict[str, Any]) -> str:
    names = f"{found['table']:<14} {found['split']:<9} {found['arm']:<22}"
    return f"{names} {error(found)}   (validation {found['valid_rmse']:.3f}, {found['seconds']:.0f} s)"


def grid(rows: list[dict[str, Any]]) -> str:
    """Test errors in Markdown: a line for each table and split, a column for each arm."""
    arms = list(dict.fromkeys(one["arm"] for one in rows))
    cells = {(one["table"], one["split"], one["arm"]): error(one) for one in rows}
    lines = ["| table | split | " + " | ".join(arms) + " |", "| --- " * (2 + len(arms)) + "|"]
    for table, split in dict.fromkeys((one["table"], one["split"]) for one in rows):
        found = [cells.get((table, split, arm), "") for arm in arms]
        lines.append(f"| {table} ({TABLES[table].unit}) | {split} | " + " | ".join(found) + " |")
    return "\n".join(lines)


def error(found: dict[str, Any]) -> str:
    """A test error with its spread over the seeds, if there are several."""
    return f"{found['rmse']:.3f}" + ("" if found["sd"] is None else f" ± {found['sd']:.3f}")


def verdicts(rows: list[dict[str, Any]]) -> list[str]:
    """For each table and split the network with the lowest validation error beside the best baseline by test error.

    So the bar is as high as it can be, and the network is not chosen by the numbers it is judged by.
    """
    said = []
    for table, split in dict.fromkeys((one["table"], one["split"]) for one in rows):
        mine = [one for one in rows if (one["table"], one["split"]) == (table, split)]
        networks, others = ([one for one in mine if one["baseline"] == is_one] for is_one in (False, True))
        if networks and others:
            best, bar = min(networks, key=lambda one: one["valid_rmse"]), min(others, key=lambda one: one["rmse"])
            word = "below" if best["rmse"] < bar["rmse"] else "NOT below"
            said.append(f"{table}, {split}: {best['arm']} {best['rmse']:.3f} is {word} {bar['arm']} {bar['rmse']:.3f}")
    return said


def told(rows: list[dict[str, Any]]) -> str:
    return "\n".join([*map(line, rows), "", grid(rows), "", *verdicts(rows)])


def answer(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows, "verdicts": verdicts(rows)}
