"""Scores on a page: how many candidates help or harm, how reliable that is, the ranking, one candidate."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.data.dataset import is_binary
from core.figures import base as figures
from core.figures import labels as label_figures
from core.results.scores import Scores
from pages.base.service import load_product
from pages.base.text import escape_markdown
from pages.results.candidate import show_candidate
from pages.results.label_errors import show_leave_one_out
from pages.results.score_checks import (
    compare_scores,
    explain_gradient_similarity,
    rescore_best,
    show_reliability,
    show_validation,
)
from pages.widgets.frame import export_buttons, show_command, show_warnings, split_page, to_csv
from pages.widgets.molecules import draw_images, show_cards
from pages.widgets.run_picker import Run, read_spec

MAX_ROWS = 400  # of the ranked table: half from either end


def scores_result(run: Run) -> None:
    """Everything finished scores show."""
    scores = load_product(run.entry)
    table, record = add_ranks(scores), scores.record
    unit, loss_unit = (record.get("label_unit") or [""])[0], str(record.get("unit", ""))
    values = table["delta_loss"].dropna()
    if not len(values):
        show_unlabelled(run, scores, table, unit)
        return
    helps, harms = int((values < 0).sum()), int((values > 0).sum())
    st.markdown(
        f":blue[**{helps:,} molecules help**] (ΔL < 0) and :orange[**{harms:,} harm**] (ΔL > 0). ΔL is the predicted "
        f"change of the validation loss, in {escape_markdown(loss_unit) or 'units of the loss'}, when one molecule is "
        "added to the training set. It is a first-order approximation: it assumes that adding one molecule changes the "
        "weights only slightly. To test a selection, train again with it (page Compare)."
    )
    explain_gradient_similarity(run, record)
    show_validation(run)
    show_reliability(scores)
    if not record.get("converged", True) and (record.get("solver") or {}).get("kind") != "gradient-similarity":
        st.error(
            f"The solver did not converge (relative residual {record.get('residual', float('nan')):.1e}). Raise the "
            "damping or the number of steps before using these scores.",
            icon=":material/error:",
        )
    show_warnings(record.get("warnings", []))
    show_distribution(run, table, loss_unit)
    show_detection(record)
    show_candidates(run, scores, table, unit, loss_unit)
    st.subheader("Most helpful", anchor=False)
    order = table.sort_values("rank")
    show_cards(order.head(6), unit, loss_unit)
    st.subheader("Most harmful", anchor=False)
    show_cards(order[order["delta_loss"].notna()].tail(6).iloc[::-1], unit, loss_unit)
    show_leave_one_out(scores, unit)
    rescore_best(run, scores)
    compare_scores(run, scores)
    show_end(run, scores, f"{record.get('convention', '')}\nunit of delta_loss: {loss_unit}\nrun {run.key}")


def show_unlabelled(run: Run, scores: Scores, table: pd.DataFrame, unit: str) -> None:
    """A pool without measured values: the expected information gain of measuring each molecule."""
    show_warnings(scores.record.get("warnings", []))
    if "information" not in table:
        st.warning(
            "No molecule of this pool has a measured value, so none has a score. Score it with the dual solver to rank "
            "the molecules by the expected information gain of measuring them."
        )
    else:
        order = table.sort_values("information", ascending=False)
        st.markdown(
            "Without a measured value there is no ΔL. **Information gain** is the share of the uncertainty about the "
            "validation molecules that one more measurement would remove, whatever its result."
        )
        st.subheader("Most worth measuring", anchor=False)
        best = order.head(12)[["smiles", "prediction", "information"]]
        show_cards(best.assign(note=[f"information gain {value:.2%}" for value in best["information"]]), unit)
        st.caption(
            "Each molecule is judged by itself, so near-duplicates rank side by side. The strategy “informative” (page "
            "Sample) skips them."
        )
    show_end(run, scores, f"{scores.record.get('convention', '')}\nrun {run.key}")


def show_end(run: Run, scores: Scores, heading: str) -> None:
    """How the scores were computed, the exports, the command."""
    show_computation(run, scores.record)
    tables = {"scores": lambda: to_csv(scores.table, heading)}
    if "leave_one_out" in scores.training:
        tables["training molecules"] = lambda: to_csv(scores.training, heading)
    export_buttons(f"scores-{run.key}", run.entry.summary, tables, run.key)
    if (spec := read_spec(run)) is not None:
        show_command(spec)


def add_ranks(scores: Scores) -> pd.DataFrame:
    """The table in pool order with a rank, 1 the most helpful; with several tasks, with the first one's label."""
    table = scores.table.reset_index(drop=True)
    for name in ("label", "prediction", "residual"):
        if name not in table:
            first = next((column for column in table if str(column).startswith(f"{name}:")), None)
            table[name] = table[first] if first is not None else np.nan
    return table.assign(rank=table["delta_loss"].rank(method="first").astype("Int64"), row=np.arange(len(table)))


def show_distribution(run: Run, table: pd.DataFrame, loss_unit: str) -> None:
    """The histogram of scores, with the band in which they are indistinguishable from zero."""
    swapped = table["mislabelled"].to_numpy(bool) if "mislabelled" in table else None
    intervals = "delta_loss_low" in table
    band = float((table["delta_loss_high"] - table["delta_loss_low"]).median() / 2) if intervals else 0.0
    figure = figures.plot_score_distribution(table["delta_loss"].to_numpy(), loss_unit, swapped, band)
    st.plotly_chart(
        figure, key=f"dist-{run.key}", config=figures.CONFIG, alt="Distribution of scores, helpful and harmful"
    )
    if band:
        st.caption("Grey band: ± half the median 95 % interval. Scores inside it are indistinguishable from zero.")


def show_detection(record: dict) -> None:
    """How well labels that were swapped on purpose are detected, if there are some."""
    names = {"delta_loss": "ΔL", "whole_step": "the full update", "residual": "the absolute prediction error"}
    rates = [
        f"{names[name]}, AUROC **{value['auroc']:.2f}** ({value['low']:.2f} to {value['high']:.2f})"
        for name, value in (record.get("detection") or {}).items()
        if name in names
    ]
    if rates:
        st.markdown(f"Labels swapped on purpose are detected by {'; '.join(rates)}. 1 is perfect, 0.5 is chance.")


def show_candidates(run: Run, scores: Scores, table: pd.DataFrame, unit: str, loss_unit: str) -> None:
    """Chart or table on the left, the chosen molecule on the right; a click in either chooses."""
    slot = f"picked-{run.key}"
    if slot not in st.session_state or st.session_state[slot] >= len(table):
        st.session_state[slot] = int(table["delta_loss"].idxmin())
    left, right = split_page(run.key)
    with left:
        view = st.segmented_control(
            "Show", ["Map", "Table"], default="Map", key=f"show-{run.key}", label_visibility="collapsed"
        )
        if view == "Table":
            show_ranking(run, table, slot)
        else:
            score_map(run, table, slot, unit)
    with right, st.container(border=True):
        show_candidate(run, scores, table, st.session_state[slot], unit, loss_unit)


def score_map(run: Run, table: pd.DataFrame, slot: str, unit: str) -> None:
    """Measured value against prediction, coloured by score."""
    key = f"map-{run.key}"

    def choose() -> None:
        points = [point for point in st.session_state[key].selection.points if "customdata" in point]
        if points:
            st.session_state[slot] = int(np.ravel(points[-1]["customdata"])[0])

    figure = label_figures.plot_score_map(table, unit, st.session_state[slot], height=560)
    st.plotly_chart(
        figure,
        key=key,
        on_select=choose,
        selection_mode="points",
        config=figures.CONFIG,
        alt="Label against prediction by score",
    )
    n_drawn = min(len(table), figures.MAX_POINTS)
    error = (
        "Points beyond the dotted line are on the wrong side of 0.5."
        if is_binary(table["label"])
        else "The distance from the dotted line is the prediction error."
    )
    st.caption(f"Click a molecule for details. {error} {n_drawn:,} of {len(table):,} are drawn.")


def show_ranking(run: Run, table: pd.DataFrame, slot: str) -> None:
    """Both ends of the ranking as a table with structures."""
    key = f"table-{run.key}"
    order = table[table["delta_loss"].notna()].sort_values("rank")
    if len(order) > MAX_ROWS:
        order = pd.concat([order.head(MAX_ROWS // 2), order.tail(MAX_ROWS // 2)])
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
        *(["mislabelled"] if "mislabelled" in order else []),
        "smiles",
    ]
    interval = "95 % interval over the validation molecules"
    st.dataframe(
        order.assign(structure=draw_images(order["smiles"].tolist()))[columns],
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
            "delta_loss": st.column_config.NumberColumn("ΔL", format="%.3g", help="negative helps, positive harms"),
            "delta_loss_low": st.column_config.NumberColumn("from", format="%.3g", help=interval),
            "delta_loss_high": st.column_config.NumberColumn("to", format="%.3g", help=interval),
            "whole_step": st.column_config.NumberColumn(
                "ΔL, full update", format="%.3g", help="not linearised in the weight of the molecule"
            ),
            "label": st.column_config.NumberColumn(format="%.3g"),
            "prediction": st.column_config.NumberColumn(format="%.3g"),
            "mislabelled": st.column_config.CheckboxColumn("swapped on purpose"),
        },
    )
    half = MAX_ROWS // 2
    extent = f"The {half} most helpful and the {half} most harmful of" if len(table) > MAX_ROWS else "All"
    st.caption(f"Choose a row for details. {extent} {len(table):,} are shown; the export has all.")


def show_computation(run: Run, record: dict) -> None:
    """The solver, its error, and checks of the derivatives."""
    with st.expander("How these scores were computed", icon=":material/functions:"):
        solver = record.get("solver") or {}
        facts = {
            "solver": solver.get("chosen", solver.get("kind")),
            "curvature": record.get("curvature"),
            "damping": _format(record.get("damping")),
            "solver error (relative residual, recomputed)": _format(record.get("residual")),
            "steps": record.get("steps"),
            "converged": record.get("converged"),
            "seconds": _format(record.get("seconds")),
            "training molecules": record.get("n_train"),
            "change with half the finite-difference step": _format(record.get("step_check")),
            "error against forward-mode derivatives": _format(record.get("forward_mode_check")),
        }
        rows = {name: str(value) for name, value in facts.items() if value is not None}
        st.dataframe(
            pd.DataFrame({"what": rows.keys(), "value": rows.values()}), hide_index=True, alt="How it was computed"
        )
        history = record.get("history")
        if isinstance(history, list) and len(history) > 1:
            figure = figures.plot_convergence({"residual": history})
            st.plotly_chart(figure, key=f"solve-{run.key}", config=figures.CONFIG, alt="Relative residual by step")
        st.caption(escape_markdown(record.get("convention", "")) if record.get("convention") else "")


def _format(value: Any) -> str | None:
    return f"{value:.3g}" if isinstance(value, (int, float)) else None
