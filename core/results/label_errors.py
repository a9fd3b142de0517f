"""Suspicious training labels, and how well the ranking finds labels that were mislabelled on purpose."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from core.results.tabular import TabularResult
from core.stats.bootstrap import compute_auroc_interval


class LabelErrorTable(TabularResult):
    """Training molecules of a fit with their leave-one-out residuals.

    `table`: `Scores.training`, for each task `opinion` (out-of-fold prediction of a baseline), `suspicion`, and
    `mislabelled` if labels were shuffled on purpose. `record`: damping, residual, detection.
    """

    table_file: ClassVar[str] = "training.parquet"
    headline_keys: ClassVar[tuple[str, ...]] = ("rows",)

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return f"{summary['rows']:,} molecules"


def root_mean_square(table: pd.DataFrame, name: str) -> np.ndarray:
    """Root mean square (n,) of a column over a molecule's tasks, each in units of its standard deviation."""
    values = table[[column for column in table if str(column).split(":")[0] == name]].to_numpy(float)
    values = values / np.maximum(np.nanstd(values, axis=0), 1e-300)
    measured = ~np.isnan(values)
    summed = np.where(measured, values, 0.0) ** 2
    return np.sqrt(summed.sum(1) / np.maximum(measured.sum(1), 1))


def add_second_opinions(table: pd.DataFrame, opinions: np.ndarray, tasks: Sequence[str]) -> None:
    """Add out-of-fold predictions of a baseline (n, t) and `suspicion` to a table of training molecules, in place.

    `suspicion` is the mean of the leave-one-out residual and the baseline's error, each in units of its standard
    deviation; without a baseline's prediction only the former.
    """
    for task, name in enumerate(tasks):
        end = "" if len(tasks) == 1 else f":{name}"
        table[f"opinion{end}"] = opinions[:, task]
        table[f"apart{end}"] = opinions[:, task] - table[f"label{end}"]
    distances = np.stack([root_mean_square(table, name) for name in ("leave_one_out", "apart")])
    has_opinion = table[[name for name in table if str(name).split(":")[0] == "apart"]].notna().any(axis=1)
    table["suspicion"] = np.where(has_opinion, distances.mean(0), distances[0])


def evaluate_detection(table: pd.DataFrame, seed: int = 0) -> dict[str, dict[str, float]]:
    """How well several rankings find labels that are wrong on purpose: AUROC with 95 % bootstrap interval.

    `leave_one_out`: residual of the model trained without the molecule; `residual`: of the model trained with it;
    `opinion`: of the baseline; `suspicion`: the combined ranking; `removal`: predicted decrease of the target loss if
    the molecule is removed. Empty without the column `mislabelled`.
    """
    if "mislabelled" not in table:
        return {}
    rankings = {name: root_mean_square(table, name) for name in ("leave_one_out", "residual")}
    rankings |= {"opinion": root_mean_square(table, "apart"), "suspicion": table["suspicion"].to_numpy(float)}
    rankings["removal"] = -table["removal"].to_numpy(float)
    flags = table["mislabelled"].to_numpy(bool)
    scored = np.isfinite(rankings["removal"])
    values = {name: compute_auroc_interval(flags[scored], score[scored], seed) for name, score in rankings.items()}
    return {
        name: dict(zip(("auroc", "low", "high"), value, strict=True))
        for name, value in values.items()
        if value is not None
    }
