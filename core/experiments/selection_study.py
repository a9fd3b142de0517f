"""The proof: keep some molecules of a pool by several rules, train again with each, compare on the same test part."""

import dataclasses
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from core.comparison import PICKS, Comparison, compared, unequal_work, verdict, warned
from core.data import Dataset
from core.experiments.baseline import Baseline
from core.experiments.influence import Influence, check_gradient
from core.experiments.join import Join
from core.experiments.random_weights import check_read, random_weights
from core.experiments.select import Select
from core.experiments.study_pool import StudyPool
from core.fits import PARTS, Fit
from core.learners import LEARNERS, SupportVectors, named
from core.report import Report
from core.samplers import Greedy, Top, Uniform
from core.scores import Scores
from core.solvers import SOLVERS, Auto
from core.spec import BadInput, Spec, settings

Arm = Literal["none", "all", "random", "top", "bottom", "greedy"]
CONTROL = "random weights"  # the arm of that name


@settings
class SelectionStudy(Spec[Comparison]):
    """Does choosing help? Score a pool, keep `count` molecules by each rule, train again with every seed, compare.

    Arms: `none` of the pool, `all` of it, `random` ones (drawn anew for each seed), the `top` and, as a control, the
    `bottom` by predicted benefit, and the `greedy` choice. Each arm has the same recipe, the same test molecules and,
    when the recipe gives `steps`, the same number of optimiser steps.

    Beside them, on the rows of `none`: `baselines`, which have no network, and, as a `control` of pre-training, the
    same recipe begun from random weights. Every seed draws them anew. Neither has a say in the scores.
    """

    kind: ClassVar[str] = "selection-study"

    fit: Spec[Fit] = Field(description="the recipe of the fine-tuning; scored once, repeated for every arm and seed")
    pool: Spec[Dataset] = Field(description="the external molecules, with labels")
    count: int = Field(default=100, ge=1, description="molecules that an arm keeps")
    arms: tuple[Arm, ...] = Field(
        default=("none", "all", "random", "top", "bottom", "greedy"),
        description="rules to compare, the reference first",
    )
    baselines: tuple[Annotated[Any, LEARNERS], ...] = Field(
        default=(SupportVectors(),),
        description="models without a network, of the fit's own training part: what the network has to beat",
    )
    control: bool = Field(
        default=False,
        description="train from random weights too: what pre-training is worth; wants a pre-trained backbone",
    )
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), description="repeats of every arm; three at least tell the noise")
    solver: Annotated[Any, SOLVERS] = Field(default=Auto(), description="how the curvature is inverted")
    damping: float | None = Field(
        default=None, gt=0, description="added to the curvature; by default its mean eigenvalue"
    )
    scope: Literal["all", "head", "last layer"] = Field(default="all", description="weights that are thought to move")
    curvature_rows: int = Field(
        default=0,
        ge=0,
        description="training molecules the curvature is taken from; 0: all; 512 spares time on a CPU",
    )
    ridge: float = Field(default=20.0, gt=0, description="damping of the greedy rule's last layer")

    def __post_init__(self) -> None:
        if len(set(self.seeds)) < len(self.seeds) or not self.seeds:
            raise BadInput(f"`seeds` wants different seeds, got {list(self.seeds)}")
        if len(set(self.arms)) < 2 or len(set(self.arms)) < len(self.arms):
            raise BadInput(f"`arms` wants at least two different arms, got {list(self.arms)}")
        check_gradient(self.fit)
        if len(self.learners) < len(self.baselines):
            raise BadInput(
                "`baselines` wants models that differ in their kind or in the features they see, got "
                f"{[f'{learner.kind} of {learner.features}' for learner in self.baselines]}"
            )
        if self.control:
            check_read(getattr(self.fit, "backbone", None))
        for seed in self.seeds:
            dataclasses.replace(self.fit, seed=seed)  # a seed that it refuses is refused here

    @property
    def title(self) -> str:
        return f"selection study of the {self.pool.title}: keep {self.count}, {len(self.seeds)} seeds"

    @property
    def learners(self) -> dict[str, Any]:
        """The baselines by the names of their arms; what they see is told where two are of one kind."""
        kinds = [learner.kind for learner in self.baselines]
        return {
            named(learner) + (f" of {learner.features}" if kinds.count(learner.kind) > 1 else ""): learner
            for learner in self.baselines
        }

    @property
    def roles(self) -> dict[str, str]:
        """Every arm by name, and whether it is a rule of selection, a baseline or the control."""
        rules, others = dict.fromkeys(self.arms, "selection"), dict.fromkeys(self.learners, "baseline")
        return rules | others | ({CONTROL: "control"} if self.control else {})

    def parts(self) -> dict[str, Any]:
        chosen = [arm for arm in self.arms if arm not in ("none", "all")]
        count = self.count if chosen else 1
        return {
            "pool": StudyPool(pool=self.pool, train=self.fit.train, test=self.fit.test, count=count),
            "scores": self.scores(),
            "picks": tuple(tuple(self.pick(arm, seed) for seed in self.seeds) for arm in chosen),
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

    def pick(self, arm: str, seed: int) -> Spec[Dataset]:
        """What an arm takes from the pool."""
        samplers = {
            "random": Uniform(count=self.count, seed=seed),
            "top": Top(count=self.count),
            "bottom": Top(count=self.count, worst=True),
            "greedy": Greedy(count=self.count, damping=self.ridge),
        }
        return Select(pool=self.pool, scores=None if arm == "random" else self.scores(), sampler=samplers[arm])

    def refit(self, arm: str, seed: int) -> Spec[Fit]:
        """The training of an arm with one seed."""
        if arm in self.learners:
            tables = {name: getattr(self.fit, name) for name in PARTS}
            return Baseline(**tables, learner=self.learners[arm], seed=seed)
        if arm == CONTROL:
            return dataclasses.replace(self.fit, backbone=random_weights(self.fit.backbone, seed), seed=seed)
        if arm == "none":
            return dataclasses.replace(self.fit, seed=seed)
        added = self.pool if arm == "all" else self.pick(arm, seed)
        return dataclasses.replace(self.fit, train=Join((self.fit.train, added)), seed=seed)

    def make(
        self,
        report: Report,
        scores: Scores,
        pool: Dataset,
        picks: tuple[tuple[Dataset, ...], ...],
        fits: tuple[tuple[Fit, ...], ...],
    ) -> Comparison:
        keys = [[self.refit(arm, seed).key for seed in self.seeds] for arm in self.roles]
        alike = ("none",) if len(self.roles) > len(self.arms) else ()  # baselines and control have its rows
        references = dict.fromkeys(arm for arm in (self.arms[0], "random", *alike) if arm in self.arms)
        record, predictions = compared(self.roles, fits, keys, self.seeds, tuple(references))
        picked = self.table(picks)
        for arm in record["arms"]:
            mine = picked[(picked["arm"] == arm["name"]) & (picked["seed"] == self.seeds[0])]
            arm["planted"] = int(mine["planted"].sum()) if len(mine) and "planted" in pool.columns else None
        record |= {
            "detection": scores.record.get("detection"),
            "verdict": verdict(record["arms"], record["differences"], "rmse", record["unit"]),
            "count": self.count,
            "pool": {"rows": len(pool), "digest": pool.digest},
            "scores": self.scores().key,
            "base_fit": self.fit.key,
            "notes": self.notes(fits, scores),
        }
        return Comparison(record, predictions, picked)

    def table(self, picks: tuple[tuple[Dataset, ...], ...]) -> pd.DataFrame:
        """The molecules that the arms kept, as rows."""
        rows = []
        for arm, mine in zip([arm for arm in self.arms if arm not in ("none", "all")], picks, strict=True):
            for seed, kept in zip(self.seeds, mine, strict=True):
                planted = kept.columns.get("planted", np.zeros(len(kept), bool))
                rows.append(
                    pd.DataFrame(
                        {
                            "arm": arm,
                            "seed": seed,
                            "smiles": kept.smiles,
                            "label": kept.targets[:, 0],
                            "planted": planted,
                        }
                    )
                )
        return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=PICKS)

    def notes(self, fits: tuple[tuple[Fit, ...], ...], scores: Scores) -> list[str]:
        """What a reader has to know before believing the numbers."""
        found = [*scores.record.get("warnings", []), *unequal_work(self.roles, fits)]
        if len(fits[0][0].tasks) > 1:
            found.append(f"differences are of the first task, {fits[0][0].tasks[0]!r}")
        return found + warned(self.roles, fits)
