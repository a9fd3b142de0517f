"""Comparison of arms on the same test molecules; each difference has an interval."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from core.engine.spec import BadInput
from core.results.fit import Fit
from core.stats.differences import paired_difference
from core.stats.formatting import format_with_sd
from core.stats.metrics import COMPARED, find_metric, metric_name, metrics_of, unrecorded_metrics

NUMBER = re.compile(r"-?\d(?:[\d,]*\d)?(?:\.\d+)?")


@dataclass(frozen=True, eq=False)
class Comparison:
    """The result of a study.

    `record`: arms with their metrics by seed, differences with intervals, the verdict, digests.
    `predictions`: one row per test molecule, arm and seed (arm, seed, row, smiles, label, prediction), label units.
    `picks`: one row per molecule that an arm selected from the pool (arm, seed, smiles, label, mislabelled if known).
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("arms",)

    record: dict[str, Any]
    predictions: pd.DataFrame
    picks: pd.DataFrame

    def summary(self) -> dict[str, Any]:
        return self.record

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        """The arm with the lowest mean error."""
        arms = [arm for arm in summary["arms"] if arm.get("rmse")]
        if not arms:
            return ""
        best = min(arms, key=lambda arm: arm["rmse"]["mean"])
        metric = metric_name("rmse", summary.get("task_kind", "regression"))
        return f"best arm: {best['name']}, {metric} {format_with_sd(best['rmse']['mean'], best['rmse']['sd'])}"

    def save(self, folder: Path) -> None:
        self.predictions.to_parquet(folder / "predictions.parquet")
        self.picks.to_parquet(folder / "picks.parquet")
        (folder / "record.json").write_text(json.dumps(self.record, indent=1))

    @classmethod
    def load(cls, folder: Path) -> "Comparison":
        predictions, picks = (pd.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "picks"))
        return cls(json.loads((folder / "record.json").read_text()), predictions, picks)


def summarize_seeds(values: list[float | None]) -> dict[str, Any]:
    """Mean, standard deviation and values over seeds; seeds without the metric (None) are left out of the former."""
    defined = [value for value in values if value is not None]
    mean = float(np.mean(defined)) if defined else None
    deviation = float(np.std(defined, ddof=1)) if len(defined) > 1 else None
    return {"mean": mean, "sd": deviation, "values": values}


def mean_and_sd(card: Mapping[str, Any] | None) -> tuple[float | None, float | None]:
    """Mean and standard deviation of a metric or cost; None for an arm that was stored without it."""
    return (card["mean"], card["sd"]) if card else (None, None)


PICK_COLUMNS = ("arm", "seed", "smiles", "label", "mislabelled")  # columns of `Comparison.picks`
COST_FIELDS = ("seconds", "seconds_to_best", "seconds_per_epoch", "peak_memory", "energy")  # summarised over seeds
SIZE_FIELDS = (  # the same for every seed
    *("trainable", "parameters", "trainable_share", "trainable_bytes"),
    *("backbone_trainable", "backbone_parameters"),
)


def compare_arms(
    roles: Mapping[str, str],
    fits: Sequence[Sequence[Fit | None]],
    keys: Sequence[Sequence[str]],
    seeds: Sequence[int],
    references: Sequence[str],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The record and the predictions of arms, for the first task.

    `roles`: the role of each arm, by name; `fits` and their `keys`: for each arm (s,), None for a failed seed.
    Differences are of the root mean square error (of probabilities for a binary task: the root Brier score), over the
    seeds that both arms have. Raises `BadInput` if arms were tested on different molecules.
    """
    trained = {arm: [fit for fit in arm_fits if fit is not None] for arm, arm_fits in zip(roles, fits, strict=True)}
    digests = {fit.record["digests"]["test"] for arm_fits in trained.values() for fit in arm_fits}
    if len(digests) != 1:
        raise BadInput(
            f"the arms were tested on different molecules (digests {', '.join(sorted(digests))}); "
            "run them again on one test set"
        )
    first = next(arm_fits[0] for arm_fits in trained.values() if arm_fits)
    task, kind, unit = first.tasks[0], first.record["kinds"][0], first.record["unit"][0]
    labels, _, smiles = first.matrices("test")
    predictions = {
        arm: {seed: fit.matrices("test")[1][:, 0] for seed, fit in zip(seeds, arm_fits, strict=True) if fit is not None}
        for arm, arm_fits in zip(roles, fits, strict=True)
    }
    arms = [
        {
            "name": arm,
            "role": role,
            "fits": list(arm_keys),
            **_summarize_arm(arm_fits, list(seeds), task, kind, labels[:, 0]),
        }
        for (arm, role), arm_fits, arm_keys in zip(roles.items(), fits, keys, strict=True)
        if trained[arm]
    ]
    record = {
        "arms": arms,
        "reference": references[0],
        "differences": compute_differences(labels[:, 0], predictions, references, COMPARED),
        "task": task,
        "task_kind": kind,
        "metric": metric_name(COMPARED, kind),
        "unit": unit,
        "n_test": len(labels),
        "test_digest": digests.pop(),
        "backbone": first.record["backbone"],
        "device": join_devices([fit.record for arm_fits in trained.values() for fit in arm_fits]),
    }
    rows = [
        pd.DataFrame(
            {
                "arm": arm,
                "seed": seed,
                "row": np.arange(len(labels)),
                "smiles": smiles,
                "label": labels[:, 0],
                "prediction": values,
            }
        )
        for arm, by_seed in predictions.items()
        for seed, values in by_seed.items()
    ]
    return record, pd.concat(rows, ignore_index=True)


def join_devices(records: Sequence[Mapping[str, Any]]) -> str:
    """The devices of these runs, "NVIDIA H100 and x86_64": a study may use several machines."""
    return " and ".join(sorted({record["device"] for record in records if record.get("device")}))


def _summarize_arm(
    fits: Sequence[Fit | None], seeds: list[int], task: str, kind: str, labels: np.ndarray
) -> dict[str, Any]:
    """Metrics and costs of one arm by seed, and its sizes."""
    records = [None if fit is None else fit.record for fit in fits]
    cards = [None if fit is None else fit.metrics["test"][task] for fit in fits]
    first = next(record for record in records if record is not None)

    def collect(name: str, entries: Sequence[dict[str, Any] | None]) -> list[Any]:
        return [None if entry is None else entry.get(name) for entry in entries]

    summary = {metric.key: summarize_seeds(collect(metric.key, cards)) for metric in metrics_of(kind)}
    measured = ~np.isnan(labels)
    predictions = [None if fit is None else fit.matrices("test")[1][measured, 0] for fit in fits]
    for metric in unrecorded_metrics(kind):
        values = [None if one is None else metric.value(labels[measured], one) for one in predictions]
        summary[metric.key] = summarize_seeds(values)
    return {
        "seeds": seeds,
        "features": first.get("features"),
        "n_train": [None if record is None else record["rows"]["train"] for record in records],
        "steps": collect("steps", records),
        "learning_rate": first.get("learning_rate"),
        **{name: summarize_seeds(collect(name, records)) for name in COST_FIELDS},
        **{name: first.get(name) for name in SIZE_FIELDS},
        **summary,
    }


def compute_differences(
    labels: np.ndarray, predictions: Mapping[str, Mapping[int, np.ndarray]], references: Sequence[str], metric: str
) -> list[dict[str, Any]]:
    """Every arm against each reference over shared seeds; labels (n,), predictions `{arm: {seed: (n,)}}`."""
    differences = []
    for reference in references:
        for arm, ours in predictions.items():
            theirs = predictions.get(reference, {})
            shared = [seed for seed in ours if seed in theirs]
            if arm != reference and shared:
                values, reference_values = (np.stack([side[seed] for seed in shared]) for side in (ours, theirs))
                differences.append(
                    {
                        "arm": arm,
                        "against": reference,
                        "metric": metric,
                        **paired_difference(labels, values, reference_values),
                    }
                )
    return differences


def collect_warnings(roles: Mapping[str, str], fits: Sequence[Sequence[Fit | None]]) -> list[str]:
    """Warnings of the fits without duplicates; with the names of the arms unless all networks gave it.

    Warnings that differ only in their numbers are merged, with the range of each number.
    """
    networks = {arm for arm, role in roles.items() if role != "baseline"}
    warnings: dict[str, dict[str, list[str]]] = {}  # warning without its numbers → warning → arms
    for arm, arm_fits in zip(roles, fits, strict=True):
        for warning in dict.fromkeys(w for fit in arm_fits if fit is not None for w in fit.record["warnings"]):
            warnings.setdefault(NUMBER.sub("#", warning), {}).setdefault(warning, []).append(arm)
    sentences = []
    for variants in warnings.values():
        arms = [arm for arm in roles if any(arm in names for names in variants.values())]
        sentence = _merge_seed_sentences(list(variants))
        sentences.append(sentence if networks <= set(arms) else f"{_list_arms(arms)}: {sentence}")
    return sentences


def _list_arms(arms: Sequence[str]) -> str:
    """Names of arms; more than five are shortened to four and a count."""
    text = ", ".join(f"“{arm}”" for arm in (arms if len(arms) <= 5 else arms[:4]))
    return text if len(arms) <= 5 else f"{text} and {len(arms) - 4} more"


def _merge_seed_sentences(sentences: Sequence[str]) -> str:
    """One sentence for several that differ only in their numbers: each number becomes a range."""
    pieces, numbers = NUMBER.split(sentences[0]), [NUMBER.findall(one) for one in sentences]
    ranges = []
    for values in zip(*numbers, strict=True):
        ordered = sorted(set(values), key=lambda text: float(text.replace(",", "")))
        ranges.append(ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}")
    return "".join(piece + number for piece, number in zip(pieces, [*ranges, ""], strict=True))


def describe_unequal_work(roles: Mapping[str, str], fits: Sequence[Sequence[Fit | None]]) -> list[str]:
    """A warning if the networks were trained for different numbers of steps, otherwise []."""
    networks = [arm_fits for (_, role), arm_fits in zip(roles.items(), fits, strict=True) if role != "baseline"]
    steps = {fit.record["steps"] for arm_fits in networks for fit in arm_fits if fit is not None}
    if len(steps) < 2:
        return []
    least, most = min(steps), max(steps)
    return [f"arms took unequal work ({least:,} to {most:,} steps); give the fit `steps` for equal work"]


def write_verdict(
    arms: list[dict[str, Any]],
    differences: list[dict[str, Any]],
    metric: str,
    unit: str,
    noun: str = "selection strategies",
    kind: str = "regression",
) -> str:
    """The best arm with its differences and intervals, then the network against baselines and controls, as a sentence.

    The first arm is the reference; `kind` is that of the task; `noun` names the compared arms. An arm's `role` is
    "selection", "baseline" or "control". The latter two are compared with “none” if there is such an arm, because it
    has the same training molecules.
    """
    assert find_metric(metric, kind).lower_is_better
    strategies = {arm["name"]: arm for arm in arms if role_of(arm) == "selection"}
    others = [arm for arm in arms if role_of(arm) != "selection"]
    best, reference = min(strategies.values(), key=lambda arm: arm[metric]["mean"]), next(iter(strategies))
    group = f" of the {noun}" if others else ""
    sentence = f"“{best['name']}” has the lowest mean test error{group} ({_format_mean(best, metric, unit, kind)})"
    if len(strategies) == 1:
        sentence = f"“{best['name']}” has a mean test error of {_format_mean(best, metric, unit, kind)}"
    if differences and differences[0]["repeats"] < 2:
        others_text = "".join(f"; “{arm['name']}” has {_format_mean(arm, metric, unit, kind)}" for arm in others)
        return f"{sentence}{others_text}; one seed says nothing about noise: add seeds before drawing conclusions."
    against = [row for row in differences if row["against"] == reference and row["arm"] in strategies]
    best_clauses = [_describe_difference(row) for row in differences if row["arm"] == best["name"]]
    if best["name"] == reference and against:
        nearest = min(against, key=lambda row: row["mean"])
        sentence += f": no other arm is better; the closest, “{nearest['arm']}”, is {_describe_difference(nearest)}"
    elif best_clauses and best["name"] != reference:
        sentence += f": {'; '.join(best_clauses)}"
    sentence += "."
    opponent = "none" if "none" in strategies else reference
    clauses: dict[tuple[str, str], list[str]] = {}  # by role and verdict
    for arm in others:
        row = next((row for row in differences if (row["arm"], row["against"]) == (arm["name"], opponent)), None)
        if row is None:  # no seed of both was made
            continue
        clauses.setdefault((role_of(arm), row["verdict"]), []).append(f"“{row['arm']}” is {_describe_difference(row)}")
    return " ".join(
        [
            sentence,
            *(f"{ASIDES[key].format(_count_baselines(texts))}: {'; '.join(texts)}." for key, texts in clauses.items()),
        ]
    )


def role_of(arm: dict[str, Any]) -> str:
    """The role of an arm: "selection", "baseline" (no network) or "control"."""
    return arm.get("role") or "selection"


ASIDES = {  # by role and the verdict on its arms
    ("baseline", "better"): "The network loses to {}",
    ("baseline", "not distinguishable"): "The network is not distinguishable from {}",
    ("baseline", "worse"): "The network beats {}",
    ("control", "better"): "Pre-training increases the error",
    ("control", "not distinguishable"): "Pre-training does not beat random weights",
    ("control", "worse"): "Pre-training helps",
}


def _count_baselines(clauses: list[str]) -> str:
    return "a baseline" if len(clauses) == 1 else f"{len(clauses)} baselines"


def _format_mean(arm: dict[str, Any], metric: str, unit: str, kind: str) -> str:
    """`RMSE 0.812 ± 0.031 logS`; without ± if the standard deviation is zero or unknown."""
    noise = f" ± {arm[metric]['sd']:.3f}" if arm[metric]["sd"] else ""
    return f"{metric_name(metric, kind)} {arm[metric]['mean']:.3f}{noise} {unit}".strip()


def _describe_difference(row: dict[str, Any]) -> str:
    word = "from" if row["verdict"].startswith("not") else "than"
    size = f"{row['mean']:+.3f}, 95 % interval {row['low']:+.3f} to {row['high']:+.3f}".replace("-", "−")
    return f"{row['verdict']} {word} “{row['against']}” ({size})"
