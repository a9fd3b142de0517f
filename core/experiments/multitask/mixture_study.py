"""MixtureStudy: each table of a mixture trained alone and together with the others, with several seeds."""

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

Setting = tuple[str, str, str, int]  # backbone, arm, member ("": all members), seed


@settings
class MixtureStudy(Spec[MixtureComparison]):
    """Does training several tables together help each of them? Each table is also trained alone.

    Training together takes more steps than training one table, so there are two controls: a single table for as many
    optimiser steps as the mixture takes, and a single table for as many of its own molecules as the mixture sees. All
    use the same rows, and each table is evaluated on its own test set.
    """

    kind: ClassVar[str] = "mixture-study"
    page: ClassVar[str] = "multitask"
    tolerant: ClassVar[bool] = True
    effort: ClassVar[float] = 0.5

    multi: Spec[MultitaskModel] = Field(description="the training of all tables together")
    backbones: tuple[Annotated[Any, BACKBONES_OR_CHECKPOINTS], ...] = Field(
        default=(), description="initial backbones; empty: that of `multi`"
    )
    controls: tuple[Literal["steps", "molecules"], ...] = Field(
        default=("steps", "molecules"),
        description="what a single table has as much of as the mixture: optimiser steps, or its own molecules",
    )
    seeds: tuple[int, ...] = Field(
        default=(0, 1, 2),
        description="random seeds, one repeat of every training each; three at least to estimate the noise",
    )

    def __post_init__(self) -> None:
        if not isinstance(self.multi, Multitask) or len(self.multi.members) < 2:
            raise BadInput("`multi` wants a multitask spec with at least two members")
        if self.multi.steps is not None:
            raise BadInput("`multi` wants `epochs`, not `steps`: the length of the controls is counted in epochs")
        if "molecules" in self.controls and self.multi.mixing != "proportional":
            raise BadInput(
                f"the control “molecules” needs proportional mixing, the mixing is {self.multi.mixing!r}; use the "
                "control “steps” only"
            )
        for name, values in (("seeds", self.seeds), ("controls", self.controls)):
            if not values or len(set(values)) < len(values):
                raise BadInput(f"`{name}` wants different values, got {list(values)}")
        if len({start.called for start in self.starts}) < len(self.starts):
            raise BadInput("`backbones` wants models with different names")

    @property
    def title(self) -> str:
        names = ", ".join(start.called for start in self.starts)
        return f"{len(self.multi.members)} tables together and alone, {names}, {len(self.seeds)} seeds"

    @property
    def starts(self) -> tuple[Any, ...]:
        return self.backbones or (self.multi.backbone,)

    @property
    def runs(self) -> dict[Setting, Multitask]:
        """The trainings by backbone, arm, member ("": all members) and seed."""
        specs = {}
        for start in self.starts:
            multi = dataclasses.replace(self.multi, backbone=start)
            for seed in self.seeds:
                specs[start.called, MULTI, "", seed] = multi.with_seed(seed)
                for control in self.controls:
                    step_reference = self.multi.members if control == "steps" else ()
                    for member in self.multi.members:
                        single_table = dataclasses.replace(multi, members=(member,), step_reference=step_reference)
                        specs[start.called, ARMS[control], member.called, seed] = single_table.with_seed(seed)
        return specs

    def parts(self) -> dict[str, Any]:
        return {"trainings": tuple(self.runs.values())}

    def make(self, report: Report, trainings: tuple[MultitaskModel | FailedPart, ...]) -> MixtureComparison:
        runs = dict(zip(self.runs, trainings, strict=True))
        failed = [
            {"backbone": start, "arm": arm, "member": name, "seed": seed, "reason": run.reason}
            for (start, arm, name, seed), run in runs.items()
            if isinstance(run, FailedPart)
        ]
        models = {setting: run for setting, run in runs.items() if not isinstance(run, FailedPart)}
        if not any(arm == MULTI for _, arm, _, _ in models) or all(arm == MULTI for _, arm, _, _ in models):
            raise BadInput(f"nothing can be compared: {failed[0]['reason']}")
        rows, cards = [], []
        for (start, arm, _, seed), run in models.items():
            for card in run.record["members"]:
                identity = {"backbone": start, "arm": arm, "member": card["name"], "seed": seed}
                rows += [{**identity, "task": task, **values} for task, values in card["metrics"]["test"].items()]
                means = card["means"]["test"]
                cards.append({**identity, **{metric.key: means.get(metric.key) for metric in averaged_metrics()}})
        record = {
            "members": next(run for (_, arm, _, _), run in models.items() if arm == MULTI).record["members"],
            "means": summarize_cards(pd.DataFrame(cards), models),
            "costs": self.summarize_costs(models),
            "differences": self.estimate_differences(models, report),
            "failed": failed,
            "seeds": list(self.seeds),
            "published": published_results(
                [member.called for member in self.multi.members], [start.called for start in self.starts]
            ),
            "trunks": {
                ", ".join(filter(None, (start, arm, name, str(seed)))): self.runs[start, arm, name, seed].key
                for start, arm, name, seed in models
            },
        }
        record["verdict"] = summarize_differences(record["differences"])
        return MixtureComparison(pd.DataFrame(rows), record)

    def summarize_costs(self, models: dict[Setting, MultitaskModel]) -> list[dict[str, Any]]:
        """Weights, seconds, memory and steps of each arm; for single tables summed over the tables, except memory."""
        rows = []
        for start in dict.fromkeys(setting[0] for setting in models):
            for arm in dict.fromkeys(setting[1] for setting in models):
                records = [run.record for setting, run in models.items() if setting[:2] == (start, arm)]
                if records:
                    seeds = len({setting[3] for setting in models if setting[:2] == (start, arm)})
                    rows.append(
                        {
                            "backbone": start,
                            "arm": arm,
                            "parameters": sum(record["parameters"] for record in records) // seeds,
                            "seconds": sum(record["seconds"] for record in records) / seeds,
                            "peak_memory": max((record.get("peak_memory") or 0 for record in records), default=0)
                            or None,
                            "steps": sum(record["steps"] for record in records) // seeds,
                            "device": join_devices(records),
                        }
                    )
        return rows

    def estimate_differences(self, models: dict[Setting, MultitaskModel], report: Report) -> list[dict[str, Any]]:
        """Error together minus error alone for each backbone, member and control, with its interval."""
        rows = []
        comparisons = [
            (start.called, control, member)
            for start in self.starts
            for control in self.controls
            for member in self.multi.members
        ]
        for index, (start, control, member) in enumerate(comparisons):
            report(index / len(comparisons), f"comparing {member.called}, {start}")
            pairs = [
                (models[start, MULTI, "", seed], models[start, ARMS[control], member.called, seed])
                for seed in self.seeds
                if (start, MULTI, "", seed) in models and (start, ARMS[control], member.called, seed) in models
            ]
            if pairs:
                row = {"backbone": start, "member": member.called, "against": ARMS[control]}
                rows.append(row | summarize_table(member.called, pairs))
        return rows


def summarize_cards(cards: pd.DataFrame, models: dict[Setting, MultitaskModel]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds of each metric, and the metrics of the predictions averaged over seeds."""
    rows = []
    for (start, arm, name), group in cards.groupby(["backbone", "arm", "member"], sort=False):
        row = {"backbone": start, "arm": arm, "member": name}
        for key in (metric.key for metric in averaged_metrics()):
            if group[key].notna().any():
                row[key] = summarize_seeds([None if pd.isna(value) else float(value) for value in group[key]])
        runs = [models[start, arm, "" if arm == MULTI else name, seed] for seed in group["seed"]]
        rows.append(row | {"averaged": average_predictions(runs, name)})
    return rows


def summarize_table(member: str, model_pairs: list[tuple[MultitaskModel, MultitaskModel]]) -> dict[str, Any]:
    """The difference of a member's test error between trainings with the same seeds, with its interval.

    For a member of atoms the interval covers the noise of the seeds only. Raises `BadInput` if the trainings were
    tested on different molecules.
    """
    cards = [[_member_record(run, member) for run in pair] for pair in model_pairs]
    card = cards[0][0]
    if card["atoms"]:
        gaps = [ours["means"]["test"]["mae_sd"] - theirs["means"]["test"]["mae_sd"] for ours, theirs in cards]
        return {"metric": "MAE in sd", **estimate_difference(np.array(gaps), 0.0, len(gaps))}
    pairs = [tuple(prediction_matrix(run, member, card["tasks"]) for run in pair) for pair in model_pairs]
    labels = pairs[0][0][0]
    if any(not np.array_equal(labels, side[0], equal_nan=True) for pair in pairs for side in pair):
        raise BadInput(f"{member} was tested on different molecules; delete the trainings and make them again")
    ours, theirs = ([pair[side][1] for pair in pairs] for side in (0, 1))
    binary = [kind == "binary" for kind in card["kinds"]]
    metric = "1 − AUROC" if all(binary) else "MAE in sd, 1 − AUROC" if any(binary) else "MAE in sd"
    return {
        "metric": metric,
        **paired_difference_of_means(labels, ours, theirs, card["kinds"], np.array(card["deviation"])),
    }


def average_predictions(runs: list[MultitaskModel], member: str) -> dict[str, float] | None:
    """Test metrics of the predictions averaged over seeds, as means over the member's tasks.

    None for one seed, and for a member of atoms, whose predictions are not stored.
    """
    card = _member_record(runs[0], member)
    if len(runs) < 2 or card["atoms"]:
        return None
    pairs = [prediction_matrix(run, member, card["tasks"]) for run in runs]
    labels, predictions = pairs[0][0], np.mean([pair[1] for pair in pairs], axis=0)
    metrics = mean_metrics(
        evaluate_tasks(labels, predictions, card["tasks"], card["kinds"], np.array(card["deviation"]))
    )
    return {metric.key: metrics[metric.key] for metric in averaged_metrics() if metrics.get(metric.key) is not None}


def _member_record(run: MultitaskModel, member: str) -> dict[str, Any]:
    return next(record for record in run.record["members"] if record["name"] == member)


def prediction_matrix(run: MultitaskModel, member: str, tasks: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions (n, t) of a member's test set, NaN where unmeasured; molecules with at least one label."""
    rows = run.predictions[(run.predictions["member"] == member) & (run.predictions["part"] == "test")]
    tables = [rows.pivot(index="row", columns="task", values=name)[tasks] for name in ("label", "prediction")]
    return tuple(table.to_numpy(float) for table in tables)


def summarize_differences(differences: list[dict[str, Any]]) -> str:
    """One sentence per control; “as many steps” separates training together from training longer.

    Networks with the same verdict on every table are named together, without sizes.
    """
    sentences = []
    starts = list(dict.fromkeys(row["backbone"] for row in differences))
    for control in dict.fromkeys(row["against"] for row in differences):
        starts_by_verdicts: dict[tuple[str, ...], list[str]] = {}
        for start in starts:
            rows = [row for row in differences if (row["backbone"], row["against"]) == (start, control)]
            starts_by_verdicts.setdefault(tuple(row["verdict"] for row in rows), []).append(start)
        for agreeing in starts_by_verdicts.values():
            rows = [row for row in differences if (row["backbone"], row["against"]) == (agreeing[0], control)]
            networks = " and ".join(name.removesuffix(" (random weights)") for name in agreeing)
            if clauses := "; ".join(_describe_rows(rows, len(agreeing) == 1)):
                with_ = f" with {networks}" if len(starts) > 1 else ""
                sentences.append(f"Against a table {control}{with_}, training together {clauses}.")
    if any(row["verdict"].startswith("one seed") for row in differences):
        sentences.append("One seed gives no estimate of the noise: repeat with at least three.")
    return " ".join(sentences)


def _describe_rows(rows: list[dict[str, Any]], sized: bool) -> list[str]:
    """Clauses such as `helps zinc (-0.09 MAE in sd)`, one for each verdict."""
    clauses = []
    for word, verb in (("better", "helps"), ("worse", "costs"), ("not distinguishable", "makes no difference to")):
        with_size = sized and word in ("better", "worse")
        names = [
            row["member"] + (f" ({row['mean']:+.3g} {row['metric']})" if with_size else "")
            for row in rows
            if row["verdict"] == word
        ]
        if names:
            clauses.append(f"{verb} {', '.join(names)}")
    return clauses
