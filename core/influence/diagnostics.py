"""Diagnostics of scores: other dampings, full updates with intervals, leave-one-out values of training molecules."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.data.dataset import Dataset
from core.engine.report import Report
from core.influence.linearized import OutputsAndLabels, bootstrap_interval, linearized_model, loss_derivatives
from core.influence.scoring import score_rows
from core.stats.metrics import spearman

if TYPE_CHECKING:
    import torch

    from core.influence.directional import DirectionalDerivative
    from core.models.predictor import Predictor

MAX_COMPARED = 1000  # pool molecules scored at other dampings
TOP_SHARE = 0.1  # share of the pool whose overlap is reported


def damping_stability(
    record: dict[str, Any],
    answers: "dict[str, torch.Tensor]",
    derivative: "DirectionalDerivative",
    predictor: "Predictor",
    pool: Dataset,
    table: pd.DataFrame,
    report: Report,
) -> dict[str, Any]:
    """Agreement with scores at other dampings: Spearman's correlation and the overlap of the best tenth, by name.

    `answers`: the solved vectors (d,) at those dampings; `derivative`: that of the scores, whose step is reused.
    """
    from core.influence.directional import DirectionalDerivative

    labelled = np.flatnonzero(table["delta_loss"].notna())
    rows = np.sort(np.random.default_rng(record["n_train"]).permutation(labelled)[:MAX_COMPARED])
    agreement: dict[str, Any] = {}
    if len(rows) < 3:
        return agreement
    scores, sample = table["delta_loss"].to_numpy(float)[rows], pool.take(rows)
    length = sum(float(value.double().square().sum()) for value in derivative.direction.values()) ** 0.5
    for index, (name, vector) in enumerate(answers.items()):
        size = derivative.size * length / float(vector.double().norm())
        part = report.part(index / len(answers), (index + 1) / len(answers))
        arguments = (sample, record["cells_train"], record["batch_size"], False, part)
        rescored = score_rows(
            predictor,
            derivative.view,
            DirectionalDerivative(derivative.view, vector, size, derivative.route),
            *arguments,
        )
        other_scores = rescored.table["delta_loss"].to_numpy(float)
        agreement[name] = {
            "spearman": spearman(scores, other_scores),
            "overlap": top_overlap(scores, other_scores, TOP_SHARE),
            "molecules": len(rows),
        }
    return agreement


def top_overlap(one: np.ndarray, other: np.ndarray, share: float) -> float:
    """Share of the most helpful `share` of molecules by one ΔL that is also among the most helpful by another."""
    k = max(1, round(share * len(one)))
    return len(set(np.argsort(one, kind="stable")[:k]) & set(np.argsort(other, kind="stable")[:k])) / k


def linearized_arrays(
    system: dict[str, np.ndarray], parts: dict[str, OutputsAndLabels], record: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Arrays of the linearised model that scores store (`Scores.tangent`), from the arrays of the solved `system`."""
    arrays = {"pairs": system["pairs"].astype(np.float32)}
    for name in ("target", "pool"):
        arrays |= {f"{name}_outputs": parts[name].outputs, f"{name}_labels": parts[name].labels}
    if "reach" in system:
        binary = np.array([kind == "binary" for kind in record["kinds"]])
        arrays |= training_contributions(system["reach"], system["held"], parts["train"], binary, record["cells_train"])
    return arrays


def add_full_updates(
    table: pd.DataFrame, arrays: dict[str, np.ndarray], record: dict[str, Any], seed: int
) -> dict[str, float]:
    """Add full updates (`whole_step`), intervals, leverages and information gain to the table, in place.

    Returns `off`, the relative rms difference of the scores by pairs and by forward passes; Spearman's correlation of
    first order and full update; and for both the number of 95 % intervals that exclude zero (`_clear`).
    """
    model = linearized_model(arrays, record)
    table["leverage"], table["information"] = model.leverages(), model.information()
    labelled = table["delta_loss"].notna().to_numpy()
    if not labelled.any():
        return {}
    effects = {"delta_loss": model.first_order_effects(), "whole_step": model.full_update_effects()}
    significant = {}
    for name, changes in effects.items():
        means = record["unit_factor"] * changes.sum(1) / model.n_cells
        low, high = record["unit_factor"] * bootstrap_interval(changes, model, seed)
        if name == "whole_step":
            table[name] = np.where(labelled, means, np.nan)
        else:
            scores = table[name].to_numpy(float)[labelled]
            relative_rmse = np.sqrt(np.mean((means[labelled] - scores) ** 2) / max(np.mean(scores**2), 1e-300))
        table[f"{name}_low"], table[f"{name}_high"] = (np.where(labelled, end, np.nan) for end in (low, high))
        significant[name] = int(((low > 0) | (high < 0))[labelled].sum())
    first_order, full = (table[name].to_numpy(float)[labelled] for name in effects)
    return {"off": float(relative_rmse), "spearman": spearman(first_order, full)} | {
        f"{name}_clear": n for name, n in significant.items()
    }


def add_leave_one_out(
    training: pd.DataFrame, leverage: "torch.Tensor | None", record: dict[str, Any], predictor: "Predictor"
) -> None:
    """Turn the score table of the training molecules into effects of removing each, in place.

    `removal` is −ΔL. The leave-one-out residual is r / (1 − h) for squared errors (h: leverage; Cook & Weisberg 1982);
    a logit f moves by h / (1 − h) · ℓ′ / ℓ″. Without `leverage` (n, t) only `removal` is added.
    """
    training["removal"] = -training["delta_loss"]
    training.drop(columns=["delta_loss", "benefit"], inplace=True)
    if leverage is None:
        return
    clipped = np.clip(leverage.double().cpu().numpy(), 0, 1 - 1e-6)
    for task, name in enumerate(record["tasks"]):
        suffix = "" if len(record["tasks"]) == 1 else f":{name}"
        h, residual = clipped[:, task], training[f"residual{suffix}"].to_numpy(float)
        training[f"leverage{suffix}"] = leverage.double().cpu().numpy()[:, task]
        if predictor.kinds[task] == "binary":
            chance = np.clip(training[f"prediction{suffix}"].to_numpy(float), 1e-9, 1 - 1e-9)
            logit = np.log(chance / (1 - chance)) + h / (1 - h) * residual / (chance * (1 - chance))
            left_out = 1 / (1 + np.exp(-np.clip(logit, -500, 500))) - training[f"label{suffix}"].to_numpy(float)
        else:
            left_out = residual / (1 - h)
        training[f"leave_one_out{suffix}"] = left_out


def training_contributions(
    cross_kernel: np.ndarray, leverage: np.ndarray, train: OutputsAndLabels, binary: np.ndarray, cells: int
) -> dict[str, np.ndarray]:
    """`made_by` (k, c): contribution of each training cell to the scaled output of each target and pool cell.

    f − f₍₋ᵢ₎ = −J C⁻¹ ∇ℓᵢ / N / (1 − hᵢ), by the full update of removing cell i; `made_of` (c,): its training molecule.
    `cross_kernel` (k, c): J C⁻¹ Jᵀ with the training cells, each times √(ℓ″ / N); `leverage` (n, t), NaN where unknown.
    """
    has_leverage = np.isfinite(leverage)
    molecule, task = np.nonzero(has_leverage)
    first, second = loss_derivatives(train.outputs[has_leverage], train.labels[has_leverage], binary[task])
    gradients = first / np.sqrt(np.maximum(cells * second, 1e-300)) / (1 - np.clip(leverage[has_leverage], 0, 1 - 1e-6))
    return {"made_by": (-cross_kernel * gradients).astype(np.float32), "made_of": molecule}
