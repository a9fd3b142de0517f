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
    """One sentence: which arm came out best, and by how much beside the noise; the first arm is the reference."""
    assert metric in LOWER_IS_BETTER
    best, reference = min(arms, key=lambda arm: arm[metric]["mean"]), arms[0]["name"]
    size = f"{metric.upper()} {best[metric]['mean']:.3f}"
    size += f" ± {best[metric]['sd']:.3f}" if best[metric]["sd"] is not None else ""
    sentence = f"“{best['name']}” has the lowest mean test error ({f'{size} {unit}'.strip()})"
    if found and found[0]["repeats"] < 2:
        return f"{sentence}; one seed says nothing about noise: add seeds before believing it."
    if best["name"] == reference:
        near = min((row for row in found if row["against"] == reference), key=lambda row: row["mean"])
        return f"{sentence}: no other arm beat it; the nearest, “{near['arm']}”, is {_difference(near)}."
    clauses = [_difference(row) for row in found if row["arm"] == best["name"]]
    return f"{sentence}: {'; '.join(clauses)}."


def _difference(row: dict[str, Any]) -> str:
    word = "from" if row["verdict"].startswith("not") else "than"
    size = f"{row['mean']:+.3f}, 95 % interval {row['low']:+.3f} to {row['high']:+.3f}".replace("-", "−")
    return f"{row['verdict']} {word} “{row['against']}” ({size})"
