"""One candidate: its score with interval, its effect on the validation set, and influential training molecules."""

import numpy as np
import pandas as pd
import streamlit as st

from core.data.dataset import Dataset
from core.engine.spec import Spec
from core.influence.linearized import effects_on_target
from core.results.scores import Scores
from pages.base.service import find_run, load_product
from pages.base.text import format_signed
from pages.widgets.molecules import show_cards, show_molecule
from pages.widgets.run_picker import Run, read_spec

MAX_SHOWN = 3  # molecules shown in each direction


def show_candidate(run: Run, scores: Scores, table: pd.DataFrame, row: int, unit: str, loss_unit: str) -> None:
    """One candidate: structure, score, interval, effects, influential training molecules."""
    one = {name: None if pd.isna(value) else value for name, value in table.iloc[row].to_dict().items()}
    if one["rank"] is None:
        one.pop("rank")
    spec = read_spec(run)
    train, pool = (find_table(spec, name) for name in ("train", "pool"))
    one["measured"] = measured_value(pool, row)
    one["change"] = rmse_change(scores, one["delta_loss"])
    show_molecule({**one, "of": int(table["delta_loss"].notna().sum())}, train, unit, loss_unit)
    show_intervals(scores, row)
    if scores.linearized:
        effects, reasons = st.tabs(["Effect on validation", "Training influence"])
        with effects:
            show_affected_molecules(scores, row, unit, loss_unit)
        with reasons:
            show_influential_training(scores, row, unit)


def find_table(spec: Spec | None, name: str) -> Dataset | None:
    """The pool that was scored, or the training set of the model, if the library still has it."""
    entry = find_run(spec.pool if name == "pool" else spec.fit) if spec is not None else None
    if entry is None:
        return None
    return load_product(entry) if name == "pool" else load_product(entry).table("train")


def measured_value(pool: Dataset | None, row: int) -> float | None:
    """The measured value of a molecule in a pool in which labels were swapped on purpose."""
    columns = pool.columns if pool is not None else {}
    measured = next((values for name, values in columns.items() if name.startswith("measured:")), None)
    return None if measured is None else float(measured[row])


def rmse_change(scores: Scores, delta_loss: float | None) -> str:
    """What ΔL comes to in per cent of the target's RMSE, for one regression task."""
    if delta_loss is None or "residual" not in scores.target or scores.record.get("kinds") != ["regression"]:
        return ""
    loss = float(np.nanmean(scores.target["residual"].to_numpy(float) ** 2))
    return f"RMSE {format_signed(100 * (max(1 + delta_loss / loss, 0.0) ** 0.5 - 1))} %" if loss > 0 else ""


def show_intervals(scores: Scores, row: int) -> None:
    """The 95 % interval of the score, and the effect of the full update."""
    one = scores.table.iloc[row]
    if "delta_loss_low" not in one or pd.isna(one["delta_loss"]):
        return
    noise = "validation molecules and training seeds" if "delta_loss_sd" in one else "validation molecules"
    st.markdown(f"95 % interval of ΔL over {noise}: {_between(one, 'delta_loss')}.")
    if "whole_step" in one:
        st.markdown(
            f"Full update (not linearised in the weight of the molecule): **{format_signed(one['whole_step'])}** "
            f"({_between(one, 'whole_step')})."
        )


def show_affected_molecules(scores: Scores, row: int, unit: str, loss_unit: str) -> None:
    """The validation molecules whose own loss the candidate would lower or raise most."""
    if not scores.linearized or pd.isna(scores.table["delta_loss"].iloc[row]):
        return
    effects = effects_on_target(scores.linearized, scores.record, row) * scores.record["unit_factor"]
    for words, sign in (("lowered", -1), ("raised", 1)):
        rows = _largest(sign * effects)
        if rows:
            st.caption(f"Validation molecules whose own loss is {words} most")
            affected = scores.target.iloc[rows].assign(delta_loss=effects[rows])
            names = [name for name in ("smiles", "label", "delta_loss") if name in affected]
            show_cards(affected[names], unit, loss_unit, "ms-three")


def show_influential_training(scores: Scores, row: int, unit: str) -> None:
    """The training molecules without which this prediction would differ most, where the dual solver gave them."""
    if "made_by" not in scores.linearized or len(scores.record["tasks"]) > 1 or "label" not in scores.training:
        return
    index = int((~np.isnan(scores.linearized["target_labels"])).sum()) + row
    effects = scores.linearized["made_by"][index] * scores.record["unit_factor"] ** 0.5
    for words, sign in (("raise", 1), ("lower", -1)):
        rows = _largest(sign * effects)
        if rows:
            st.caption(f"Training molecules that {words} this prediction most, compared with training without them")
            influential = scores.training.iloc[scores.linearized["made_of"][rows]]
            notes = [f"by {format_signed(effects[each])}" for each in rows]
            show_cards(influential[["smiles", "label"]].assign(note=notes), unit, style="ms-three")


def _largest(effects: np.ndarray) -> list[int]:
    """The rows of the largest positive effects."""
    return [row for row in np.argsort(-effects, kind="stable")[:MAX_SHOWN].tolist() if effects[row] > 0]


def _between(row: pd.Series, name: str) -> str:
    return f"{format_signed(row[f'{name}_low'])} to {format_signed(row[f'{name}_high'])}"
