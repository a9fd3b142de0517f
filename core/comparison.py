"""Arms side by side on the same test molecules, each difference beside its noise."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.metrics import LOWER_IS_BETTER, paired_difference


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a study found.

    `record`: arms with their metrics by seed, differences with intervals, the verdict, digests.
    `predictions`: a row a test molecule, arm and seed (arm, seed, row, smiles, label, prediction), label units.
    `picks`: a row a molecule that an arm took from the pool (arm, seed, smiles, label, planted where it is known).
    """

    record: dict[str, Any]
    predictions: pd.DataFrame
    picks: pd.DataFrame

    def summary(self) -> dict[str, Any]:
        return self.record

    def save(self, folder: Path) -> None:
        self.predictions.to_parquet(folder / "predictions.parquet")
        self.picks.to_parquet(folder / "picks.parquet")
        (folder / "record.json").write_text(json.dumps(self.record, indent=1))

    @classmethod
    def load(cls, folder: Path) -> "Comparison":
        predictions, picks = (pd.read_parquet(folder / f"{name}.parquet") for name in ("predictions", "picks"))
        return cls(json.loads((folder / "record.json").read_text()), predictions, picks)


def spread_of(values: list[float | None]) -> dict[str, Any]:
    """Mean and standard deviation over seeds, the values beside them; a seed without the metric counts as none."""
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if known else None
    deviation = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return {"mean": mean, "sd": deviation, "values": values}


def differences(
    labels: np.ndarray, predictions: dict[str, np.ndarray], references: tuple[str, ...], metric: str
) -> list[dict[str, Any]]:
    """Every arm against each reference: labels (n,), predictions `{arm: (s, n)}` of the same seeds and molecules."""
    found = []
    for reference in references:
        for arm, ours in predictions.items():
            if arm != reference and reference in predictions:
                difference = paired_difference(labels, ours, predictions[reference])
                found.append({"arm": arm, "against": reference, "metric": metric, **difference})
    return found


def verdict(arms: list[dict[str, Any]], found: list[dict[str, Any]], metric: str, unit: str) -> str:
    """Which rule came out best, and by how much beside the noise; then how the network stands to what has no say in it.

    The first arm is the reference. An arm's `role` is "selection" unless it says "baseline" or "control"; these stand
    against “none”, which has their training molecules, where it is among the arms.
    """
    assert metric in LOWER_IS_BETTER
    rules = {arm["name"]: arm for arm in arms if role_of(arm) == "selection"}
    others = [arm for arm in arms if role_of(arm) != "selection"]
    best, reference = min(rules.values(), key=lambda arm: arm[metric]["mean"]), next(iter(rules))
    of_the_rules = " of the rules" if others else ""
    sentence = f"“{best['name']}” has the lowest mean test error{of_the_rules} ({_size(best, metric, unit)})"
    if found and found[0]["repeats"] < 2:
        beside = "".join(f"; “{arm['name']}” has {_size(arm, metric, unit)}" for arm in others)
        return f"{sentence}{beside}; one seed says nothing about noise: add seeds before believing it."
    against = [row for row in found if row["against"] == reference and row["arm"] in rules]
    if best["name"] == reference:
        near = min(against, key=lambda row: row["mean"])
        sentence += f": no other arm beat it; the nearest, “{near['arm']}”, is {_difference(near)}."
    else:
        clauses = [_difference(row) for row in found if row["arm"] == best["name"]]
        sentence += f": {'; '.join(clauses)}."
    alike = "none" if "none" in rules else reference
    asides: dict[tuple[str, str], list[str]] = {}  # by role and verdict
    for arm in others:
        row = next(row for row in found if (row["arm"], row["against"]) == (arm["name"], alike))
        asides.setdefault((role_of(arm), row["verdict"]), []).append(f"“{row['arm']}” is {_difference(row)}")
    return " ".join(
        [sentence, *(f"{ASIDES[kind].format(_many(said))}: {'; '.join(said)}." for kind, said in asides.items())]
    )


def role_of(arm: dict[str, Any]) -> str:
    """What an arm is in a study: a rule of "selection", a "baseline" without a network, or the "control"."""
    return arm.get("role") or "selection"


ASIDES = {  # by role and the verdict on its arms
    ("baseline", "better"): "The network loses to {}",
    ("baseline", "not distinguishable"): "The network cannot be told from {}",
    ("baseline", "worse"): "The network beats {}",
    ("control", "better"): "Pre-training does harm",
    ("control", "not distinguishable"): "Pre-training does not beat random weights",
    ("control", "worse"): "Pre-training helps",
}


def _many(said: list[str]) -> str:
    return "a baseline" if len(said) == 1 else f"{len(said)} baselines"


def _size(arm: dict[str, Any], metric: str, unit: str) -> str:
    """`RMSE 0.812 ± 0.031 logS`; without a spread where there is none, or none is known."""
    noise = f" ± {arm[metric]['sd']:.3f}" if arm[metric]["sd"] else ""
    return f"{metric.upper()} {arm[metric]['mean']:.3f}{noise} {unit}".strip()


def _difference(row: dict[str, Any]) -> str:
    word = "from" if row["verdict"].startswith("not") else "than"
    size = f"{row['mean']:+.3f}, 95 % interval {row['low']:+.3f} to {row['high']:+.3f}".replace("-", "−")
    return f"{row['verdict']} {word} “{row['against']}” ({size})"
