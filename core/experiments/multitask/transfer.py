"""Transfer: learning curves of a small table from several initial backbones, with several seeds."""

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

TRAIN_PER_VALID = 8  # training molecules for each validation molecule
MIN_VALID = 10  # validation molecules


@settings
class Transfer(Spec[TransferCurve]):
    """Does a pre-trained backbone help a table with few labels, and up to how many labels?

    Each initial backbone is fine-tuned by each method on training sets of increasing size. The validation set has an
    eighth as many molecules, because they had to be measured too. All arms of a size and seed use the same molecules
    and the full test set; so do the baselines. The first backbone is the reference. Trained backbones are also compared
    with those named before them, by the same method.
    """

    kind: ClassVar[str] = "transfer"
    page: ClassVar[str] = "multitask"
    revision: ClassVar[int] = 2
    tolerant: ClassVar[bool] = True
    effort: ClassVar[float] = 0.5

    fit: Spec[Fit] = Field(
        description="the fine-tuning to repeat: its training, validation and test sets, length and learning rates"
    )
    starts: tuple[Annotated[Any, BACKBONES_OR_CHECKPOINTS], ...] = Field(
        default=(Gnn(),), description="initial backbones, the reference first"
    )
    names: tuple[str, ...] = Field(default=(), description="names of the initial backbones; empty: their own names")
    methods: tuple[Annotated[Any, METHODS], ...] = Field(
        default=(Full(),), description="fine-tuning methods: which weights are trained"
    )
    baselines: tuple[Annotated[Any, BASELINES], ...] = Field(
        default=(SupportVectors(),), description="baselines without a network, on the same molecules"
    )
    sizes: tuple[int, ...] = Field(
        default=(50, 100, 200, 420, 1000), description="sizes of the training set, in molecules"
    )
    whole: bool = Field(default=True, description="also use the full training set")
    least: int = Field(
        default=500,
        ge=1,
        description="fewest optimiser steps of any size, if `fit` has epochs: small sets get more epochs",
    )
    seeds: tuple[int, ...] = Field(
        default=(0, 1, 2), description="random seeds, one repeat each, with other molecules, heads and batches"
    )
    retrain_backbones: bool = Field(
        default=False, description="retrain each shared backbone for every seed (expensive)"
    )

    def __post_init__(self) -> None:
        if not isinstance(self.fit, FineTune):
            raise BadInput("`fit` wants a spec of kind 'finetune'")
        for name in ("starts", "methods", "sizes", "seeds"):
            values = [value.key if isinstance(value, Spec) else value for value in getattr(self, name)]
            if not values or len({str(value) for value in values}) < len(values):
                raise BadInput(f"`{name}` wants different values, at least one")
        if min(self.sizes) < 2:
            raise BadInput(f"`sizes` wants numbers of molecules, 2 or more, got {list(self.sizes)}")
        if len(set(self.called)) < len(self.starts):
            raise BadInput(f"the initial backbones need different `names`, got {', '.join(self.called)}")

    @property
    def title(self) -> str:
        by = self.fit.train.by if isinstance(self.fit.train, Split) else "random"
        split = "" if by == "random" else f" by {by}"
        features = self.fit.features.replace("both", "descriptors and fingerprints")
        extra_features = "" if features == "none" else f", with {features}"
        table = f"{self.fit.train.title}{split}{extra_features}"
        return f"transfer of {', '.join(self.called)} to {table}, {len(self.seeds)} seeds"

    @property
    def called(self) -> tuple[str, ...]:
        """The names of the initial backbones."""
        return self.names if len(self.names) == len(self.starts) else tuple(start.called for start in self.starts)

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arm for arm, _, _ in self.runs))

    @property
    def runs(self) -> dict[tuple[str, int, int], Spec[Fit]]:
        """The trainings by arm, size (0: the full training set) and seed."""
        specs: dict[tuple[str, int, int], Spec[Fit]] = {}
        for size in (*sorted(self.sizes), *((0,) if self.whole else ())):
            for seed in self.seeds:
                tables = {name: getattr(self.fit, name) for name in PARTS}
                if size:
                    tables["train"] = Subsample(self.fit.train, size, seed=seed)
                    tables["valid"] = Subsample(self.fit.valid, max(MIN_VALID, size // TRAIN_PER_VALID), seed=seed)
                for name, start in zip(self.called, self.starts, strict=True):
                    for method in self.methods:
                        specs[self._arm(name, method), size, seed] = self._build_finetuning(start, method, tables, seed)
                for baseline in self.baselines:
                    specs[baseline.name, size, seed] = Baseline(**tables, baseline=baseline, seed=seed)
        return specs

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Pairs of arms that are compared: each with the reference, and trained backbones with those before them."""
        pairs = [(arm, self.arms[0]) for arm in self.arms[1:]]
        backbones = [name for name, start in zip(self.called, self.starts, strict=True) if isinstance(start, Spec)]
        for method in self.methods:
            arms = [self._arm(name, method) for name in backbones]
            pairs += [(arm, other) for index, arm in enumerate(arms) for other in arms[:index] if other != self.arms[0]]
        return pairs

    @property
    def reported_arms(self) -> list[str]:
        """The arms in the verdict: every backbone by the first method; a single backbone by every method."""
        methods = self.methods if len(self.starts) == 1 else self.methods[:1]
        return [self._arm(name, method) for name in self.called for method in methods]

    def _arm(self, name: str, method: Any) -> str:
        return name if len(self.methods) == 1 else f"{name}, {method.name}"

    def _build_finetuning(self, start: Any, method: Any, tables: dict[str, Any], seed: int) -> Spec[Fit]:
        """The fine-tuning of an arm; the seed changes random weights, and retrains a shared backbone if asked for."""
        backbone = dataclasses.replace(start, seed=seed) if isinstance(start, Gnn) else start
        if self.retrain_backbones and isinstance(start, Multitask):
            backbone = start.with_seed(seed)
        epochs = self.fit.epochs
        if epochs and isinstance(tables["train"], Subsample):
            epochs = max(epochs, math.ceil(self.least / math.ceil(tables["train"].size / self.fit.batch_size)))
        return dataclasses.replace(self.fit, **tables, backbone=backbone, method=method, seed=seed, epochs=epochs)

    def parts(self) -> dict[str, Any]:
        return {"fits": tuple(self.runs.values())}

    def make(self, report: Report, fits: tuple[Fit | FailedPart, ...]) -> TransferCurve:
        runs = dict(zip(self.runs, fits, strict=True))
        failed = [
            {"arm": arm, "size": size, "seed": seed, "reason": run.reason}
            for (arm, size, seed), run in runs.items()
            if isinstance(run, FailedPart)
        ]
        models = {setting: run for setting, run in runs.items() if not isinstance(run, FailedPart)}
        if len({arm for arm, _, _ in models}) < 2:
            raise BadInput(f"nothing can be compared: {failed[0]['reason'] if failed else 'there is only one arm'}")
        first = next(iter(models.values()))
        task, kind, unit = first.tasks[0], first.record["kinds"][0], first.record["unit"][0]
        rows = []
        for (arm, size, seed), run in models.items():
            n_train = len(run.table("train"))
            rows.append({"arm": arm, "size": size, "seed": seed, "rows": n_train} | run.metrics["test"][task])
        table = pd.DataFrame(rows)
        main = headline_metric(kind).key
        points = []
        for (arm, size), group in table.groupby(["arm", "size"], sort=False):
            points.append({"arm": arm, "size": int(size), "rows": int(group["rows"].iloc[0]),
                           **{name: summarize_seeds([None if pd.isna(value) else float(value) for value in group[name]])
                              for name in (main, "mae", "r2", "spearman") if name in group}})  # fmt: skip
        differences = self.estimate_differences(models, report)
        record = {
            "task": task,
            "unit": unit,
            "metric": main,
            "baselines": [baseline.name for baseline in self.baselines],
            "reference": self.arms[0],
            "methods": [method.name for method in self.methods],
            "points": points,
            "differences": differences,
            "failed": failed,
            "notes": [*self.describe_known_sources(), *self.describe_single_trainings(), *collect_cautions(models)],
            "seeds": list(self.seeds),
            "digests": first.record["digests"] | {"train": None},
            "fits": {f"{arm}, {size or 'all'}, {seed}": self.runs[arm, size, seed].key for arm, size, seed in models},
            "verdict": summarize_transfer(
                points, differences, self.reported_arms, [baseline.name for baseline in self.baselines], main, unit
            ),
        }
        return TransferCurve(table, record)

    def describe_known_sources(self) -> list[str]:
        """Notes on backbones that were trained on the table itself: their learning curves are too optimistic."""
        sources = find_sources(self.fit.train)
        return [
            f"“{name}” was trained on the same table: this says nothing about its value for an unseen table"
            for name, start in zip(self.called, self.starts, strict=True)
            if isinstance(start, Spec) and sources & find_sources(start)
        ]

    def describe_single_trainings(self) -> list[str]:
        """A note on backbones trained once: the intervals do not cover the noise of their training."""
        names = [
            f"“{name}”"
            for name, start in zip(self.called, self.starts, strict=True)
            if isinstance(start, Spec) and not (self.retrain_backbones and isinstance(start, Multitask))
        ]
        verb = "was trained once" if len(names) == 1 else "were trained once each"
        note = f"{', '.join(names)} {verb}: the intervals cover the noise of fine-tuning, not of training the backbone"
        return [note] if names else []

    def estimate_differences(self, models: dict[tuple[str, int, int], Fit], report: Report) -> list[dict[str, Any]]:
        """RMSE of one arm minus that of the other for every pair and size, with its interval."""
        rows, sizes = [], list(dict.fromkeys(size for _, size, _ in self.runs))
        comparisons = [(pair, size) for size in sizes for pair in self.pairs]
        for index, ((arm, against), size) in enumerate(comparisons):
            report(index / len(comparisons), f"comparing {arm}")
            matrices = [
                (models[arm, size, seed].matrices("test"), models[against, size, seed].matrices("test"))
                for seed in self.seeds
                if (arm, size, seed) in models and (against, size, seed) in models
            ]
            if matrices:
                labels = matrices[0][0][0][:, 0]
                ours, theirs = (np.stack([pair[side][1][:, 0] for pair in matrices]) for side in (0, 1))
                rows.append({"arm": arm, "size": size, "against": against, **paired_difference(labels, ours, theirs)})
        return rows


# Fields of specs with tables that are not trained on.
NOT_TRAINED_ON = ("valid", "test", "valids", "tests", "step_reference", "leave_out")

# Of overlap with the training set and of underfitting, now and in runs stored before.
CAUTIONS = ("too optimistic", "underfits")  # in the warnings of `core.training.checks`


def find_sources(spec: Any) -> set[str]:
    """Keys of the tables that a spec trains on, without those used only to evaluate or to remove overlap."""
    if isinstance(spec, tuple):
        return set().union(*(find_sources(part) for part in spec))
    if not dataclasses.is_dataclass(spec):
        return set()
    if isinstance(spec, Spec) and spec.kind == "load":
        return {spec.key}
    return set().union(*(find_sources(value) for name, value in iterate_fields(spec) if name not in NOT_TRAINED_ON))


def collect_cautions(models: dict[tuple[str, int, int], Fit]) -> list[str]:
    """Warnings of the models that the curve repeats, once per arm: optimistic numbers, or underfitting."""
    cautions = {
        f"“{arm}”: {warning}": None
        for (arm, _, _), fit in models.items()
        for warning in fit.record["warnings"]
        if any(words in warning for words in CAUTIONS)
    }
    return list(cautions)


def summarize_transfer(
    points: list[dict[str, Any]],
    differences: list[dict[str, Any]],
    reported_arms: list[str],
    baselines: list[str],
    metric: str,
    unit: str,
) -> str:
    """Sentences: where an arm of `reported_arms` (reference first) beats another, and where a baseline is best."""
    sentences, rows_by_pair = [], {}
    for row in differences:
        if row["arm"] in reported_arms:
            rows_by_pair.setdefault((row["arm"], row["against"]), []).append(row)
    for (arm, against), pair_rows in rows_by_pair.items():
        rows_by_verdict = {
            verdict: [row for row in pair_rows if row["verdict"] == verdict] for verdict in ("better", "worse")
        }
        clauses = [f"{name} at {_sizes(rows)} ({_size(rows, unit)})" for name, rows in rows_by_verdict.items() if rows]
        if clauses or against == reported_arms[0]:
            sentences.append(
                f"“{arm}” against “{against}”: {' and '.join(clauses) or 'not distinguishable at any size'}."
            )
    best_points = {
        size: min((row for row in points if row["size"] == size and row[metric]["mean"] is not None),
                  key=lambda row: row[metric]["mean"] * (1 if find_metric(metric).lower_is_better else -1))
        for size in dict.fromkeys(row["size"] for row in points)
    }  # fmt: skip
    baseline_points = [row for row in best_points.values() if row["arm"] in baselines]
    if baseline_points:
        sentences.append(f"A baseline has the best mean at {_sizes(baseline_points)}.")
    return " ".join(sentences)


def _size(rows: list[dict[str, Any]], unit: str) -> str:
    """The difference at the largest size, with that size if there are several."""
    row, prefix = rows[-1], f"at {_sizes(rows[-1:])} " * (len(rows) > 1)
    return f"{prefix}{row['mean']:+.3g}{f' {unit}' if unit else ''}, {row['low']:+.3g} to {row['high']:+.3g}"


def _sizes(rows: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['size']:,}" if row["size"] else "all" for row in rows)
