"""Scores: for each molecule of a pool, the predicted change of the target loss if it is added to the training set.

Negative helps; `benefit` is its negative. The raw Koh–Liang influence is stored as well.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from core.engine.spec import BadInput
from core.stats.bootstrap import compute_auroc_interval

CONVENTION = (
    "influence = −∇L_targetᵀ C⁻¹ ∇ℓ(z) (Koh & Liang 2017, I_up,loss): positive means that more weight on the molecule "
    "raises the target loss. delta_loss = influence / measured training cells: the predicted change of the target loss "
    "if the molecule is added once; negative helps. benefit = −delta_loss. The target loss of a class is taken at the "
    "temperature (at least 1) that fits the target best. prediction: the raw output of the network, as used in the "
    "loss, not clipped to the range of the training labels. residual = prediction − label. slope = change of the "
    "prediction (of the logit, for a binary task) along C⁻¹∇L_target."
)


@dataclass(frozen=True, eq=False)
class Scores:
    """Predicted effects of pool molecules on the target loss.

    `table`: one row per molecule in pool order: smiles, label, prediction, residual, slope (label units; with several
    tasks `label:<task>` and so on), influence, delta_loss, benefit, and `mislabelled` if the pool has it. A molecule
    without a label has NaN scores. If the linearised model was computed (`core.influence.linearized`) also
    `delta_loss_low` and `_high`, the full update `whole_step`, its `_low` and `_high`, and, with or without a label,
    `leverage` and `information`.
    `vector` (d,): C⁻¹∇L_target, which scores any further molecule. `last_layer`: inputs of the last layer and scaled
    labels of train, target and pool (see `core.influence.ridge`); empty for a very large pool.
    `training`: the training molecules: smiles, label, prediction, residual, `removal` (predicted change of the target
    loss if the molecule is removed) and, with the dual solver, `leverage` and `leave_one_out` (residual of the model
    without the molecule, from its leverage). `target`: smiles, label, prediction, residual of the target molecules.
    `linearized`: data for full updates: `pairs`, the kernel between cells of target and pool, their scaled outputs and
    labels; `made_by`, the contribution of each training cell to these cells, and `made_of`, the molecule of each
    training cell.
    `record`: units and signs in words, curvature, damping, solver and its convergence, checks, digests, warnings,
    detection.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("helpful", "harmful")

    table: pd.DataFrame
    vector: np.ndarray
    last_layer: dict[str, np.ndarray] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    training: pd.DataFrame = field(default_factory=pd.DataFrame)
    target: pd.DataFrame = field(default_factory=pd.DataFrame)
    linearized: dict[str, np.ndarray] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """The record with counts, quantiles, and the most helpful and most harmful molecules."""
        delta = self.table["delta_loss"].to_numpy()
        scored = delta[~np.isnan(delta)]
        order = [row for row in np.argsort(delta, kind="stable") if not np.isnan(delta[row])]
        rankings = {"most_helpful": order[:5], "most_harmful": order[::-1][:5]}
        summary: dict[str, Any] = {
            "rows": len(delta),
            "scored": len(scored),
            "helpful": int((scored < 0).sum()),
            "harmful": int((scored > 0).sum()),
        }
        if len(scored):
            shares = (0.05, 0.25, 0.5, 0.75, 0.95)
            summary["quantiles"] = {f"{share:g}": float(np.quantile(scored, share)) for share in shares}
        names = self.table["smiles"]
        for name, rows in rankings.items():
            summary[name] = [
                {"row": int(row), "smiles": names.iloc[row], "delta_loss": float(delta[row])} for row in rows
            ]
        return {**self.record, **summary}

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        solved = "" if summary.get("converged", True) else ", not converged"
        return f"{summary['helpful']:,} help, {summary['harmful']:,} harm{solved}"

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        self.table.to_parquet(folder / "scores.parquet")
        self.training.to_parquet(folder / "training.parquet")
        self.target.to_parquet(folder / "target.parquet")
        arrays = {f"last_layer.{name}": value for name, value in self.last_layer.items()} | {"vector": self.vector}
        arrays |= {f"linearized.{name}": value for name, value in self.linearized.items()}
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / "arrays.safetensors")
        text = json.dumps(self.record, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "record.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Scores":
        from safetensors.numpy import load_file

        arrays = load_file(folder / "arrays.safetensors")

        def under(name: str) -> dict[str, np.ndarray]:
            return {
                full.removeprefix(f"{name}."): value for full, value in arrays.items() if full.startswith(f"{name}.")
            }

        return cls(
            table=pd.read_parquet(folder / "scores.parquet"),
            vector=arrays["vector"],
            last_layer=under("last_layer"),
            linearized=under("linearized"),
            training=pd.read_parquet(folder / "training.parquet"),
            target=pd.read_parquet(folder / "target.parquet"),
            record=json.loads((folder / "record.json").read_text(encoding="utf-8")),
        )


def build_score_columns(
    labels: np.ndarray,
    predictions: np.ndarray,
    slopes: np.ndarray,
    tasks: Sequence[str],
    kinds: Sequence[str],
    spread: np.ndarray,
    cells: int,
) -> pd.DataFrame:
    """Columns of a score table from labels, predictions and slopes (n, t), in label units (slopes of logits if binary).

    The loss is r² / spread² of a regression cell, cross-entropy of a binary one, so that influence is −Σ ℓ′ · slope
    over a molecule's measured cells; of a single regression task it is times spread², in label units².
    """
    residuals = predictions - labels
    binary = np.array([kind == "binary" for kind in kinds])
    derivatives = np.where(binary, residuals, 2 * residuals / spread**2) * slopes
    measured = ~np.isnan(labels)
    influence = np.where(measured.any(1), -np.where(measured, derivatives, 0).sum(1), np.nan) * unit_factor(
        kinds, spread
    )
    columns: dict[str, np.ndarray] = {}
    for task, name in enumerate(tasks):
        end = "" if len(tasks) == 1 else f":{name}"
        values = {"label": labels, "prediction": predictions, "residual": residuals, "slope": slopes}
        columns |= {f"{what}{end}": value[:, task] for what, value in values.items()}
    columns |= {"influence": influence, "delta_loss": influence / cells, "benefit": -influence / cells}
    return pd.DataFrame(columns)


def unit_factor(kinds: Sequence[str], spread: np.ndarray) -> float:
    """Label units² per unit of the scaled loss for a single regression task, otherwise 1."""
    return float(spread[0] ** 2) if tuple(kinds) == ("regression",) else 1.0


def describe_unit(kinds: Sequence[str], units: Sequence[str]) -> str:
    """The unit of influence and delta_loss in words."""
    if tuple(kinds) == ("regression",):
        return f"({units[0]})²" if units[0] else "label units²"
    if set(kinds) == {"regression"}:
        return "mean over cells of squared errors, each in units of its task's spread"
    return "nat (cross-entropy)" if set(kinds) == {"binary"} else "mean over cells of scaled squared error or nat"


def evaluate_detection(table: pd.DataFrame, seed: int = 0) -> dict[str, dict[str, float]]:
    """How well several rankings find labels that are wrong on purpose: AUROC with its bootstrap interval.

    `delta_loss`, `whole_step` (the full update): most harmful first; `residual`: largest |residual| first (root mean
    square over a molecule's tasks, each in units of its residuals' standard deviation). Molecules without a label are
    left out. Empty without the column `mislabelled`.
    """
    if "mislabelled" not in table:
        return {}
    residuals = table[[name for name in table if name.split(":")[0] == "residual"]].to_numpy(float)
    scored = ~np.isnan(residuals).all(1) & ~np.isnan(table["delta_loss"].to_numpy(float))
    residuals = residuals[scored] / np.maximum(np.nanstd(residuals, axis=0), 1e-300)
    residual_size = np.sqrt(np.nanmean(residuals**2, axis=1))
    rankings = {name: table[name].to_numpy(float)[scored] for name in ("delta_loss", "whole_step") if name in table}
    rankings["residual"] = residual_size
    flags = table["mislabelled"].to_numpy(bool)[scored]
    intervals = {name: compute_auroc_interval(flags, score, seed) for name, score in rankings.items()}
    return {
        name: {"auroc": value[0], "low": value[1], "high": value[2]}
        for name, value in intervals.items()
        if value is not None
    }


def read_benefits(scores: Scores) -> np.ndarray:
    """`benefit` (n,) for ranking. Raises `BadInput` if some are not finite or all are equal."""
    values = scores.table["benefit"].to_numpy(float)
    missing = int((~np.isfinite(values)).sum())
    if missing:
        raise BadInput(
            f"{missing} of {len(values)} scores are not finite; remove molecules without a label, or select by "
            "expected information (informative)"
        )
    if len(values) > 1 and np.ptp(values) == 0:
        raise BadInput(f"all {len(values)} scores are {values[0]:g}, which gives no ranking; score with another scope")
    return values
