"""The selection study: select from a pool by several strategies, retrain with each, compare on one test set."""

import dataclasses
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.data.concat import Concat
from core.experiments.data.select import Select
from core.experiments.influence.influence import Influence
from core.experiments.studies.arms import ARMS, ARMS_WITHOUT_SAMPLER, Arm, arm_title, build_sampler
from core.experiments.studies.pool_checks import CheckedPool
from core.experiments.training.baseline import Baseline
from core.influence.scope import check_gradient
from core.influence.solvers import SOLVERS, Auto
from core.models.baselines import BASELINES, SupportVectors
from core.models.random_weights import check_pretrained, with_random_weights
from core.results.comparison import (
    PICK_COLUMNS,
    Comparison,
    collect_warnings,
    compare_arms,
    describe_unequal_work,
    write_verdict,
)
from core.results.fit import PARTS, Fit
from core.results.scores import Scores

CONTROL_ARM = "random weights"  # name of the control arm


@settings
class SelectionStudy(Spec[Comparison]):
    """Does selection help? Score a pool, select `count` molecules by each strategy, retrain with every seed, compare.

    Arms: `none` of the pool, `all` of it, or what a sampler selects, named by its kind or given as an object with its
    settings; `random` is a uniform sample per seed, and `bottom` the negative control of `top`. Each arm has
    the same training settings, the same test molecules and, when the fit has `steps`, the same number of optimiser
    steps. With `counts` every sampler selects each of these numbers: a learning curve.

    For reference, on the training part of `none`: `baselines` without a network and, as a `control` of pre-training,
    the same training from random weights, other ones for each seed. Neither affects the scores.
    """

    kind: ClassVar[str] = "selection-study"
    page: ClassVar[str] = "compare"
    revision: ClassVar[int] = 2

    fit: Spec[Fit] = Field(description="the model to retrain: scored once, repeated for every arm and seed")
    pool: Spec[Dataset] = Field(description="labelled candidate molecules")
    count: int = Field(default=100, ge=1, description="molecules that a sampler selects")
    counts: tuple[int, ...] = Field(
        default=(), description="further numbers of molecules to select, for a learning curve"
    )
    arms: tuple[Annotated[Any, ARMS], ...] = Field(
        default=("none", "all", "random", "top", "bottom", "greedy"),
        description="selection strategies to compare, the reference first: none or all of the pool, or a sampler",
    )
    baselines: tuple[Annotated[Any, BASELINES], ...] = Field(
        default=(SupportVectors(),),
        description="baselines without a network, trained on the model's own training part",
    )
    control: bool = Field(
        default=False,
        description="also train from random weights, as a control of pre-training; needs a pre-trained backbone",
    )
    seeds: tuple[int, ...] = Field(
        default=(0, 1, 2),
        description="random seeds, one repeat of every arm each; three at least to estimate the noise",
    )
    solver: Annotated[Any, SOLVERS] = Field(
        default=Auto(), description="solver of the linear system with the curvature"
    )
    damping: float | None = Field(
        default=None, gt=0, description="added to the eigenvalues of the curvature; empty: their mean"
    )
    scope: Literal["all", "head", "last layer"] = Field(default="all", description="weights considered")
    curvature_rows: int = Field(
        default=0,
        ge=0,
        description="training molecules that the curvature is computed from; 0: all; 512 saves time on a CPU",
    )

    def __post_init__(self) -> None:
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise BadInput(f"`seeds` wants different seeds, got {list(self.seeds)}")
        if len(set(self.arms)) < 2 or len(set(self.arms)) < len(self.arms):
            raise BadInput(f"`arms` wants at least two different arms, got {list(map(arm_title, self.arms))}")
        if min(self.counts, default=1) < 1:
            raise BadInput(f"`counts` wants numbers of molecules, 1 or more, got {list(self.counts)}")
        check_gradient(self.fit)
        if len(self.baselines_by_name) < len(self.baselines):
            raise BadInput(
                "`baselines` wants models that differ in kind or features, got "
                f"{[f'{baseline.kind} of {baseline.features}' for baseline in self.baselines]}"
            )
        if self.control:
            check_pretrained(self.fit.backbone)
        for seed in self.seeds:
            dataclasses.replace(self.fit, seed=seed)  # raises for a seed that the fit refuses

    @property
    def title(self) -> str:
        sizes = ", ".join(map(str, self.sizes))
        return f"selection study of the {self.pool.title}: select {sizes}, {len(self.seeds)} seeds"

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many molecules the samplers select, the fewest first."""
        return tuple(sorted({self.count, *self.counts}))

    @property
    def strategies(self) -> dict[str, tuple[Arm, int | None]]:
        """Every arm that is compared by its name, and how many molecules it selects (None: none or all of the pool)."""
        strategies: dict[str, tuple[Arm, int | None]] = {}
        for arm in self.arms:
            title = arm_title(arm)
            if arm in ARMS_WITHOUT_SAMPLER:
                strategies[title] = (arm, None)
            else:
                strategies |= {f"{title} {size}" if len(self.sizes) > 1 else title: (arm, size) for size in self.sizes}
        return strategies

    @property
    def arm_settings(self) -> dict[str, tuple[str, int | None]]:
        """`strategies` with the arm's title, the same for all sizes."""
        return {name: (arm_title(arm), size) for name, (arm, size) in self.strategies.items()}

    @property
    def baselines_by_name(self) -> dict[str, Any]:
        """The baselines by the names of their arms, with their features if two are of the same kind."""
        kinds = [baseline.kind for baseline in self.baselines]
        return {
            baseline.name + (f" of {baseline.features}" if kinds.count(baseline.kind) > 1 else ""): baseline
            for baseline in self.baselines
        }

    @property
    def roles(self) -> dict[str, str]:
        """The role of every arm by name: selection, baseline or control."""
        roles = dict.fromkeys(self.arm_settings, "selection") | dict.fromkeys(self.baselines_by_name, "baseline")
        return roles | ({CONTROL_ARM: "control"} if self.control else {})

    def parts(self) -> dict[str, Any]:
        count = max(self.sizes) if self.selecting_arms else 1
        return {
            "pool": CheckedPool(pool=self.pool, train=self.fit.train, test=self.fit.test, count=count),
            "scores": self.scores(),
            "picks": tuple(tuple(self.select(arm, seed) for seed in self.seeds) for arm in self.selecting_arms),
            "fits": tuple(tuple(self.refit(arm, seed) for seed in self.seeds) for arm in self.roles),
        }

    def scores(self) -> Influence:
        return Influence(
            fit=self.fit,
            pool=self.pool,
            target=self.fit.valid,
            solver=self.solver,
            damping=self.damping,
            scope=self.scope,
            curvature_rows=self.curvature_rows,
        )

    @property
    def selecting_arms(self) -> list[str]:
        """The arms that select, by name."""
        return [name for name, (arm, _) in self.strategies.items() if arm not in ARMS_WITHOUT_SAMPLER]

    def select(self, name: str, seed: int) -> Spec[Dataset]:
        """The spec of an arm's selection from the pool; a random sampler uses the seed."""
        sampler = build_sampler(*self.strategies[name], seed)
        return Select(pool=self.pool, scores=self.scores() if "scores" in sampler.needs else None, sampler=sampler)

    def refit(self, arm: str, seed: int) -> Spec[Fit]:
        """The training of an arm with one seed."""
        if arm in self.baselines_by_name:
            tables = {name: getattr(self.fit, name) for name in PARTS}
            return Baseline(**tables, baseline=self.baselines_by_name[arm], seed=seed)
        if arm == CONTROL_ARM:
            return dataclasses.replace(self.fit, backbone=with_random_weights(self.fit.backbone, seed), seed=seed)
        if arm == "none":
            return dataclasses.replace(self.fit, seed=seed)
        added = self.pool if arm == "all" else self.select(arm, seed)
        return dataclasses.replace(self.fit, train=Concat((self.fit.train, added)), seed=seed)

    def make(
        self,
        report: Report,
        scores: Scores,
        pool: Dataset,
        picks: tuple[tuple[Dataset, ...], ...],
        fits: tuple[tuple[Fit, ...], ...],
    ) -> Comparison:
        keys = [[self.refit(arm, seed).key for seed in self.seeds] for arm in self.roles]
        # Baselines and control have the training set of `none`.
        baseline_reference = ["none"] if len(self.roles) > len(self.arms) else []
        strategies = self.arm_settings
        random_arms = [name for name, (arm, _) in strategies.items() if arm == "random"]
        whole_pool = ["all"] if len(self.sizes) > 1 else []  # to find the smallest sufficient selection
        references = dict.fromkeys(
            name
            for name in (next(iter(strategies)), *random_arms, *baseline_reference, *whole_pool)
            if name in strategies
        )
        record, predictions = compare_arms(self.roles, fits, keys, self.seeds, tuple(references))
        if len(self.sizes) > 1:
            record["differences"] = [row for row in record["differences"] if _same_size(strategies, row)]
            record["enough"] = find_smallest_sufficient(record["differences"], strategies)
        selections = self.tabulate_picks(picks)
        for arm in record["arms"]:
            if arm["name"] in strategies:
                arm["rule"], arm["kept"] = strategies[arm["name"]]
            arm_rows = selections[(selections["arm"] == arm["name"]) & (selections["seed"] == self.seeds[0])]
            arm["mislabelled"] = (
                int(arm_rows["mislabelled"].sum()) if len(arm_rows) and "mislabelled" in pool.columns else None
            )
        record |= {
            "detection": scores.record.get("detection"),
            "verdict": write_verdict(
                record["arms"], record["differences"], "rmse", record["unit"], kind=record["task_kind"]
            ),
            "count": self.count,
            "sizes": list(self.sizes),
            "pool": {"rows": len(pool), "digest": pool.digest},
            "scores": self.scores().key,
            "base_fit": self.fit.key,
            "notes": self.collect_notes(fits, scores),
        }
        return Comparison(record, predictions, selections)

    def tabulate_picks(self, picks: tuple[tuple[Dataset, ...], ...]) -> pd.DataFrame:
        """The selected molecules of every arm, as rows."""
        rows = []
        for arm, arm_picks in zip(self.selecting_arms, picks, strict=True):
            for seed, selection in zip(self.seeds, arm_picks, strict=True):
                mislabelled = selection.columns.get("mislabelled", np.zeros(len(selection), bool))
                rows.append(
                    pd.DataFrame(
                        {
                            "arm": arm,
                            "seed": seed,
                            "smiles": selection.smiles,
                            "label": selection.targets[:, 0],
                            "mislabelled": mislabelled,
                        }
                    )
                )
        return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=PICK_COLUMNS)

    def collect_notes(self, fits: tuple[tuple[Fit, ...], ...], scores: Scores) -> list[str]:
        """Warnings about the comparison."""
        notes = [*scores.record.get("warnings", []), *describe_unequal_work(self.roles, fits)]
        if len(fits[0][0].tasks) > 1:
            notes.append(f"differences are for the first task, {fits[0][0].tasks[0]!r}")
        n_differences = (len(self.arm_settings) - 1) * (2 if "random" in self.arms else 1)
        if len(self.sizes) > 1:
            notes.append(
                f"about {n_differences} differences are shown: without any true difference, one in twenty 95 % "
                "intervals excludes zero by chance, so a single one is no evidence"
            )
        return notes + collect_warnings(self.roles, fits)


def _same_size(strategies: dict[str, tuple[str, int | None]], row: dict[str, Any]) -> bool:
    """Whether to report a difference: with a random arm only between arms that select the same number."""
    strategy, size = strategies.get(row["against"], ("", None))
    return strategy != "random" or strategies.get(row["arm"], ("", None))[1] == size


def find_smallest_sufficient(
    differences: list[dict[str, Any]], strategies: dict[str, tuple[str, int | None]]
) -> dict[str, int]:
    """Smallest selection of each strategy that, like all larger ones, is not worse than the whole pool."""
    verdicts: dict[str, dict[int, str]] = {}
    for row in differences:
        strategy, size = strategies.get(row["arm"], ("", None))
        if row["against"] == "all" and size is not None:
            verdicts.setdefault(strategy, {})[size] = row["verdict"]
    smallest = {}
    for strategy, sizes in verdicts.items():
        worse = [size for size, verdict in sizes.items() if verdict == "worse"]
        sufficient = [size for size in sizes if size > max(worse, default=0)]
        if sufficient:
            smallest[strategy] = min(sufficient)
    return smallest
