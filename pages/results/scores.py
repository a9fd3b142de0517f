"""Scores on a page: how they lie, which molecules stand out, and one molecule closely."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.data.dataset import binary
from core.figures import base as figures
from core.figures import labels as label_figures
from core.results.scores import Scores
from pages.base.service import product
from pages.base.text import plain
from pages.results.label_errors import left_out
from pages.results.score_diagnostics import (
    against_others,
    as_the_report_did,
    believed,
    beside_target,
    closer,
    likely,
    owed,
)
from pages.results.score_validation import verified
from pages.widgets.frame import as_csv, command, exports, notes
from pages.widgets.molecules import cards, closely, pictures
from pages.widgets.run_picker import Run, entry_of, readable

MOST_ROWS = 400  # of the ranked table: half from either end


def scores_result(run: Run) -> None:
    """Everything finished scores show."""
    scores = product(run.entry)
    table, record = ranked(scores), scores.record
    unit, loss_unit = (record.get("label_unit") or [""])[0], str(record.get("unit", ""))
    known = table["delta_loss"].dropna()
    if not len(known):
        unlabelled(run, scores, table, unit)
        return
    helps, harms = int((known < 0).sum()), int((known > 0).sum())
    st.markdown(
        f":blue[**{helps:,} molecules help**] (ΔL below zero: adding one is predicted to lower the loss on the "
        f"validation part) and :orange[**{harms:,} harm**] (ΔL above zero). ΔL is in "
        f"{plain(loss_unit) or 'units of the loss'}; it is a prediction to first order, for one molecule at a time: "
        "the proof is to train again (Compare)."
    )
    as_the_report_did(record)
    verified(run)
    believed(scores)
    if not record.get("converged", True) and (record.get("solver") or {}).get("kind") != "identity":
        st.error(
            f"The solver did not converge (relative residual {record.get('residual', float('nan')):.1e}). "
            "Raise the damping or the steps before reading these scores.",
            icon=":material/error:",
        )
    notes(record.get("warnings", []))
    planted = table["planted"].to_numpy(bool) if "planted" in table else None
    band = (
        float((table["delta_loss_high"] - table["delta_loss_low"]).median() / 2) if "delta_loss_low" in table else 0.0
    )
    figure = figures.score_distribution(table["delta_loss"].to_numpy(), loss_unit, planted, band)
    st.plotly_chart(
        figure, key=f"dist-{run.key}", config=figures.CONFIG, alt="Distribution of scores, helpful and harmful"
    )
    if band:
        st.caption("The grey band: half the typical 95 % interval either side of zero. What lies in it may be nothing.")
    detection(record)
    explore(run, scores, table, unit, loss_unit)
    st.subheader("Most helpful", anchor=False)
    order = table.sort_values("rank")
    cards(order.head(6), unit, loss_unit)
    st.subheader("Most harmful", anchor=False)
    cards(order[order["delta_loss"].notna()].tail(6).iloc[::-1], unit, loss_unit)
    left_out(scores, unit)
    closer(run, scores)
    against_others(run, scores)
    solved(run, record)
    heading = f"{record.get('convention', '')}\nunit of delta_loss: {loss_unit}\nrun {run.key}"
    tables = {"scores": lambda: as_csv(scores.table, heading)}
    if "leave_one_out" in scores.training:
        tables["training molecules"] = lambda: as_csv(scores.training, heading)
    exports(f"scores-{run.key}", run.entry.summary, tables, run.key)
    if (spec := readable(run)) is not None:
        command(spec)


def unlabelled(run: Run, scores: Scores, table: pd.DataFrame, unit: str) -> None:
    """A pool that nobody has measured: what measuring each molecule would tell of the target."""
    notes(scores.record.get("warnings", []))
    if "information" not in table:
        st.warning(
            "No molecule of this pool has a score: none has a label. Score by the dual to see what measuring them "
            "would tell."
        )
    else:
        order = table.sort_values("information", ascending=False)
        st.markdown(
            "No label, so no ΔL. **Information** is the share of the uncertainty about the target’s molecules that "
            "measuring one more would take away, whatever comes out."
        )
        st.subheader("Most worth measuring", anchor=False)
        shown = order.head(12)[["smiles", "prediction", "information"]]
        cards(shown.assign(note=[f"information {value:.2%}" for value in shown["information"]]), unit)
        st.caption("Each by itself: near-copies stand side by side. The sampler “informative” passes copies over.")
    solved(run, scores.record)
    heading = f"{scores.record.get('convention', '')}\nrun {run.key}"
    exports(f"scores-{run.key}", run.entry.summary, {"scores": lambda: as_csv(scores.table, heading)}, run.key)
    if (spec := readable(run)) is not None:
        command(spec)


def ranked(scores: Scores) -> pd.DataFrame:
    """The table in pool order with a rank, 1 the most helpful; with several tasks, the first one's label beside it."""
    table = scores.table.reset_index(drop=True)
    for name in ("label", "prediction", "residual"):
        if name not in table:
            first = next((column for column in table if str(column).startswith(f"{name}:")), None)
            table[name] = table[first] if first is not None else np.nan
    return table.assign(rank=table["delta_loss"].rank(method="first").astype("Int64"), row=np.arange(len(table)))


def detection(record: dict) -> None:
    """How well planted wrong labels are found, if some were planted."""
    found = record.get("detection") or {}
    words = {"delta_loss": "by ΔL", "whole_step": "by whole steps", "residual": "by the size of the residual"}
    said = [
        f"{words[name]} with AUROC **{value['auroc']:.2f}** ({value['low']:.2f} to {value['high']:.2f})"
        for name, value in found.items()
        if name in words
    ]
    if said:
        listed = " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)
        st.markdown(f"Planted wrong labels are found {listed}; 1 is perfect, 0.5 is chance.")


def explore(run: Run, scores: Scores, table: pd.DataFrame, unit: str, loss_unit: str) -> None:
    """Map or table on the left, the picked molecule on the right; a click in either picks."""
    slot = f"picked-{run.key}"
    if slot not in st.session_state or st.session_state[slot] >= len(table):
        st.session_state[slot] = int(table["delta_loss"].idxmin())
    left, right = st.columns([3, 2], gap="medium")
    with left:
        shown = st.segmented_control(
            "Show", ["Map", "Table"], default="Map", key=f"show-{run.key}", label_visibility="collapsed"
        )
        if shown == "Table":
            ranking(run, table, slot)
        else:
            mapped(run, table, slot, unit)
    with right, st.container(border=True):
        row = table.iloc[st.session_state[slot]].to_dict()
        row = {name: None if pd.isna(value) else value for name, value in row.items()}
        if row["rank"] is None:
            row.pop("rank")
        measured = measured_of(run)
        row["measured"] = None if measured is None else float(measured[st.session_state[slot]])
        closely({**row, "of": int(table["delta_loss"].notna().sum())}, training_of(run), unit, loss_unit)
        likely(scores, st.session_state[slot])
        if scores.tangent:
            does, made = st.tabs(["What it would do", "What made its prediction"])
            with does:
                beside_target(scores, st.session_state[slot], unit, loss_unit)
            with made:
                owed(scores, st.session_state[slot], unit)


def mapped(run: Run, table: pd.DataFrame, slot: str, unit: str) -> None:
    key = f"map-{run.key}"

    def choose() -> None:
        points = [point for point in st.session_state[key].selection.points if "customdata" in point]
        if points:
            st.session_state[slot] = int(np.ravel(points[-1]["customdata"])[0])

    figure = label_figures.score_map(table, unit, st.session_state[slot], height=560)
    st.plotly_chart(
        figure,
        key=key,
        on_select=choose,
        selection_mode="points",
        config=figures.CONFIG,
        alt="Label against prediction by score",
    )
    drawn = min(len(table), figures.MOST_POINTS)
    where = (
        "Beyond the dotted line from its label" if binary(table["label"]) else "Off the dotted line"
    )
    st.caption(f"Click a molecule. {where} the model errs. {drawn:,} of {len(table):,} drawn.")


def ranking(run: Run, table: pd.DataFrame, slot: str) -> None:
    key = f"table-{run.key}"
    order = table[table["delta_loss"].notna()].sort_values("rank")
    if len(order) > MOST_ROWS:
        order = pd.concat([order.head(MOST_ROWS // 2), order.tail(MOST_ROWS // 2)])
    rows = order["row"].tolist()

    def choose() -> None:
        chosen = st.session_state[key].selection.rows
        if chosen:
            st.session_state[slot] = rows[chosen[0]]

    columns = [
        "rank",
        "structure",
        "delta_loss",
        *([name for name in ("delta_loss_low", "delta_loss_high", "whole_step") if name in order]),
        "label",
        "prediction",
        *(["planted"] if "planted" in order else []),
        "smiles",
    ]
    st.dataframe(
        order.assign(structure=pictures(order["smiles"].tolist()))[columns],
        key=key,
        hide_index=True,
        on_select=choose,
        selection_mode="single-row",
        row_height=84,
        height=600,
        lazy=False,
        alt="Molecules of the pool, most helpful first",
        column_config={
            "rank": st.column_config.NumberColumn(width=55),
            "structure": st.column_config.ImageColumn(width=140),
            "delta_loss": st.column_config.NumberColumn("ΔL", format="%.3g", help="below zero helps, above zero harms"),
            "delta_loss_low": st.column_config.NumberColumn("from", format="%.3g", help="95 % over the target"),
            "delta_loss_high": st.column_config.NumberColumn("to", format="%.3g", help="95 % over the target"),
            "whole_step": st.column_config.NumberColumn(
                "ΔL, whole step", format="%.3g", help="not its first order alone"
            ),
            "label": st.column_config.NumberColumn(format="%.3g"),
            "prediction": st.column_config.NumberColumn(format="%.3g"),
        },
    )
    both = (
        f"The {MOST_ROWS // 2} most helpful and the {MOST_ROWS // 2} most harmful of"
        if len(table) > MOST_ROWS
        else "All"
    )
    st.caption(f"Choose a row to see it closely. {both} {len(table):,} are shown; the export has every one.")


def training_of(run: Run) -> Any:
    """The training molecules of the fit that was scored, if the store still has it."""
    spec = readable(run)
    entry = entry_of(spec.fit.key) if spec is not None else None
    return product(entry).table("train") if entry else None


def measured_of(run: Run) -> np.ndarray | None:
    """The measured labels of a pool in which wrong ones were planted, if the store still has it."""
    spec = readable(run)
    entry = entry_of(spec.pool.key) if spec is not None else None
    columns = product(entry).columns if entry else {}
    return next((values for name, values in columns.items() if name.startswith("measured:")), None)


def solved(run: Run, record: dict) -> None:
    """How the inverse was solved, and how far it can be believed."""
    with st.expander("How these were computed", icon=":material/functions:"):
        solver = record.get("solver") or {}
        facts = {
            "solver": solver.get("chosen", solver.get("kind")),
            "curvature": record.get("curvature"),
            "damping": _figure(record.get("damping")),
            "relative residual, recomputed": _figure(record.get("residual")),
            "steps": record.get("steps"),
            "converged": record.get("converged"),
            "seconds": _figure(record.get("seconds")),
            "training molecules": record.get("n_train"),
            "change from half the finite step": _figure(record.get("step_check")),
            "error against forward mode": _figure(record.get("forward_mode_check")),
        }
        known = {name: str(value) for name, value in facts.items() if value is not None}
        st.dataframe(
            pd.DataFrame({"what": known.keys(), "value": known.values()}), hide_index=True, alt="How it was computed"
        )
        history = record.get("history")
        if isinstance(history, list) and len(history) > 1:
            figure = figures.convergence({"residual": history})
            st.plotly_chart(figure, key=f"solve-{run.key}", config=figures.CONFIG, alt="Relative residual by step")
        st.caption(plain(record.get("convention", "")) if record.get("convention") else "")


def _figure(value: Any) -> str | None:
    return f"{value:.3g}" if isinstance(value, (int, float)) else None
