"""MixtureStudy: every table of a mixture alone and with the others, seed by seed → a MixtureComparison."""

import dataclasses
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from core.engine.report import Report
from core.engine.spec import BadInput, FailedPart, Spec, settings
from core.experiments.multitask.multitask import Multitask
from core.experiments.training.finetune import BACKBONES_OR_CHECKPOINTS
from core.models.multitask_model import MultitaskModel
from core.results.comparison import join_devices, summarize_seeds
from core.results.literature import published_results
from core.results.mixture import evaluate_tasks, mean_metrics
from core.results.mixture_differences import paired_difference_of_means
from core.results.tabular import MixtureComparison
from core.stats.differences import estimate_difference
from core.stats.metrics import averaged_metrics

MULTI, STEPS, MOLECULES = "all together", "alone, as many steps", "alone, as many molecules"
ARMS = {"steps": STEPS, "molecules": MOLECULES}


@settings
class MixtureStudy(Spec[MixtureComparison]):
    """Does learning many tables at once help each of them? Every table alone beside all of them together.

    What is learned with others also takes more steps than it would alone, so there are two controls: a table alone for
    as many optimiser steps as the mixture takes, and alone for as many of its own molecules as are read there. All see
    the same rows, and each is told on its own test part.
    """

    kind: ClassVar[str] = "mixture-study"
    page: ClassVar[str] = "multitask"
    tolerant: ClassVar[bool] = True
    effort: ClassVar[float] = 0.5

    multi: Spec[MultitaskModel] = Field(description="the training of all tables together")
    backbones: tuple[Annotated[Any, BACKBONES_OR_CHECKPOINTS], ...] = Field(
        default=(), description="models to begin from; empty: that of `multi`"
    )
    controls: tuple[Literal["steps", "molecules"], ...] = Field(
        default=("steps", "molecules"), description="what a table alone has as much of as the mixture"
    )
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), description="repeats of everything; three tell the noise")

    def __post_init__(self) -> None:
        if not isinstance(self.multi, Multitask) or len(self.multi.members) < 2:
            raise BadInput("`multi` wants a multitask recipe with at least two members")
        if self.multi.steps is not None:
            raise BadInput("`multi` wants `epochs`, not `steps`: the controls are counted in passes over the tables")
        if "molecules" in self.controls and self.multi.mixing != "proportional":
            raise BadInput(
                f"as many molecules of its own a table reads alone only where it is mixed in proportion; the mixing is "
                f"{self.multi.mixing!r}: take the control “steps” alone"
            )
        for name, values in (("seeds", self.seeds), ("controls", self.controls)):
            if not values or len(set(values)) < len(values):
                raise BadInput(f"`{name}` wants different values, got {list(values)}")
        if len({one.called for one in self.starts}) < len(self.starts):
            raise BadInput("`backbones` wants models that are called differently")

    @property
    def title(self) -> str:
        names = ", ".join(one.called for one in self.starts)
        return f"{len(self.multi.members)} tables together and alone, {names}, {len(self.seeds)} seeds"

    @property
    def starts(self) -> tuple[Any, ...]:
        return self.backbones or (self.multi.backbone,)

    @property
    def runs(self) -> dict[tuple[str, str, str, int], Multitask]:
        """The trainings by backbone, arm, member ("" of all) and seed."""
        found = {}
        for start in self.starts:
            multi = dataclasses.replace(self.multi, backbone=start)
            for seed in self.seeds:
                found[start.called, MULTI, "", seed] = multi.with_seed(seed)
                for control in self.controls:
                    paced = self.multi.members if control == "steps" else ()
                    for one in self.multi.members:
                        alone = dataclasses.replace(multi, members=(one,), as_long_as=paced)
                        found[start.called, ARMS[control], one.called, seed] = alone.with_seed(seed)
        return found

    def parts(self) -> dict[str, Any]:
        return {"trunks": tuple(self.runs.values())}

    def make(self, report: Report, trunks: tuple[MultitaskModel | FailedPart, ...]) -> MixtureComparison:
        runs = dict(zip(self.runs, trunks, strict=True))
        failed = [
            {"backbone": start, "arm": arm, "member": name, "seed": seed, "reason": run.reason}
            for (start, arm, name, seed), run in runs.items()
            if isinstance(run, FailedPart)
        ]
        made = {place: run for place, run in runs.items() if not isinstance(run, FailedPart)}
        if not any(arm == MULTI for _, arm, _, _ in made) or all(arm == MULTI for _, arm, _, _ in made):
            raise BadInput(f"nothing can be compared: {failed[0]['reason']}")
        rows, cards = [], []
        for (start, arm, _, seed), run in made.items():
            for one in run.record["members"]:
                own = {"backbone": start, "arm": arm, "member": one["name"], "seed": seed}
                rows += [{**own, "task": task, **values} for task, values in one["metrics"]["test"].items()]
                cards.append(
                    {**own, **{metric.key: one["means"]["test"].get(metric.key) for metric in averaged_metrics()}}
                )
        found = pd.DataFrame(cards)
        record = {
            "members": next(run for (_, arm, _, _), run in made.items() if arm == MULTI).record["members"],
            "means": [
                {
                    "backbone": start,
                    "arm": arm,
                    "member": name,
                    **{
                        metric.key: summarize_seeds([None if pd.isna(value) else float(value) for value in mine[metric.key]])
                        for metric in averaged_metrics()
                        if mine[metric.key].notna().any()
                    },
                    "averaged": average_predictions(
                        [made[start, arm, "" if arm == MULTI else name, seed] for seed in mine["seed"]], name
                    ),
                }
                for (start, arm, name), mine in found.groupby(["backbone", "arm", "member"], sort=False)
            ],
            "costs": self.costs(made),
            "differences": self.differences(made, report),
            "failed": failed,
            "seeds": list(self.seeds),
            "published": published_results([one.called for one in self.multi.members], [one.called for one in self.starts]),
            "trunks": {", ".join(filter(None, (start, arm, name, str(seed)))): self.runs[start, arm, name, seed].key
                       for start, arm, name, seed in made},
        }  # fmt: skip
        record["verdict"] = summarize_differences(record["differences"])
        return MixtureComparison(pd.DataFrame(rows), record)

    def costs(self, made: dict[tuple[str, str, str, int], MultitaskModel]) -> list[dict[str, Any]]:
        """What each arm took: weights, seconds, memory, steps; of tables alone the sum over them where it adds up."""
        found = []
        for start in dict.fromkeys(place[0] for place in made):
            for arm in dict.fromkeys(place[1] for place in made):
                mine = [run.record for place, run in made.items() if place[:2] == (start, arm)]
                if mine:
                    seeds = len({place[3] for place in made if place[:2] == (start, arm)})
                    found.append(
                        {
                            "backbone": start,
                            "arm": arm,
                            "parameters": sum(one["parameters"] for one in mine) // seeds,
                            "seconds": sum(one["seconds"] for one in mine) / seeds,
                            "peak_memory": max((one.get("peak_memory") or 0 for one in mine), default=0) or None,
                            "steps": sum(one["steps"] for one in mine) // seeds,
                            "device": join_devices(mine),
                        }
                    )
        return found

    def differences(
        self, made: dict[tuple[str, str, str, int], MultitaskModel], report: Report
    ) -> list[dict[str, Any]]:
        """Of each backbone, member and control: the error together less that alone, with its interval."""
        found, wanted = [], [
            (start.called, control, one)
            for start in self.starts
            for control in self.controls
            for one in self.multi.members
        ]  # fmt: skip
        for place, (start, control, one) in enumerate(wanted):
            report(place / len(wanted), f"comparing {one.called}, {start}")
            both = [
                (made[start, MULTI, "", seed], made[start, ARMS[control], one.called, seed])
                for seed in self.seeds
                if (start, MULTI, "", seed) in made and (start, ARMS[control], one.called, seed) in made
            ]
            if both:
                row = {"backbone": start, "member": one.called, "against": ARMS[control]}
                found.append(row | summarize_table(one.called, both))
        return found


def summarize_table(member: str, both: list[tuple[MultitaskModel, MultitaskModel]]) -> dict[str, Any]:
    """The difference of a member between trainings of the same seeds; of atoms, of the noise of repeating alone.

    Raises `BadInput` where they were tested on different molecules.
    """
    cards = [[_member_record(run, member) for run in pair] for pair in both]
    about = cards[0][0]
    if about["atoms"]:
        each = [ours["means"]["test"]["mae_sd"] - theirs["means"]["test"]["mae_sd"] for ours, theirs in cards]
        return {"metric": "MAE in sd", **estimate_difference(np.array(each), 0.0, len(each))}
    pairs = [tuple(prediction_matrix(run, member, about["tasks"]) for run in pair) for pair in both]
    labels = pairs[0][0][0]
    if any(not np.array_equal(labels, side[0], equal_nan=True) for pair in pairs for side in pair):
        raise BadInput(f"{member} was tested on different molecules; make the trainings again")
    ours, theirs = ([pair[side][1] for pair in pairs] for side in (0, 1))
    binary = [kind == "binary" for kind in about["kinds"]]
    metric = "1 − AUROC" if all(binary) else "MAE in sd, 1 − AUROC" if any(binary) else "MAE in sd"
    return {
        "metric": metric,
        **paired_difference_of_means(labels, ours, theirs, about["kinds"], np.array(about["deviation"])),
    }


def average_predictions(runs: list[MultitaskModel], member: str) -> dict[str, float] | None:
    """Test metrics of the mean of what several seeds predict of a member's molecules, over its tasks.

    None for one seed, and for a member of atoms, whose predictions are not kept.
    """
    about = _member_record(runs[0], member)
    if len(runs) < 2 or about["atoms"]:
        return None
    pairs = [prediction_matrix(run, member, about["tasks"]) for run in runs]
    labels, predicted = pairs[0][0], np.mean([pair[1] for pair in pairs], axis=0)
    found = mean_metrics(
        evaluate_tasks(labels, predicted, about["tasks"], about["kinds"], np.array(about["deviation"]))
    )
    return {metric.key: found[metric.key] for metric in averaged_metrics() if found.get(metric.key) is not None}


def _member_record(run: MultitaskModel, member: str) -> dict[str, Any]:
    return next(one for one in run.record["members"] if one["name"] == member)


def prediction_matrix(run: MultitaskModel, member: str, tasks: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions (n, t) of a member's test part, NaN where unmeasured; molecules with some label alone."""
    mine = run.predictions[(run.predictions["member"] == member) & (run.predictions["part"] == "test")]
    wide = [mine.pivot(index="row", columns="task", values=name)[tasks] for name in ("label", "prediction")]
    return tuple(one.to_numpy(float) for one in wide)


def summarize_differences(differences: list[dict[str, Any]]) -> str:
    """What the differences say, a sentence a control: the first tells learning together from training longer.

    Networks that say the same of every table are named together, without sizes.
    """
    said = []
    starts = list(dict.fromkeys(row["backbone"] for row in differences))
    for control in dict.fromkeys(row["against"] for row in differences):
        alike: dict[tuple[str, ...], list[str]] = {}
        for start in starts:
            mine = [row for row in differences if (row["backbone"], row["against"]) == (start, control)]
            alike.setdefault(tuple(row["verdict"] for row in mine), []).append(start)
        for like in alike.values():
            mine = [row for row in differences if (row["backbone"], row["against"]) == (like[0], control)]
            whose = " and ".join(one.removesuffix(" (random weights)") for one in like)
            if found := "; ".join(_describe_rows(mine, len(like) == 1)):
                with_ = f" with {whose}" if len(starts) > 1 else ""
                said.append(f"Against a table {control}{with_}, learning together {found}.")
    if any(row["verdict"].startswith("one seed") for row in differences):
        said.append("One seed tells nothing of the noise: repeat with three at least.")
    return " ".join(said)


def _describe_rows(rows: list[dict[str, Any]], sized: bool) -> list[str]:
    """`helps zinc (-0.09 MAE in sd)` and the like, by what is said of each table."""
    found = []
    for word, verb in (("better", "helps"), ("worse", "costs"), ("not distinguishable", "makes no difference to")):
        shown = sized and word in ("better", "worse")
        names = [
            row["member"] + (f" ({row['mean']:+.3g} {row['metric']})" if shown else "")
            for row in rows
            if row["verdict"] == word
        ]
        if names:
            found.append(f"{verb} {', '.join(names)}")
    return found
