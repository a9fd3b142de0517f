"""Ablation: trunks of few or many tables, of few or many molecules → which of the two a small table gains by."""

import dataclasses
import itertools
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.experiments.few import Few
from core.experiments.finetune import FineTune
from core.experiments.member import Member
from core.experiments.multitask import Multitask
from core.factors import effects
from core.fits import PARTS, Fit
from core.report import Report
from core.spec import BadInput, Failed, Spec, settings
from core.tabled import Ablated
from core.trunk import Trunk


@settings
class Ablation(Spec[Ablated]):
    """Is it the variety of tasks that helps, or the number of molecules? Both are varied, each at a fixed other.

    A trunk learns so many molecules in all, of one table or shared out evenly among two or more, with as many tasks of
    each, for as many steps; then it is fine-tuned on the same small table. Every choice of so many tables is made, so
    that no single one decides. Beside them the same fine-tuning from random weights.
    """

    kind: ClassVar[str] = "ablation"
    tolerant: ClassVar[bool] = True
    effort: ClassVar[float] = 0.5

    multi: Spec[Trunk] = Field(description="the training of the trunks: its tables, network and rates")
    fit: Spec[Fit] = Field(description="the fine-tuning of each trunk, whose test error is told")
    totals: tuple[int, ...] = Field(default=(1000, 2000, 4000), description="molecules of a trunk, over its tables")
    columns: int = Field(default=3, ge=1, description="tasks of each table, drawn")
    steps: int = Field(default=600, ge=1, description="optimiser steps of every trunk")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), description="repeats: other molecules, tasks and weights")

    def __post_init__(self) -> None:
        if not isinstance(self.multi, Multitask) or len(self.multi.members) < 2:
            raise BadInput("`multi` wants a multitask recipe with at least two members")
        if not all(isinstance(one, Member) and not one.atoms for one in self.multi.members):
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
                    few = tuple(self._fewer(one, total // count, seed) for one in some)
                    spec = dataclasses.replace(self.multi, members=few, steps=self.steps, evaluations=5)
                    found[tuple(one.called for one in some), total, seed] = spec.again(seed)
        return found

    def _fewer(self, member: Member, size: int, seed: int) -> Member:
        """A table with so many molecules to learn from, and so many tasks."""
        tables = {
            name: Few(getattr(member, name), size if name == "train" else 0, self.columns, seed) for name in PARTS
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

    def make(self, report: Report, fits: tuple[Fit | Failed, ...]) -> Ablated:
        rows, failed = [], []
        first = next((one for one in fits if isinstance(one, Fit)), None)
        if first is None:
            raise BadInput(f"nothing can be compared: {fits[0].reason}")
        task, kind, unit = first.tasks[0], first.record["kinds"][0], first.record["unit"][0]
        metric = "log_loss" if kind == "binary" else "rmse"
        for (names, total, seed), one in zip(self.runs, fits, strict=True):
            about = {"tables": ", ".join(names), "families": len(names), "molecules": total, "seed": seed}
            if isinstance(one, Failed):
                failed.append(about | {"reason": one.reason})
            else:
                rows.append(about | {"error": one.metrics["test"][task][metric]})
        table = pd.DataFrame(rows)
        cells = [
            {"families": int(count), "molecules": int(total), "mean": float(mine.mean()),
             "sd": float(mine.std(ddof=1)) if len(mine) > 1 else None, "trainings": len(mine)}
            for (count, total), mine in table.groupby(["families", "molecules"])["error"]
        ]  # fmt: skip
        trained = table[table["families"] > 0]
        factors = {"molecules": np.log2(trained["molecules"].to_numpy(float))}
        factors["families"] = trained["families"].to_numpy(float)
        found = effects(trained["error"].to_numpy(), factors, trained["seed"].to_numpy())
        record = {
            "task": task,
            "unit": unit,
            "metric": metric,
            "cells": cells,
            "scratch": next((one for one in cells if one["families"] == 0), None),
            "effects": found,
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
            "verdict": verdict(found, metric, unit),
        }
        return Ablated(table, record)


def verdict(found: dict[str, dict[str, float]], metric: str, unit: str) -> str:
    """What the two effects say, in a sentence."""
    words = {
        "molecules": "twice as many molecules of as many tables",
        "families": "one table more for as many molecules",
    }
    said = []
    for name, does in words.items():
        one = found[name]
        told = "helps" if one["high"] < 0 else "harms" if one["low"] > 0 else "makes no difference beyond the noise"
        size = f"{metric.upper()} {one['mean']:+.3g} ({one['low']:+.3g} to {one['high']:+.3g})"
        said.append(f"{does} {told}: {size}{f' {unit}' if unit else ''}")
    return f"{said[0][0].upper()}{said[0][1:]}; {said[1]}."
