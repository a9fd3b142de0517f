"""Test errors of networks and baselines on public tables: the same rows for all, several seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.bench.cells import SPLITS, Arm, Cell, Fits, baseline_fit, measure_all, network_fit
from core.bench.public_tables import MINI, TABLES
from core.engine.report import Report
from core.engine.store import Store
from core.experiments import Adapt, Ensemble
from core.models.backbones import Untrained
from core.models.baselines import GradientBoosting, RandomForest, SupportVectors
from core.models.methods import Full, LoRA
from core.results.comparison import summarize_seeds


def adapt_backbone(cell: Cell) -> Adapt:
    """The backbone adapted to the molecules of the training set only."""
    return Adapt(cell.train, leave_out=cell.test, backbone=cell.backbone, seed=cell.seed)


NETWORKS: dict[str, Arm] = {
    "full": lambda cell: network_fit(cell, method=Full()),
    "full, mean of three": lambda cell: Ensemble(
        network_fit(cell, method=Full()), seeds=tuple(range(cell.seed, cell.seed + 3))
    ),
    "full after adapting": lambda cell: network_fit(cell, method=Full(), backbone=adapt_backbone(cell)),
    "LoRA": lambda cell: network_fit(cell, method=LoRA()),
    "LoRA after adapting": lambda cell: network_fit(cell, method=LoRA(), backbone=adapt_backbone(cell)),
    "full, embedding alone": lambda cell: network_fit(cell, method=Full(), features="none"),
    "random weights": lambda cell: network_fit(cell, method=Full(), backbone=Untrained(MINI.name, seed=cell.seed)),
}
BASELINES: dict[str, Arm] = {
    "support vectors": baseline_fit(SupportVectors(features="descriptors")),
    "gradient boosting": baseline_fit(GradientBoosting(features="both")),
    "random forest": baseline_fit(RandomForest(features="both")),
}
ARMS = NETWORKS | BASELINES
CHOICES = {"table": tuple(TABLES), "split": SPLITS, "arm": tuple(ARMS)}


def run(
    store: Store, report: Report, folder: Path | None = None, arms: Sequence[str] = tuple(ARMS), **settings: Any
) -> list[dict[str, Any]]:
    """One row for each table, split and arm: test RMSE (mean and standard deviation over seeds), seconds, fit keys.

    `settings`: the tables, splits, seeds, backbone and `show` of `measure_all`.
    """
    return measure_all({arm: ARMS[arm] for arm in arms}, summarise_fits, format_row, store, report, folder, **settings)


def summarise_fits(table: str, split: str, arm: str, fits: Fits) -> dict[str, Any]:
    """The row of a table, split and arm: test and validation RMSE in the label's unit, seconds of a training, keys."""
    errors = {part: [next(iter(fit.metrics[part].values()))["rmse"] for _, fit in fits] for part in ("valid", "test")}
    test, seconds = summarize_seeds(errors["test"]), [fit.record["seconds"] for _, fit in fits]
    return {
        "table": table,
        "split": split,
        "arm": arm,
        "baseline": arm in BASELINES,
        "rmse": test["mean"],
        "sd": test["sd"],
        "rmse_of_seeds": test["values"],
        "valid_rmse": float(np.mean(errors["valid"])),
        "seconds": float(np.mean(seconds)),
        "rows": fits[0][1].record["rows"],
        "test_digests": [fit.record["digests"]["test"] for _, fit in fits],
        "fits": [key for key, _ in fits],
    }


def format_row(row: dict[str, Any]) -> str:
    names = f"{row['table']:<14} {row['split']:<9} {row['arm']:<22}"
    return f"{names} {format_error(row)}   (validation {row['valid_rmse']:.3f}, {row['seconds']:.0f} s)"


def format_grid(rows: list[dict[str, Any]]) -> str:
    """Test errors as a Markdown table: a row for each table and split, a column for each arm."""
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    cells = {(row["table"], row["split"], row["arm"]): format_error(row) for row in rows}
    lines = ["| table | split | " + " | ".join(arms) + " |", "| --- " * (2 + len(arms)) + "|"]
    for table, split in dict.fromkeys((row["table"], row["split"]) for row in rows):
        errors = [cells.get((table, split, arm), "") for arm in arms]
        lines.append(f"| {table} ({TABLES[table].unit}) | {split} | " + " | ".join(errors) + " |")
    return "\n".join(lines)


def format_error(row: dict[str, Any]) -> str:
    """A test error, with its standard deviation if there are several seeds."""
    return f"{row['rmse']:.3f}" + ("" if row["sd"] is None else f" ± {row['sd']:.3f}")


def compare_with_baselines(rows: list[dict[str, Any]]) -> list[str]:
    """For each table and split: the network with the lowest validation error against the best baseline by test error.

    This favours the baselines: only the network is chosen without its test error.
    """
    verdicts = []
    for table, split in dict.fromkeys((row["table"], row["split"]) for row in rows):
        cell_rows = [row for row in rows if (row["table"], row["split"]) == (table, split)]
        networks, others = (
            [row for row in cell_rows if row["baseline"] == is_baseline] for is_baseline in (False, True)
        )
        if networks and others:
            best, bar = min(networks, key=lambda one: one["valid_rmse"]), min(others, key=lambda one: one["rmse"])
            word = "below" if best["rmse"] < bar["rmse"] else "NOT below"
            verdicts.append(
                f"{table}, {split}: {best['arm']} {best['rmse']:.3f} is {word} {bar['arm']} {bar['rmse']:.3f}"
            )
    return verdicts


def as_text(rows: list[dict[str, Any]]) -> str:
    return "\n".join([*map(format_row, rows), "", format_grid(rows), "", *compare_with_baselines(rows)])


def as_json(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows, "verdicts": compare_with_baselines(rows)}
