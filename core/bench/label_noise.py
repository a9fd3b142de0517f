"""Wrong labels, planted: who finds them, and what choosing molecules in spite of them is worth."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.bench.public_tables import MINI, SMALL_SIZES, TABLES, NoisyPoolCase, make_case
from core.data.dataset import Dataset
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import Spec
from core.engine.store import Store
from core.experiments import Concat, Influence, LabelErrors, Select, import_files
from core.models.backbones import Pretrained
from core.selection import Greedy, Top, Uniform
from core.stats.differences import student_half_width

NOISE_RATES = (0.1, 0.2)  # shares of the pool whose labels are another molecule's
SELECTED = 100  # molecules that an arm keeps

Selection = Callable[[NoisyPoolCase, Influence, int], Spec[Dataset] | None]


def _select_with(sampler: Callable[[int], Any], scored: bool = True) -> Selection:
    return lambda found, scores, seed: Select(found.pool, sampler(seed), scores if scored else None)


ARMS: dict[str, Selection] = {
    "none": lambda found, scores, seed: None,
    "all": lambda found, scores, seed: found.pool,
    "random": _select_with(lambda seed: Uniform(count=SELECTED, seed=seed), scored=False),
    "top": _select_with(lambda seed: Top(count=SELECTED)),
    "bottom": _select_with(lambda seed: Top(count=SELECTED, worst=True)),
    "greedy": _select_with(lambda seed: Greedy(count=SELECTED)),
    "greedy, all weights": _select_with(lambda seed: Greedy(count=SELECTED, features="all weights")),
}
CHOICES = {"table": tuple(SMALL_SIZES), "arm": tuple(ARMS)}


def run(
    store: Store,
    report: Report,
    folder: Path | None = None,
    tables: Sequence[str] = tuple(SMALL_SIZES),
    arms: Sequence[str] = tuple(ARMS),
    seeds: Sequence[int] = (0, 1, 2),
    backbone: Pretrained = MINI,
    show: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """A row for each table and share of wrong labels, each seed with a split, wrong labels and a fit of its own.

    `found`: AUROC over the molecules of the pool, by its scores (`pool`: to first order, whole steps, plain residual),
    and, learned from with all others, by leverage (`learned`); mean over the seeds, and each seed's with its bootstrap
    interval. `arms`: test RMSE after training again with what each rule keeps, mean and sd, and the paired difference
    from `random` with Student's interval over the seeds. Everything is kept in the store.
    """
    given = {name: import_files(TABLES[name].load(name, folder), store.files) for name in tables}
    rows, done, total = [], 0, len(tables) * len(NOISE_RATES) * len(seeds)
    for name in tables:
        for wrong in NOISE_RATES:
            found, errors = [], []
            for seed in seeds:
                one = make_case(given[name], SMALL_SIZES[name], wrong, seed, backbone=backbone)
                within = report.part(done / total, (done + 1) / total)
                found.append(_detection(one, store, within.part(0, 0.5)))
                errors.append(_errors(one, arms, seed, store, within.part(0.5, 1)))
                done += 1
            rows.append(_row(name, wrong, found, errors))
            show(format_row(rows[-1]))
    return rows


def _detection(one: NoisyPoolCase, store: Store, report: Report) -> dict[str, dict[str, float]]:
    scores = make(import_files(_scores(one), store.files), store, report.part(0, 0.5))
    joined = import_files(LabelErrors.of(_refit(one, one.pool)), store.files)
    suspects = make(joined, store, report.part(0.5, 1))
    pool = {f"pool: {name}": value for name, value in scores.record["detection"].items()}
    return pool | {f"learned: {name}": value for name, value in suspects.record["detection"].items()}


def _errors(one: NoisyPoolCase, arms: Sequence[str], seed: int, store: Store, report: Report) -> dict[str, float]:
    found = {}
    for place, arm in enumerate(arms):
        refit = import_files(_refit(one, ARMS[arm](one, _scores(one), seed)), store.files)
        fit = make(refit, store, report.part(place / len(arms), (place + 1) / len(arms)))
        found[arm] = next(iter(fit.metrics["test"].values()))["rmse"]
    return found


def _scores(one: NoisyPoolCase) -> Influence:
    return Influence(one.fit, one.pool, one.fit.valid)


def _refit(one: NoisyPoolCase, kept: Spec[Dataset] | None) -> Any:
    return one.fit if kept is None else dataclasses.replace(one.fit, train=Concat((one.fit.train, kept)))


def _row(
    name: str, wrong: float, found: list[dict[str, dict[str, float]]], errors: list[dict[str, float]]
) -> dict[str, Any]:
    auroc = {way: [one[way] for one in found] for way in found[0]}
    values = {arm: np.array([one[arm] for one in errors]) for arm in errors[0]}
    arms = {}
    for arm, mine in values.items():
        arms[arm] = {"rmse": float(mine.mean()), "sd": _sd(mine), "rmse_of_seeds": mine.tolist()}
        if "random" in values and arm != "random":
            arms[arm]["against_random"] = paired_interval(mine, values["random"])
    return {
        "table": name,
        "wrong": wrong,
        "found": {
            way: {"mean": float(np.mean([one["auroc"] for one in each])), "of_seeds": each}
            for way, each in auroc.items()
        },
        "arms": arms,
    }


def paired_interval(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float | None]:
    """Mean of the differences over the seeds, `ours` − `theirs`, with Student's 95 % interval; and in per cent."""
    gaps, half = ours - theirs, student_half_width(ours - theirs)
    found: dict[str, float | None] = {"mean": float(gaps.mean()), "low": None, "high": None}
    found["per_cent"] = float(100 * gaps.mean() / theirs.mean())
    if half is not None:
        found |= {"low": found["mean"] - half, "high": found["mean"] + half}
    return found


def summarise_rows(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each arm the test RMSE in per cent of that of `random`, over all rows: mean, Student's interval, cases below.

    The shares of wrong labels of one table and seed have their split in common, so that they count as one.
    """
    splits: dict[str, dict[tuple[str, int], list[float]]] = {}
    for row in rows:
        random = row["arms"].get("random", {"rmse_of_seeds": ()})["rmse_of_seeds"]
        for arm, one in row["arms"].items() if random else ():
            for seed, (mine, other) in enumerate(zip(one["rmse_of_seeds"], random, strict=True)):
                splits.setdefault(arm, {}).setdefault((row["table"], seed), []).append(100 * (mine / other - 1))
    found = {}
    for arm, mine in splits.items():
        if arm != "random":
            means, each = np.array([np.mean(values) for values in mine.values()]), [*mine.values()]
            one = {"mean": float(means.mean()), "low": None, "high": None, "splits": len(means)}
            if (half := student_half_width(means)) is not None:
                one |= {"low": one["mean"] - half, "high": one["mean"] + half}
            below = sum(value < 0 for values in each for value in values)
            found[arm] = one | {"below": below, "cases": sum(map(len, each))}
    return found


def _sd(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def format_row(row: dict[str, Any]) -> str:
    said = [f"{row['table']}, {row['wrong']:.0%} of the pool wrong"]
    said += [f"  AUROC {way:<24} {one['mean']:.3f}  {_each(one['of_seeds'])}" for way, one in row["found"].items()]
    for arm, one in row["arms"].items():
        noise = "" if one["sd"] is None else f" ± {one['sd']:.3f}"
        gap = one.get("against_random")
        beside = "" if gap is None else f"  {gap['per_cent']:+.1f} % of random, {gap['mean']:+.3f}{_interval(gap)}"
        said.append(f"  RMSE  {arm:<24} {one['rmse']:.3f}{noise}{beside}")
    return "\n".join(said)


def _each(seeds: list[dict[str, float]]) -> str:
    return ", ".join(f"{one['auroc']:.2f} ({one['low']:.2f} to {one['high']:.2f})" for one in seeds)


def _interval(gap: dict[str, Any], places: int = 3) -> str:
    return "" if gap["low"] is None else f" ({gap['low']:+.{places}f} to {gap['high']:+.{places}f})"


def as_text(rows: list[dict[str, Any]]) -> str:
    said = [
        f"  {arm:<24} {one['mean']:+.1f} %{_interval(one, 1)}  below in {one['below']} of {one['cases']}"
        for arm, one in summarise_rows(rows).items()
    ]
    return "\n\n".join(
        [*map(format_row, rows), *(["\n".join(["all of these, RMSE beside random", *said])] if said else [])]
    )


def as_json(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows, "together": summarise_rows(rows)}
