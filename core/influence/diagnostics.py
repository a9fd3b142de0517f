"""How far scores can be believed: other dampings, whole steps with their intervals, training molecules left out."""

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

MAX_COMPARED = 1000  # molecules of a pool on which other dampings are compared
TOP_SHARE = 0.1  # share of a pool whose overlap is told


def damping_stability(
    record: dict[str, Any],
    others: "dict[str, torch.Tensor]",
    slopes: "DirectionalDerivative",
    predictor: "Predictor",
    pool: Dataset,
    table: pd.DataFrame,
    report: Report,
) -> dict[str, Any]:
    """Of other dampings Spearman's correlation with the scores, and the share of the best tenth that stays the best."""
    from core.influence.directional import DirectionalDerivative

    labelled = np.flatnonzero(table["delta_loss"].notna())
    rows = np.sort(np.random.default_rng(record["n_train"]).permutation(labelled)[:MAX_COMPARED])
    found: dict[str, Any] = {}
    if len(rows) < 3:
        return found
    own, sample = table["delta_loss"].to_numpy(float)[rows], pool.take(rows)
    length = sum(float(value.double().square().sum()) for value in slopes.direction.values()) ** 0.5
    for place, (name, vector) in enumerate(others.items()):
        size = slopes.size * length / float(vector.double().norm())
        part = report.part(place / len(others), (place + 1) / len(others))
        given = (sample, record["cells_train"], record["batch_size"], False, part)
        moved = score_rows(
            predictor, slopes.view, DirectionalDerivative(slopes.view, vector, size, slopes.route), *given
        )
        other = moved.table["delta_loss"].to_numpy(float)
        found[name] = {
            "spearman": spearman(own, other),
            "overlap": top_overlap(own, other, TOP_SHARE),
            "molecules": len(rows),
        }
    return found


def top_overlap(one: np.ndarray, other: np.ndarray, share: float) -> float:
    """Of the most helpful `share` by one ΔL, the part that is among the most helpful by another."""
    k = max(1, round(share * len(one)))
    return len(set(np.argsort(one, kind="stable")[:k]) & set(np.argsort(other, kind="stable")[:k])) / k


def linearized_arrays(
    held: dict[str, np.ndarray], parts: dict[str, OutputsAndLabels], record: dict[str, Any]
) -> dict[str, np.ndarray]:
    """What scores keep of the fit as a linear model (`Scores.tangent`), from what the solver told (`held`)."""
    found = {"pairs": held["pairs"].astype(np.float32)}
    for name in ("target", "pool"):
        found |= {f"{name}_outputs": parts[name].outputs, f"{name}_labels": parts[name].labels}
    if "reach" in held:
        binary = np.array([kind == "binary" for kind in record["kinds"]])
        found |= training_contributions(held["reach"], held["held"], parts["train"], binary, record["cells_train"])
    return found


def add_full_updates(
    table: pd.DataFrame, arrays: dict[str, np.ndarray], record: dict[str, Any], seed: int
) -> dict[str, float]:
    """Add whole steps, both intervals, leverages and information to the table.

    What is given back says how near the pairs come to the scores of the forward passes, and what the intervals say.
    """
    tangent = linearized_model(arrays, record)
    table["leverage"], table["information"] = tangent.leverages(), tangent.information()
    labelled = table["delta_loss"].notna().to_numpy()
    if not labelled.any():
        return {}
    ways = {"delta_loss": tangent.first_order_effects(), "whole_step": tangent.full_update_effects()}
    clear = {}
    for name, changes in ways.items():
        middle = record["unit_factor"] * changes.sum(1) / tangent.n_cells
        low, high = record["unit_factor"] * bootstrap_interval(changes, tangent, seed)
        if name == "whole_step":
            table[name] = np.where(labelled, middle, np.nan)
        else:
            own = table[name].to_numpy(float)[labelled]
            off = np.sqrt(np.mean((middle[labelled] - own) ** 2) / max(np.mean(own**2), 1e-300))
        table[f"{name}_low"], table[f"{name}_high"] = (np.where(labelled, end, np.nan) for end in (low, high))
        clear[name] = int(((low > 0) | (high < 0))[labelled].sum())
    one, other = (table[name].to_numpy(float)[labelled] for name in ways)
    return {"off": float(off), "spearman": spearman(one, other)} | {f"{name}_clear": n for name, n in clear.items()}


def add_leave_one_out(
    training: pd.DataFrame, leverage: "torch.Tensor | None", record: dict[str, Any], predictor: "Predictor"
) -> None:
    """Turn the score table of the training molecules into what taking one out would do.

    `removal` is the negative of ΔL. The residual of a model without molecule i is r / (1 − h) for squared errors (h its
    leverage; Cook & Weisberg 1982); of a logit f the output moves by h / (1 − h) · ℓ′ / ℓ″.
    """
    training["removal"] = -training["delta_loss"]
    training.drop(columns=["delta_loss", "benefit"], inplace=True)
    if leverage is None:
        return
    held = np.clip(leverage.double().cpu().numpy(), 0, 1 - 1e-6)
    for task, name in enumerate(record["tasks"]):
        end = "" if len(record["tasks"]) == 1 else f":{name}"
        h, residual = held[:, task], training[f"residual{end}"].to_numpy(float)
        training[f"leverage{end}"] = leverage.double().cpu().numpy()[:, task]
        if predictor.kinds[task] == "binary":
            chance = np.clip(training[f"prediction{end}"].to_numpy(float), 1e-9, 1 - 1e-9)
            logit = np.log(chance / (1 - chance)) + h / (1 - h) * residual / (chance * (1 - chance))
            left = 1 / (1 + np.exp(-np.clip(logit, -500, 500))) - training[f"label{end}"].to_numpy(float)
        else:
            left = residual / (1 - h)
        training[f"leave_one_out{end}"] = left


def training_contributions(
    reach: np.ndarray, leverage: np.ndarray, train: OutputsAndLabels, binary: np.ndarray, cells: int
) -> dict[str, np.ndarray]:
    """`training_contributions` (k, c): by how much a further cell's scaled output is higher for each training cell's being there.

    f − f₍₋ᵢ₎ = −J C⁻¹ ∇ℓᵢ / N / (1 − hᵢ), the whole step of taking one out; `made_of` (c,): its training molecule.
    """
    known = np.isfinite(leverage)
    molecule, task = np.nonzero(known)
    first, second = loss_derivatives(train.outputs[known], train.labels[known], binary[task])
    pull = first / np.sqrt(np.maximum(cells * second, 1e-300)) / (1 - np.clip(leverage[known], 0, 1 - 1e-6))
    return {"made_by": (-reach * pull).astype(np.float32), "made_of": molecule}
