"""Ablation: trunks of few or many tables, of few or many molecules → which of the two a small table gains by."""

import dataclasses
import itertools
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.engine.report import Report
from core.engine.spec import BadInput, FailedPart, Spec, settings
from core.experiments.data.subsample import Subsample
from core.experiments.multitask.mixture_table import MixtureTable
from core.experiments.multitask.multitask import Multitask
from core.experiments.training.finetune import FineTune
from core.models.multitask_model import MultitaskModel
from core.results.fit import PARTS, Fit
from core.results.tabular import AblationTable
from core.stats.factorial import estimate_blend_effects, estimate_effects
from core.stats.metrics import metric_name


@settings
class Ablation(Spec[AblationTable]):
    """Is it the variety of tasks that helps, or the number of molecules? Both are varied, each at a fixed other.

    A trunk learns so many molecules in all, of one table or shared out evenly among two or more, with as many tasks of
    each, for as many steps; then it is fine-tuned on the same small table. Every choice of so many tables is made: more
    of them may help because they vary, or because the one that is kin to the small table is then more often among them,
    and each table's own effect tells the two apart. Beside them the same fine-tuning from random weights.
    """

    kind: ClassVar[str] = "ablation"
    page: ClassVar[str] = "multitask"
    revision: ClassVar[int] = 2
    tolerant: ClassVar[bool] = True
    effort: ClassVar[float] = 0.5

    multi: Spec[MultitaskModel] = Field(description="the training of the trunks: its tables, network and rates")
    fit: Spec[Fit] = Field(description="the fine-tuning of each trunk, whose test error is told")
    totals: tuple[int, ...] = Field(default=(1000, 2000, 4000), description="molecules of a trunk, over its tables")
    columns: int = Field(default=3, ge=1, description="tasks of each table, drawn")
    steps: int = Field(default=600, ge=1, description="optimiser steps of every trunk")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), description="repeats: other molecules, tasks and weights")

    def __post_init__(self) -> None:
        if not isinstance(self.multi, Multitask) or len(self.multi.members) < 2:
            raise BadInput("`multi` wants a multitask recipe with at least two members")
        if not all(isinstance(one, MixtureTable) and not one.atoms for one in self.multi.members):
            raise BadInput("`multi` wants members that are tables with labels of molecules")
        if not isinstance(self.fit, FineTune):
            raise BadInput("`fit` wants a recipe of kind 'finetune'")
        for name in ("totals", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise BadInput(f"`{name}` wants different values, got {list(values)}")
        if min(self.totals) < 2 * len(self.multi.members):
            raise BadInput(f"`totals` wants two molecules a table at least, got {list(self.totals)}")

    @property
    def title(self) -> str:
        names = ", ".join(one.called for one in self.multi.members)
        return f"variety against number of {names}, for {self.fit.train.title}, {len(self.seeds)} seeds"

    @property
    def trunks(self) -> dict[tuple[tuple[str, ...], int, int], Multitask]:
        """The recipes by tables, molecules and seed."""
        found = {}
        members = self.multi.members
        for seed, total in itertools.product(self.seeds, self.totals):
            for count in range(1, len(members) + 1):
                for some in itertools.combinations(members, count):
                    few = tuple(self._subsample(one, total // count, seed) for one in some)
                    spec = dataclasses.replace(self.multi, members=few, steps=self.steps, evaluations=5)
                    found[tuple(one.called for one in some), total, seed] = spec.with_seed(seed)
        return found

    def _subsample(self, member: MixtureTable, size: int, seed: int) -> MixtureTable:
        """A table with so many molecules to learn from, and so many tasks."""
        tables = {
            name: Subsample(getattr(member, name), size if name == "train" else 0, self.columns, seed) for name in PARTS
        }
        return dataclasses.replace(member, **tables, name=member.called)

    @property
    def runs(self) -> dict[tuple[tuple[str, ...], int, int], Spec[Fit]]:
        """The fine-tunings by tables, molecules and seed; without any table from random weights."""
        found = {}
        for seed in self.seeds:
            start = dataclasses.replace(self.multi.backbone, seed=seed)
            found[(), 0, seed] = dataclasses.replace(self.fit, backbone=start, seed=seed)
        for (names, total, seed), trunk in self.trunks.items():
            found[names, total, seed] = dataclasses.replace(self.fit, backbone=trunk, seed=seed)
        return found

    def parts(self) -> dict[str, tuple[Spec[Fit], ...]]:
        return {"fits": tuple(self.runs.values())}

    def make(self, report: Report, fits: tuple[Fit | FailedPart, ...]) -> AblationTable:
        rows, failed, sets = [], [], []
        first = next((one for one in fits if isinstance(one, Fit)), None)
        if first is None:
            raise BadInput(f"nothing can be compared: {fits[0].reason}")
        task, kind, unit = first.tasks[0], first.record["kinds"][0], first.record["unit"][0]
        metric = "log_loss" if kind == "binary" else "rmse"
        for (names, total, seed), one in zip(self.runs, fits, strict=True):
            about = {"tables": ", ".join(names), "families": len(names), "molecules": total, "seed": seed}
            if isinstance(one, FailedPart):
                failed.append(about | {"reason": one.reason})
            else:
                rows.append(about | {"error": one.metrics["test"][task][metric]})
                sets.append(frozenset(names))
        table = pd.DataFrame(rows)
        cells = average_by(table, ["families", "molecules"])
        trained = table["families"].to_numpy() > 0
        sets = [one for one in sets if one]
        error, seed = table["error"].to_numpy()[trained], table["seed"].to_numpy()[trained]
        molecules = table["molecules"].to_numpy()[trained]
        size = {"molecules": np.log2(molecules.astype(float))}
        found = estimate_effects(error, size | {"families": np.array([float(len(one)) for one in sets])}, seed)
        members = [one.called for one in self.multi.members]
        present = {name: np.array([float(name in one) for one in sets]) for name in members}
        own = estimate_effects(error, size | present, seed)
        blends = estimate_blend_effects(error, sets, list(zip(molecules.tolist(), seed.tolist(), strict=True)))
        record = {
            "task": task,
            "unit": unit,
            "metric": metric,
            "cells": cells,
            "scratch": next((one for one in cells if one["families"] == 0), None),
            "sets": average_by(table[trained], ["tables", "families"]),
            "effects": found,
            "presence": {name: own[name] for name in members},
            "blended": blends,
            "columns": self.columns,
            "steps": self.steps,
            "seeds": list(self.seeds),
            "failed": failed,
            "fits": {
                ", ".join((*names, f"{total:,}", str(seed))): one.key for (names, total, seed), one in self.runs.items()
            },
            "trunks": {
                ", ".join((*names, f"{total:,}", str(seed))): one.key
                for (names, total, seed), one in self.trunks.items()
            },
            "digests": {"test": first.record["digests"]["test"]},
            "verdict": summarize_ablation(found, {name: own[name] for name in members}, blends, metric, unit),
        }
        return AblationTable(table, record)


def average_by(table: pd.DataFrame, by: list[str]) -> list[dict[str, Any]]:
    """Mean and standard deviation of the error over the trainings that have the same of `by`."""
    return [
        dict(zip(by, (one.item() if isinstance(one, np.generic) else one for one in about), strict=True))
        | {"mean": float(mine.mean()), "sd": float(mine.std(ddof=1)) if len(mine) > 1 else None, "trainings": len(mine)}
        for about, mine in table.groupby(by, sort=False)["error"]
    ]


def summarize_ablation(
    found: dict[str, dict[str, float]],
    presence: dict[str, dict[str, float]],
    blends: dict[str, dict[str, float]],
    metric: str,
    unit: str,
) -> str:
    """What the effects say: of number, of variety, of each table, and of blends beside their tables alone."""

    def size(one: dict[str, float], words: str = "") -> str:
        return f"{words}{one['mean']:+.3g}{f' {unit}' if unit else ''}, {one['low']:+.3g} to {one['high']:+.3g}"

    def told(one: dict[str, float], good: str, bad: str, none: str) -> str:
        return good if one["high"] < 0 else bad if one["low"] > 0 else none

    words = {
        "molecules": "twice as many molecules of as many tables",
        "families": "one table more for as many molecules",
    }
    apart = ("helps", "harms", "makes no difference beyond the noise")
    varied = {name: one for name, one in found.items() if np.isfinite(one["low"])}
    said = [
        f"{words[name]} {told(one, *apart)} ({size(one, metric_name(metric) + ' ')})" for name, one in varied.items()
    ]
    known = {name: one for name, one in presence.items() if np.isfinite(one["low"])}
    telling = [name for name, one in known.items() if one["high"] < 0 or one["low"] > 0]
    level = [name for name in known if name not in telling]
    each = [f"{name} {told(known[name], *apart)} ({size(known[name])})" for name in telling]
    if level:
        each.append(f"{' and '.join(level)} make{'s' * (len(level) == 1)} no difference beyond the noise")
    beside = ("better than", "worse than", "level with")
    blend = [
        f"{told(one, *beside)} {words} ({size(one)})"
        for one, words in ((blends["all"], "the mean of them"), (blends["best"], "the best of them"))
        if np.isfinite(one["low"])
    ]
    sentences = ["; ".join(said) or "nothing was varied often enough to be told from the noise"]
    if each:
        sentences.append(f"which table it is: {'; '.join(each)}")
    if blend:
        sentences.append(f"beside its tables alone, each with as many molecules, a blend is {' and '.join(blend)}")
    return " ".join(f"{one[0].upper()}{one[1:]}." for one in sentences)
