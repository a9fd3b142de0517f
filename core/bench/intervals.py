"""Coverage of prediction intervals: molecule-dependent widths against one constant width, on test sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.bench.cells import SPLITS, Arm, Cell, Fits, baseline_fit, measure_all, network_fit
from core.bench.public_tables import TABLES
from core.engine.report import Report
from core.engine.spec import Spec
from core.engine.store import Store
from core.experiments import Ensemble
from core.models.baselines import RandomForest, SupportVectors
from core.results.calibration import Calibration, ensemble_spread
from core.results.fit import Fit
from core.stats.conformal import ConformalIntervals
from core.stats.differences import student_half_width

LEVEL = 0.9
FAR_SHARE = 1 / 3  # of the test set, the molecules furthest from the training set


def three_forests(cell: Cell) -> Spec[Fit]:
    """The mean of three small forests, whose disagreement the intervals use."""
    forest = baseline_fit(RandomForest(features="both", trees=30))(cell)
    return Ensemble(forest, seeds=tuple(range(cell.seed, cell.seed + 3)))


ARMS: dict[str, Arm] = {
    "support vectors": baseline_fit(SupportVectors(features="descriptors")),
    "mean of three forests": three_forests,
    "full": network_fit,
}
CHOICES = {"table": tuple(TABLES), "split": SPLITS, "arm": tuple(ARMS)}


def run(
    store: Store, report: Report, folder: Path | None = None, arms: Sequence[str] = tuple(ARMS), **settings: Any
) -> list[dict[str, Any]]:
    """One row for each table, split and arm: coverage and interval score, also of a constant width.

    `settings`: the tables, splits, seeds, backbone and `show` of `measure_all`.
    """
    return measure_all({arm: ARMS[arm] for arm in arms}, summarise_fits, format_row, store, report, folder, **settings)


def summarise_fits(table: str, split: str, arm: str, fits: Fits) -> dict[str, Any]:
    """The row of a table, split and arm, with the measures of `measure_intervals` for each seed."""
    return {
        "table": table,
        "split": split,
        "arm": arm,
        "seeds": [{"fit": key} | measure_intervals(fit) for key, fit in fits],
    }


def measure_intervals(fit: Fit) -> dict[str, Any]:
    """Coverage of the test set (`held`) and of its third furthest from the training set (`held_far`), and `score`.

    `score` is the mean interval score (Gneiting & Raftery 2007, doi:10.1198/016214506000001437): the width, and a
    penalty for labels outside. `plain_…` are the same of one constant width, `ratio` is `score` / `plain_score`.
    """
    calibration = Calibration.of(fit, LEVEL)
    labels, predictions, smiles = (values.copy() for values in fit.matrices("test"))
    errors = np.abs(labels - predictions)[:, 0]
    position = calibration.locate(list(map(str, smiles)))
    low, high = calibration.interval_bounds(predictions, position, ensemble_spread(fit, "test"))
    valid_labels, valid_predictions, _ = fit.matrices("valid")
    valid_errors = np.abs(valid_labels - valid_predictions)[:, 0]
    constant = ConformalIntervals.of(valid_errors, np.zeros((len(valid_errors), 0)), LEVEL)
    half_widths = {"": (high - low)[:, 0] / 2, "plain_": constant.half_width(np.zeros((len(errors), 0)))}
    is_far = position.similarity <= np.quantile(position.similarity, FAR_SHARE)
    measures: dict[str, Any] = {"n": len(errors)}
    for name, half_width in half_widths.items():
        measures[f"{name}held"] = float(np.mean(errors <= half_width))
        measures[f"{name}held_far"] = float(np.mean(errors[is_far] <= half_width[is_far]))
        measures[f"{name}score"] = float(np.mean(2 * half_width + 2 / (1 - LEVEL) * np.maximum(errors - half_width, 0)))
    return measures | {"ratio": measures["score"] / measures["plain_score"]}


def mean_of_seeds(rows: Sequence[dict[str, Any]], name: str) -> float:
    """Mean of one measure over the seeds of all rows."""
    return float(np.mean([seed[name] for row in rows for seed in row["seeds"]]))


def format_row(row: dict[str, Any]) -> str:
    coverage, far_coverage, constant_coverage = (
        mean_of_seeds([row], name) for name in ("held", "held_far", "plain_held_far")
    )
    names = f"{row['table']:<14} {row['split']:<9} {row['arm']:<22}"
    score = mean_of_seeds([row], "ratio")
    return (
        f"{names} coverage {coverage:.1%}, far molecules {far_coverage:.1%} (constant width {constant_coverage:.1%}); "
        f"score {score:.3f} of that of the constant width"
    )


def verdict(rows: list[dict[str, Any]]) -> str:
    """Coverage and mean score over all cases. A case is a table, a split and an arm, averaged over its seeds."""
    cases = np.array([mean_of_seeds([row], "ratio") for row in rows])
    half = student_half_width(cases)
    half = np.nan if half is None else half
    coverage, far_coverage, constant_coverage = (
        mean_of_seeds(rows, name) for name in ("held", "held_far", "plain_held_far")
    )
    return (
        f"{len(cases)} cases: {LEVEL:.0%} intervals cover {coverage:.1%} of the test set and {far_coverage:.1%} of its "
        f"third furthest from the training set, where one constant width covers {constant_coverage:.1%}; their "
        f"interval score is {cases.mean():.3f} (± {half:.3f}) of that of the constant width"
    )


def as_text(rows: list[dict[str, Any]]) -> str:
    return "\n".join([*map(format_row, rows), "", verdict(rows)])


def as_json(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows, "verdict": verdict(rows)}
