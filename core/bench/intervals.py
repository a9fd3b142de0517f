"""How far predictions are off: intervals that know the molecule beside one width for all, on tables held out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.bench.quality import SPLITS, Cell, baseline, made, network
from core.bench.tables import MINI, TABLES
from core.engine.report import Report
from core.engine.spec import Spec
from core.engine.store import Store
from core.experiments import Ensemble, settled
from core.models.backbones import Pretrained
from core.models.baselines import RandomForest, SupportVectors
from core.results.calibration import Calibration, spread_of
from core.results.fit import Fit
from core.stats.conformal import Intervals

LEVEL = 0.9
FAR = 1 / 3  # of the test part, furthest from the training part


def three_forests(cell: Cell) -> Spec[Fit]:
    """The mean of three small forests, which disagree."""
    one = baseline(RandomForest(features="both", trees=30))(cell)
    return Ensemble(one, seeds=tuple(range(cell.seed, cell.seed + 3)))


ARMS: dict[str, Callable[[Cell], Spec[Fit]]] = {
    "support vectors": baseline(SupportVectors(features="descriptors")),
    "mean of three forests": three_forests,
    "full": network,
}
ASKED = {"table": tuple(TABLES), "split": SPLITS, "arm": tuple(ARMS)}


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
    """Rows, one for a table, a split and an arm: what intervals hold of the test part, their score beside one width.

    Every fit is kept in the store: an interrupted benchmark goes on where it was. `show` gets each row as a line.
    """
    given = {name: settled(TABLES[name].load(name, folder), store.files) for name in tables}
    rows: list[dict[str, Any]] = []
    for name, split, arm, fits in made(given, splits, {arm: ARMS[arm] for arm in arms}, seeds, backbone, store, report):
        found = [{"fit": key} | measured(fit) for key, fit in fits]
        rows.append({"table": name, "split": split, "arm": arm, "seeds": found})
        show(line(rows[-1]))
    return rows


def measured(fit: Fit) -> dict[str, Any]:
    """Of a fit's test part: the share that intervals hold, also of the third furthest from the training part.

    `score`: the mean interval score (Gneiting & Raftery 2007, doi:10.1198/016214506000001437), width and penalty for
    labels outside, over that of one width for all, which are the `plain_` ones.
    """
    calibration = Calibration.of(fit, LEVEL)
    labels, predictions, smiles = (values.copy() for values in fit.matrices("test"))
    errors = np.abs(labels - predictions)[:, 0]
    near = calibration.near(list(map(str, smiles)))
    low, high = calibration.bounds(predictions, near, spread_of(fit, "test"))
    own, others, _ = fit.matrices("valid")
    of_valid = np.abs(own - others)[:, 0]
    plain = Intervals.of(of_valid, np.zeros((len(of_valid), 0)), LEVEL)
    halves = {"": (high - low)[:, 0] / 2, "plain_": plain.half(np.zeros((len(errors), 0)))}
    far = near.similarity <= np.quantile(near.similarity, FAR)
    found: dict[str, Any] = {"n": len(errors)}
    for name, half in halves.items():
        found[f"{name}held"] = float(np.mean(errors <= half))
        found[f"{name}held_far"] = float(np.mean(errors[far] <= half[far]))
        found[f"{name}score"] = float(np.mean(2 * half + 2 / (1 - LEVEL) * np.maximum(errors - half, 0)))
    return found | {"ratio": found["score"] / found["plain_score"]}


def mean(rows: Sequence[dict[str, Any]], name: str) -> float:
    return float(np.mean([one[name] for row in rows for one in row["seeds"]]))


def line(row: dict[str, Any]) -> str:
    held, far, plain = (mean([row], name) for name in ("held", "held_far", "plain_held_far"))
    names = f"{row['table']:<14} {row['split']:<9} {row['arm']:<22}"
    score = mean([row], "ratio")
    return f"{names} hold {held:.1%}, far away {far:.1%} (one width {plain:.1%}); score {score:.3f} of one width"


def verdict(rows: list[dict[str, Any]]) -> str:
    """What all cases say: a case is a table, a split and an arm, and its seeds are not told apart."""
    from scipy.stats import t as student

    cases = np.array([mean([row], "ratio") for row in rows])
    n, half = len(cases), np.nan
    if n > 1:
        half = float(student.ppf(0.975, n - 1) * cases.std(ddof=1) / n**0.5)
    held, far, plain = (mean(rows, name) for name in ("held", "held_far", "plain_held_far"))
    return (
        f"of {n} cases: intervals of {LEVEL:.0%} hold {held:.1%} of the test part, {far:.1%} of its third that "
        f"is furthest away, where one width for all holds {plain:.1%}; their score is {cases.mean():.3f} "
        f"(± {half:.3f}) of that of one width"
    )


def told(rows: list[dict[str, Any]]) -> str:
    return "\n".join([*map(line, rows), "", verdict(rows)])


def answer(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows, "verdict": verdict(rows)}
