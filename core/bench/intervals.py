"""How far predictions are off: intervals that know the molecule beside one width for all, on tables held out."""

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
FAR_SHARE = 1 / 3  # of the test part, furthest from the training part


def three_forests(cell: Cell) -> Spec[Fit]:
    """The mean of three small forests, which disagree."""
    one = baseline_fit(RandomForest(features="both", trees=30))(cell)
    return Ensemble(one, seeds=tuple(range(cell.seed, cell.seed + 3)))


ARMS: dict[str, Arm] = {
    "support vectors": baseline_fit(SupportVectors(features="descriptors")),
    "mean of three forests": three_forests,
    "full": network_fit,
}
CHOICES = {"table": tuple(TABLES), "split": SPLITS, "arm": tuple(ARMS)}


def run(
    store: Store, report: Report, folder: Path | None = None, arms: Sequence[str] = tuple(ARMS), **settings: Any
) -> list[dict[str, Any]]:
    """Rows, one for a table, a split and an arm: what intervals hold of the test part, their score beside one width.

    `settings`: the tables, splits, seeds, backbone and `show` of `measure_all`.
    """
    return measure_all({arm: ARMS[arm] for arm in arms}, summarise_fits, format_row, store, report, folder, **settings)


def summarise_fits(table: str, split: str, arm: str, fits: Fits) -> dict[str, Any]:
    return {
        "table": table,
        "split": split,
        "arm": arm,
        "seeds": [{"fit": key} | measure_intervals(fit) for key, fit in fits],
    }


def measure_intervals(fit: Fit) -> dict[str, Any]:
    """Of a fit's test part: the share that intervals hold, also of the third furthest from the training part.

    `score`: the mean interval score (Gneiting & Raftery 2007, doi:10.1198/016214506000001437), width and penalty for
    labels outside, over that of one width for all, which are the `plain_` ones.
    """
    calibration = Calibration.of(fit, LEVEL)
    labels, predictions, smiles = (values.copy() for values in fit.matrices("test"))
    errors = np.abs(labels - predictions)[:, 0]
    near = calibration.find_nearest(list(map(str, smiles)))
    low, high = calibration.interval_bounds(predictions, near, ensemble_spread(fit, "test"))
    own, others, _ = fit.matrices("valid")
    of_valid = np.abs(own - others)[:, 0]
    plain = ConformalIntervals.of(of_valid, np.zeros((len(of_valid), 0)), LEVEL)
    halves = {"": (high - low)[:, 0] / 2, "plain_": plain.half_width(np.zeros((len(errors), 0)))}
    far = near.similarity <= np.quantile(near.similarity, FAR_SHARE)
    found: dict[str, Any] = {"n": len(errors)}
    for name, half in halves.items():
        found[f"{name}held"] = float(np.mean(errors <= half))
        found[f"{name}held_far"] = float(np.mean(errors[far] <= half[far]))
        found[f"{name}score"] = float(np.mean(2 * half + 2 / (1 - LEVEL) * np.maximum(errors - half, 0)))
    return found | {"ratio": found["score"] / found["plain_score"]}


def mean_of_seeds(rows: Sequence[dict[str, Any]], name: str) -> float:
    return float(np.mean([one[name] for row in rows for one in row["seeds"]]))


def format_row(row: dict[str, Any]) -> str:
    held, far, plain = (mean_of_seeds([row], name) for name in ("held", "held_far", "plain_held_far"))
    names = f"{row['table']:<14} {row['split']:<9} {row['arm']:<22}"
    score = mean_of_seeds([row], "ratio")
    return f"{names} hold {held:.1%}, far away {far:.1%} (one width {plain:.1%}); score {score:.3f} of one width"


def verdict(rows: list[dict[str, Any]]) -> str:
    """What all cases say: a case is a table, a split and an arm, and its seeds are not told apart."""
    cases = np.array([mean_of_seeds([row], "ratio") for row in rows])
    half = student_half_width(cases)
    half = np.nan if half is None else half
    held, far, plain = (mean_of_seeds(rows, name) for name in ("held", "held_far", "plain_held_far"))
    return (
        f"of {len(cases)} cases: intervals of {LEVEL:.0%} hold {held:.1%} of the test part, {far:.1%} of its third "
        f"that is furthest away, where one width for all holds {plain:.1%}; their score is {cases.mean():.3f} "
        f"(± {half:.3f}) of that of one width"
    )


def as_text(rows: list[dict[str, Any]]) -> str:
    return "\n".join([*map(format_row, rows), "", verdict(rows)])


def as_json(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows, "verdict": verdict(rows)}
