"""Ablation: is it more tables or more molecules in the shared backbone that help a small table?"""

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
    """More tables or more molecules: which helps a small table? Each is varied while the other is fixed.

    Each shared backbone is trained on the same total number of molecules, from one table or split evenly over several,
    with the same number of tasks per table and the same number of steps. It is then fine-tuned on the small table. All
    combinations of tables are trained: more tables may help by their variety, or because a related table is more often
    among them; the effect of each table separates the two. The reference is a fine-tuning from random weights.
    """

    kind: ClassVar[str] = "ablation"
    page: ClassVar[str] = "multitask"
    revision: ClassVar[int] = 2
    tolerant: ClassVar[bool] = True
    effort: ClassVar[float] = 0.5

    multi: Spec[MultitaskModel] = Field(
        description="multitask training of the shared backbones: tables, network and learning rates"
    )
    fit: Spec[Fit] = Field(description="fine-tuning of each shared backbone, whose test error is compared")
    totals: tuple[int, ...] = Field(
        default=(1000, 2000, 4000), description="training molecules of a shared backbone, over all its tables"
    )
    columns: int = Field(default=3, ge=1, description="tasks of each table, chosen at random")
    steps: int = Field(default=600, ge=1, description="optimiser steps of every shared backbone")
    seeds: tuple[int, ...] = Field(
        default=(0, 1, 2), description="random seeds, one repeat each, with other molecules, tasks and weights"
    )

    def __post_init__(self) -> None:
        if not isinstance(self.multi, Multitask) or len(self.multi.members) < 2:
            raise BadInput("`multi` wants a multitask spec with at least two members")
        if not all(isinstance(member, MixtureTable) and not member.atoms for member in self.multi.members):
            raise BadInput("`multi` wants members that are mixture tables with labels of molecules, not of atoms")
        if not isinstance(self.fit, FineTune):
            raise BadInput("`fit` wants a spec of kind 'finetune'")
        for name in ("totals", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise BadInput(f"`{name}` wants different values, got {list(values)}")
        if min(self.totals) < 2 * len(self.multi.members):
            raise BadInput(f"`totals` wants at least two molecules per table, got {list(self.totals)}")

    @property
    def title(self) -> str:
        names = ", ".join(member.called for member in self.multi.members)
        return f"more tables or more molecules of {names}, for {self.fit.train.title}, {len(self.seeds)} seeds"

    @property
    def shared_backbones(self) -> dict[tuple[tuple[str, ...], int, int], Multitask]:
        """The multitask trainings by tables, molecules and seed."""
        specs = {}
        members = self.multi.members
        for seed, total in itertools.product(self.seeds, self.totals):
            for count in range(1, len(members) + 1):
                for tables in itertools.combinations(members, count):
                    subsamples = tuple(self._subsample(member, total // count, seed) for member in tables)
                    spec = dataclasses.replace(self.multi, members=subsamples, steps=self.steps, evaluations=5)
                    specs[tuple(member.called for member in tables), total, seed] = spec.with_seed(seed)
        return specs

    def _subsample(self, member: MixtureTable, size: int, seed: int) -> MixtureTable:
        """The table with `size` training molecules and `columns` tasks."""
        tables = {
            name: Subsample(getattr(member, name), size if name == "train" else 0, self.columns, seed) for name in PARTS
        }
        return dataclasses.replace(member, **tables, name=member.called)

    @property
    def runs(self) -> dict[tuple[tuple[str, ...], int, int], Spec[Fit]]:
        """The fine-tunings by tables, molecules and seed; no tables: from random weights."""
        specs = {}
        for seed in self.seeds:
            start = dataclasses.replace(self.multi.backbone, seed=seed)
            specs[(), 0, seed] = dataclasses.replace(self.fit, backbone=start, seed=seed)
        for (names, total, seed), multitask in self.shared_backbones.items():
            specs[names, total, seed] = dataclasses.replace(self.fit, backbone=multitask, seed=seed)
        return specs

    def parts(self) -> dict[str, tuple[Spec[Fit], ...]]:
        return {"fits": tuple(self.runs.values())}

    def make(self, report: Report, fits: tuple[Fit | FailedPart, ...]) -> AblationTable:
        rows, failed, sets = [], [], []
        first = next((fit for fit in fits if isinstance(fit, Fit)), None)
        if first is None:
            raise BadInput(f"nothing can be compared: {fits[0].reason}")
        task, kind, unit = first.tasks[0], first.record["kinds"][0], first.record["unit"][0]
        metric = "log_loss" if kind == "binary" else "rmse"
        for (names, total, seed), fit in zip(self.runs, fits, strict=True):
            run_settings = {"tables": ", ".join(names), "families": len(names), "molecules": total, "seed": seed}
            if isinstance(fit, FailedPart):
                failed.append(run_settings | {"reason": fit.reason})
            else:
                rows.append(run_settings | {"error": fit.metrics["test"][task][metric]})
                sets.append(frozenset(names))
        table = pd.DataFrame(rows)
        cells = average_by(table, ["families", "molecules"])
        trained = table["families"].to_numpy() > 0
        sets = [names for names in sets if names]
        error, seed = table["error"].to_numpy()[trained], table["seed"].to_numpy()[trained]
        molecules = table["molecules"].to_numpy()[trained]
        size = {"molecules": np.log2(molecules.astype(float))}
        effects = estimate_effects(error, size | {"families": np.array([float(len(names)) for names in sets])}, seed)
        members = [member.called for member in self.multi.members]
        present = {name: np.array([float(name in names) for names in sets]) for name in members}
        presence_effects = estimate_effects(error, size | present, seed)
        blends = estimate_blend_effects(error, sets, list(zip(molecules.tolist(), seed.tolist(), strict=True)))
        record = {
            "task": task,
            "unit": unit,
            "metric": metric,
            "cells": cells,
            "scratch": next((cell for cell in cells if cell["families"] == 0), None),
            "sets": average_by(table[trained], ["tables", "families"]),
            "effects": effects,
            "presence": {name: presence_effects[name] for name in members},
            "blended": blends,
            "columns": self.columns,
            "steps": self.steps,
            "seeds": list(self.seeds),
            "failed": failed,
            "fits": {
                ", ".join((*names, f"{total:,}", str(seed))): spec.key
                for (names, total, seed), spec in self.runs.items()
            },
            "trunks": {
                ", ".join((*names, f"{total:,}", str(seed))): spec.key
                for (names, total, seed), spec in self.shared_backbones.items()
            },
            "digests": {"test": first.record["digests"]["test"]},
            "verdict": summarize_ablation(
                effects, {name: presence_effects[name] for name in members}, blends, metric, unit
            ),
        }
        return AblationTable(table, record)


def average_by(table: pd.DataFrame, by: list[str]) -> list[dict[str, Any]]:
    """Mean and standard deviation of the error over the trainings with the same values of the columns `by`."""
    return [
        dict(zip(by, (value.item() if isinstance(value, np.generic) else value for value in group), strict=True))
        | {
            "mean": float(errors.mean()),
            "sd": float(errors.std(ddof=1)) if len(errors) > 1 else None,
            "trainings": len(errors),
        }
        for group, errors in table.groupby(by, sort=False)["error"]
    ]


def summarize_ablation(
    effects: dict[str, dict[str, float]],
    presence: dict[str, dict[str, float]],
    blends: dict[str, dict[str, float]],
    metric: str,
    unit: str,
) -> str:
    """Sentences on the effects of more molecules, more tables, each table, and blends against single tables."""

    def size(effect: dict[str, float], prefix: str = "") -> str:
        mean, low, high = effect["mean"], effect["low"], effect["high"]
        return f"{prefix}{mean:+.3g}{f' {unit}' if unit else ''}, {low:+.3g} to {high:+.3g}"

    def choose(effect: dict[str, float], better: str, worse: str, unclear: str) -> str:
        return better if effect["high"] < 0 else worse if effect["low"] > 0 else unclear

    names = {
        "molecules": "twice as many molecules of as many tables",
        "families": "one table more for as many molecules",
    }
    verbs = ("helps", "harms", "makes no difference beyond the noise")
    clauses = [
        f"{names[name]} {choose(effect, *verbs)} ({size(effect, metric_name(metric) + ' ')})"
        for name, effect in effects.items()
        if np.isfinite(effect["low"])
    ]
    estimates = {name: effect for name, effect in presence.items() if np.isfinite(effect["low"])}
    clear = [name for name, effect in estimates.items() if effect["high"] < 0 or effect["low"] > 0]
    unclear = [name for name in estimates if name not in clear]
    tables = [f"{name} {choose(estimates[name], *verbs)} ({size(estimates[name])})" for name in clear]
    if unclear:
        tables.append(f"{' and '.join(unclear)} make{'s' * (len(unclear) == 1)} no difference beyond the noise")
    comparisons = ("better than", "worse than", "not distinguishable from")
    blend = [
        f"{choose(effect, *comparisons)} {reference} ({size(effect)})"
        for effect, reference in ((blends["all"], "the mean of them"), (blends["best"], "the best of them"))
        if np.isfinite(effect["low"])
    ]
    sentences = ["; ".join(clauses) or "too few settings were varied to estimate an effect"]
    if tables:
        sentences.append(f"by table: {'; '.join(tables)}")
    if blend:
        sentences.append(
            f"compared with its single tables, each with as many molecules, a blend is {' and '.join(blend)}"
        )
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)
