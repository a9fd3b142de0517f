"""Labels swapped on purpose: which scores detect them, and what selecting molecules in spite of them is worth."""

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

NOISE_RATES = (0.1, 0.2)  # shares of the pool whose labels are swapped
SELECTED = 100  # molecules that an arm selects

Selection = Callable[[NoisyPoolCase, Influence, int], Spec[Dataset] | None]


def _select_with(sampler: Callable[[int], Any], scored: bool = True) -> Selection:
    return lambda case, scores, seed: Select(case.pool, sampler(seed), scores if scored else None)


ARMS: dict[str, Selection] = {
    "none": lambda case, scores, seed: None,
    "all": lambda case, scores, seed: case.pool,
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
    """A row for each table and noise rate. Each seed has another split, other swapped labels and another fit.

    `found`: AUROC of the swapped labels, in the pool by its scores (`pool: …`: first order, full update, residual) and
    after training on the whole pool by leverage (`learned: …`): mean over the seeds, and each seed with its bootstrap
    interval. `arms`: test RMSE after retraining with the selection of each arm: mean, standard deviation, and the
    paired difference from `random` with Student's 95 % interval over the seeds. Everything is stored.
    """
    loads = {name: import_files(TABLES[name].load(name, folder), store.files) for name in tables}
    rows, done, total = [], 0, len(tables) * len(NOISE_RATES) * len(seeds)
    for name in tables:
        for noise_rate in NOISE_RATES:
            detections, errors = [], []
            for seed in seeds:
                case = make_case(loads[name], SMALL_SIZES[name], noise_rate, seed, backbone=backbone)
                within = report.part(done / total, (done + 1) / total)
                detections.append(_detection(case, store, within.part(0, 0.5)))
                errors.append(_errors(case, arms, seed, store, within.part(0.5, 1)))
                done += 1
            rows.append(_row(name, noise_rate, detections, errors))
            show(format_row(rows[-1]))
    return rows


def _detection(case: NoisyPoolCase, store: Store, report: Report) -> dict[str, dict[str, float]]:
    scores = make(import_files(_scores(case), store.files), store, report.part(0, 0.5))
    label_errors = import_files(LabelErrors.of(_refit(case, case.pool)), store.files)
    error_table = make(label_errors, store, report.part(0.5, 1))
    pool = {f"pool: {name}": value for name, value in scores.record["detection"].items()}
    return pool | {f"learned: {name}": value for name, value in error_table.record["detection"].items()}


def _errors(case: NoisyPoolCase, arms: Sequence[str], seed: int, store: Store, report: Report) -> dict[str, float]:
    errors = {}
    for index, arm in enumerate(arms):
        refit = import_files(_refit(case, ARMS[arm](case, _scores(case), seed)), store.files)
        fit = make(refit, store, report.part(index / len(arms), (index + 1) / len(arms)))
        errors[arm] = next(iter(fit.metrics["test"].values()))["rmse"]
    return errors


def _scores(case: NoisyPoolCase) -> Influence:
    return Influence(case.fit, case.pool, case.fit.valid)


def _refit(case: NoisyPoolCase, selection: Spec[Dataset] | None) -> Any:
    return case.fit if selection is None else dataclasses.replace(case.fit, train=Concat((case.fit.train, selection)))


def _row(
    name: str, noise_rate: float, detections: list[dict[str, dict[str, float]]], errors: list[dict[str, float]]
) -> dict[str, Any]:
    auroc = {score: [by_seed[score] for by_seed in detections] for score in detections[0]}
    values = {arm: np.array([by_seed[arm] for by_seed in errors]) for arm in errors[0]}
    arms = {}
    for arm, rmses in values.items():
        arms[arm] = {"rmse": float(rmses.mean()), "sd": _sd(rmses), "rmse_of_seeds": rmses.tolist()}
        if "random" in values and arm != "random":
            arms[arm]["against_random"] = paired_interval(rmses, values["random"])
    return {
        "table": name,
        "wrong": noise_rate,
        "found": {
            score: {"mean": float(np.mean([by_seed["auroc"] for by_seed in each])), "of_seeds": each}
            for score, each in auroc.items()
        },
        "arms": arms,
    }


def paired_interval(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float | None]:
    """Mean over the seeds of `ours` − `theirs` with Student's 95 % interval, and in per cent of `theirs`."""
    gaps, half = ours - theirs, student_half_width(ours - theirs)
    interval: dict[str, float | None] = {"mean": float(gaps.mean()), "low": None, "high": None}
    interval["per_cent"] = float(100 * gaps.mean() / theirs.mean())
    if half is not None:
        interval |= {"low": interval["mean"] - half, "high": interval["mean"] + half}
    return interval


def summarise_rows(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each arm, over all rows: how much its test RMSE differs from that of `random`, in per cent, with interval.

    The interval is Student's 95 %. The noise rates of one table and seed share their split and count as one case.
    `below`: cases in which the arm has the lower RMSE.
    """
    splits: dict[str, dict[tuple[str, int], list[float]]] = {}
    for row in rows:
        random = row["arms"].get("random", {"rmse_of_seeds": ()})["rmse_of_seeds"]
        for arm, one in row["arms"].items() if random else ():
            for seed, (rmse, reference) in enumerate(zip(one["rmse_of_seeds"], random, strict=True)):
                splits.setdefault(arm, {}).setdefault((row["table"], seed), []).append(100 * (rmse / reference - 1))
    summary = {}
    for arm, by_split in splits.items():
        if arm != "random":
            means, each = np.array([np.mean(values) for values in by_split.values()]), [*by_split.values()]
            one = {"mean": float(means.mean()), "low": None, "high": None, "splits": len(means)}
            if (half := student_half_width(means)) is not None:
                one |= {"low": one["mean"] - half, "high": one["mean"] + half}
            below = sum(value < 0 for values in each for value in values)
            summary[arm] = one | {"below": below, "cases": sum(map(len, each))}
    return summary


def _sd(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def format_row(row: dict[str, Any]) -> str:
    lines = [f"{row['table']}, {row['wrong']:.0%} of the pool mislabelled"]
    lines += [f"  AUROC {score:<24} {one['mean']:.3f}  {_each(one['of_seeds'])}" for score, one in row["found"].items()]
    for arm, one in row["arms"].items():
        noise = "" if one["sd"] is None else f" ± {one['sd']:.3f}"
        gap = one.get("against_random")
        comparison = "" if gap is None else f"  {gap['per_cent']:+.1f} % of random, {gap['mean']:+.3f}{_interval(gap)}"
        lines.append(f"  RMSE  {arm:<24} {one['rmse']:.3f}{noise}{comparison}")
    return "\n".join(lines)


def _each(seeds: list[dict[str, float]]) -> str:
    return ", ".join(f"{seed['auroc']:.2f} ({seed['low']:.2f} to {seed['high']:.2f})" for seed in seeds)


def _interval(gap: dict[str, Any], digits: int = 3) -> str:
    return "" if gap["low"] is None else f" ({gap['low']:+.{digits}f} to {gap['high']:+.{digits}f})"


def as_text(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"  {arm:<24} {one['mean']:+.1f} %{_interval(one, 1)}  below in {one['below']} of {one['cases']}"
        for arm, one in summarise_rows(rows).items()
    ]
    return "\n\n".join(
        [*map(format_row, rows), *(["\n".join(["all rows, RMSE against random", *lines])] if lines else [])]
    )


def as_json(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"rows": rows, "together": summarise_rows(rows)}
