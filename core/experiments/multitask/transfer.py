"""Transfer: starts by sizes of a small table by seeds → how much sooner a trunk learns it than a random network."""

import dataclasses
import math
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.engine.report import Report
from core.engine.spec import BadInput, FailedPart, Spec, iterate_fields, settings
from core.experiments.data.split import Split
from core.experiments.data.subsample import Subsample
from core.experiments.multitask.multitask import Multitask
from core.experiments.training.baseline import Baseline
from core.experiments.training.finetune import BACKBONES_OR_CHECKPOINTS, FineTune
from core.models.backbones import Gnn
from core.models.baselines import BASELINES, SupportVectors
from core.models.methods import METHODS, Full
from core.results.comparison import summarize_seeds
from core.results.fit import PARTS, Fit
from core.results.tabular import TransferCurve
from core.stats.differences import paired_difference
from core.stats.metrics import find_metric, headline_metric

TRAIN_PER_VALID = 8  # training molecules to one that chooses the epoch; both have been measured
MIN_VALID = 10  # of those that choose


@settings
class Transfer(Spec[TransferCurve]):
    """Does what a trunk has learned help a table of which little is measured, and how little?

    Each start is fine-tuned by each method on ever more molecules of the training part; an eighth as many of the
    validation part choose the epoch, since they too had to be measured. All arms of a size and seed see the same
    molecules and report on the whole test part. Beside them models without a network, of the same molecules. The first
    start is the reference; trunks stand against those named before them too, by the same method.
    """

    kind: ClassVar[str] = "transfer"
    page: ClassVar[str] = "multitask"
    revision: ClassVar[int] = 2
    tolerant: ClassVar[bool] = True
    effort: ClassVar[float] = 0.5

    fit: Spec[Fit] = Field(description="the fine-tuning that is repeated: its parts, length and rates")
    starts: tuple[Annotated[Any, BACKBONES_OR_CHECKPOINTS], ...] = Field(
        default=(Gnn(),), description="models to begin from, the reference first"
    )
    names: tuple[str, ...] = Field(default=(), description="what the starts are called; empty: as themselves")
    methods: tuple[Annotated[Any, METHODS], ...] = Field(default=(Full(),), description="which weights move")
    baselines: tuple[Annotated[Any, BASELINES], ...] = Field(
        default=(SupportVectors(),), description="models without a network, beside them"
    )
    sizes: tuple[int, ...] = Field(default=(50, 100, 200, 420, 1000), description="molecules to learn from")
    whole: bool = Field(default=True, description="learn from the whole training part too")
    least: int = Field(
        default=500, ge=1, description="optimiser steps of every size at least, where `fit` has epochs: more passes"
    )
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), description="repeats: other molecules, heads and batches")
    retrain_backbones: bool = Field(default=False, description="train each trunk anew for every seed, at its price")

    def __post_init__(self) -> None:
        if not isinstance(self.fit, FineTune):
            raise BadInput("`fit` wants a recipe of kind 'finetune'")
        for name in ("starts", "methods", "sizes", "seeds"):
            values = [one.key if isinstance(one, Spec) else one for one in getattr(self, name)]
            if not values or len({str(one) for one in values}) < len(values):
                raise BadInput(f"`{name}` wants different values, at least one")
        if min(self.sizes) < 2:
            raise BadInput(f"`sizes` wants numbers of molecules, 2 or more, got {list(self.sizes)}")
        if len(set(self.called)) < len(self.starts):
            raise BadInput(f"the starts want different `names`, one each; they are called {', '.join(self.called)}")

    @property
    def title(self) -> str:
        by = self.fit.train.by if isinstance(self.fit.train, Split) else "random"
        split = "" if by == "random" else f" by {by}"
        features = self.fit.features.replace("both", "descriptors and fingerprints")
        beside = "" if features == "none" else f", {features} beside"
        return f"transfer of {', '.join(self.called)} to {self.fit.train.title}{split}{beside}, {len(self.seeds)} seeds"

    @property
    def called(self) -> tuple[str, ...]:
        """The starts' names."""
        return self.names if len(self.names) == len(self.starts) else tuple(one.called for one in self.starts)

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arm for arm, _, _ in self.runs))

    @property
    def runs(self) -> dict[tuple[str, int, int], Spec[Fit]]:
        """The trainings by arm, size (0: the whole part) and seed."""
        found: dict[tuple[str, int, int], Spec[Fit]] = {}
        for size in (*sorted(self.sizes), *((0,) if self.whole else ())):
            for seed in self.seeds:
                tables = {name: getattr(self.fit, name) for name in PARTS}
                if size:
                    tables["train"] = Subsample(self.fit.train, size, seed=seed)
                    tables["valid"] = Subsample(self.fit.valid, max(MIN_VALID, size // TRAIN_PER_VALID), seed=seed)
                for name, start in zip(self.called, self.starts, strict=True):
                    for method in self.methods:
                        found[self._arm(name, method), size, seed] = self._build_finetuning(start, method, tables, seed)
                for learner in self.baselines:
                    found[learner.name, size, seed] = Baseline(**tables, baseline=learner, seed=seed)
        return found

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Which arms are told apart: all from the reference, and trunks from those before them."""
        found = [(arm, self.arms[0]) for arm in self.arms[1:]]
        trunks = [name for name, start in zip(self.called, self.starts, strict=True) if isinstance(start, Spec)]
        for method in self.methods:
            arms = [self._arm(name, method) for name in trunks]
            found += [(arm, other) for place, arm in enumerate(arms) for other in arms[:place] if other != self.arms[0]]
        return found

    @property
    def reported_arms(self) -> list[str]:
        """The arms that the verdict tells of: every start by the first method; of a single start every method."""
        methods = self.methods if len(self.starts) == 1 else self.methods[:1]
        return [self._arm(name, method) for name in self.called for method in methods]

    def _arm(self, name: str, method: Any) -> str:
        return name if len(self.methods) == 1 else f"{name}, {method.name}"

    def _build_finetuning(self, start: Any, method: Any, tables: dict[str, Any], seed: int) -> Spec[Fit]:
        """The fine-tuning of an arm; random weights are drawn anew by the seed, a trunk where that is asked for."""
        begin = dataclasses.replace(start, seed=seed) if isinstance(start, Gnn) else start
        if self.retrain_backbones and isinstance(start, Multitask):
            begin = start.with_seed(seed)
        epochs = self.fit.epochs
        if epochs and isinstance(tables["train"], Subsample):
            epochs = max(epochs, math.ceil(self.least / math.ceil(tables["train"].size / self.fit.batch_size)))
        return dataclasses.replace(self.fit, **tables, backbone=begin, method=method, seed=seed, epochs=epochs)

    def parts(self) -> dict[str, Any]:
        return {"fits": tuple(self.runs.values())}

    def make(self, report: Report, fits: tuple[Fit | FailedPart, ...]) -> TransferCurve:
        runs = dict(zip(self.runs, fits, strict=True))
        failed = [
            {"arm": arm, "size": size, "seed": seed, "reason": run.reason}
            for (arm, size, seed), run in runs.items()
            if isinstance(run, FailedPart)
        ]
        made = {place: run for place, run in runs.items() if not isinstance(run, FailedPart)}
        if len({arm for arm, _, _ in made}) < 2:
            raise BadInput(f"nothing can be compared: {failed[0]['reason'] if failed else 'there is one arm alone'}")
        first = next(iter(made.values()))
        task, kind, unit = first.tasks[0], first.record["kinds"][0], first.record["unit"][0]
        rows = []
        for (arm, size, seed), run in made.items():
            rows.append({"arm": arm, "size": size, "seed": seed, "rows": len(run.table("train")),
                         **run.metrics["test"][task]})  # fmt: skip
        table = pd.DataFrame(rows)
        main = headline_metric(kind).key
        points = []
        for (arm, size), mine in table.groupby(["arm", "size"], sort=False):
            points.append({"arm": arm, "size": int(size), "rows": int(mine["rows"].iloc[0]),
                           **{name: summarize_seeds([None if pd.isna(value) else float(value) for value in mine[name]])
                              for name in (main, "mae", "r2", "spearman") if name in mine}})  # fmt: skip
        differences = self.differences(made, report)
        record = {
            "task": task,
            "unit": unit,
            "metric": main,
            "baselines": [learner.name for learner in self.baselines],
            "reference": self.arms[0],
            "methods": [method.name for method in self.methods],
            "points": points,
            "differences": differences,
            "failed": failed,
            "notes": [*self.learned_before(), *self.trained_once(), *collect_cautions(made)],
            "seeds": list(self.seeds),
            "digests": first.record["digests"] | {"train": None},
            "fits": {f"{arm}, {size or 'all'}, {seed}": self.runs[arm, size, seed].key for arm, size, seed in made},
            "verdict": summarize_transfer(
                points, differences, self.reported_arms, [one.name for one in self.baselines], main, unit
            ),
        }
        return TransferCurve(table, record)

    def learned_before(self) -> list[str]:
        """Sentences about starts that have learned from the very table: few molecules of it are not few for them."""
        own = find_sources(self.fit.train)
        return [
            f"“{name}” has learned from the same table: what it is worth for a table that it has not seen is not told"
            for name, start in zip(self.called, self.starts, strict=True)
            if isinstance(start, Spec) and own & find_sources(start)
        ]

    def trained_once(self) -> list[str]:
        """What the intervals do not know."""
        once = [
            f"“{name}”"
            for name, start in zip(self.called, self.starts, strict=True)
            if isinstance(start, Spec) and not (self.retrain_backbones and isinstance(start, Multitask))
        ]
        said = "was trained once" if len(once) == 1 else "were trained once each"
        words = f"{', '.join(once)} {said}: the intervals know the noise of fine-tuning again, not of training a trunk"
        return [f"{words} again"] if once else []

    def differences(self, made: dict[tuple[str, int, int], Fit], report: Report) -> list[dict[str, Any]]:
        """Of every pair of arms and size: the RMSE of one less that of the other, with its interval."""
        found, sizes = [], list(dict.fromkeys(size for _, size, _ in self.runs))
        wanted = [(pair, size) for size in sizes for pair in self.pairs]
        for place, ((arm, against), size) in enumerate(wanted):
            report(place / len(wanted), f"comparing {arm}")
            both = [
                (made[arm, size, seed].matrices("test"), made[against, size, seed].matrices("test"))
                for seed in self.seeds
                if (arm, size, seed) in made and (against, size, seed) in made
            ]
            if both:
                labels = both[0][0][0][:, 0]
                ours, theirs = (np.stack([pair[side][1][:, 0] for pair in both]) for side in (0, 1))
                found.append({"arm": arm, "size": size, "against": against, **paired_difference(labels, ours, theirs)})
        return found


NOT_LEARNED_FROM = (
    "valid",
    "test",
    "valids",
    "tests",
    "as_long_as",
    "leave_out",
)  # fields that name what is not learned from


def find_sources(spec: Any) -> set[str]:
    """Keys of the tables that a recipe learns from: not of those that it is judged by, or only kept clear of."""
    if isinstance(spec, tuple):
        return set().union(*(find_sources(one) for one in spec))
    if not dataclasses.is_dataclass(spec):
        return set()
    if isinstance(spec, Spec) and spec.kind == "load":
        return {spec.key}
    return set().union(*(find_sources(value) for name, value in iterate_fields(spec) if name not in NOT_LEARNED_FROM))


def collect_cautions(made: dict[tuple[str, int, int], Fit]) -> list[str]:
    """What the fits say that the curve has to say too, once an arm: overlap with the training part, and underfitting."""
    found = {
        f"“{arm}”: {words}": None
        for (arm, _, _), fit in made.items()
        for words in fit.record["warnings"]
        if "too optimistic" in words or "underfits" in words  # by `core.training.checks`
    }
    return list(found)


def summarize_transfer(
    points: list[dict[str, Any]],
    differences: list[dict[str, Any]],
    told: list[str],
    baselines: list[str],
    metric: str,
    unit: str,
) -> str:
    """What the curve says of the arms `reported_arms`, the reference first: where one beats another, and who beats all."""
    said, pairs = [], {}
    for row in differences:
        if row["arm"] in told:
            pairs.setdefault((row["arm"], row["against"]), []).append(row)
    for (arm, against), mine in pairs.items():
        words = {one: [row for row in mine if row["verdict"] == one] for one in ("better", "worse")}
        some = [f"{name} at {_sizes(rows)} ({_size(rows, unit)})" for name, rows in words.items() if rows]
        if some or against == told[0]:
            said.append(f"“{arm}” against “{against}”: {' and '.join(some) or 'not distinguishable at any size'}.")
    least = {
        size: min((row for row in points if row["size"] == size and row[metric]["mean"] is not None),
                  key=lambda row: row[metric]["mean"] * (1 if find_metric(metric).lower_is_better else -1))
        for size in dict.fromkeys(row["size"] for row in points)
    }  # fmt: skip
    won = [row for row in least.values() if row["arm"] in baselines]
    if won:
        said.append(f"A model without a network has the best mean at {_sizes(won)}.")
    return " ".join(said)


def _size(rows: list[dict[str, Any]], unit: str) -> str:
    """The difference at the largest size, which is named where there are several."""
    row, at = rows[-1], f"at {_sizes(rows[-1:])} " * (len(rows) > 1)
    return f"{at}{row['mean']:+.3g}{f' {unit}' if unit else ''}, {row['low']:+.3g} to {row['high']:+.3g}"


def _sizes(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['size']:,}" if row["size"] else "all" for row in rows)
