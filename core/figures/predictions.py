"""Figures of predictions: applicability domain, and predictions against measured values."""

import html

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.figures.base import (
    HARMFUL,
    HELPFUL,
    NEUTRAL,
    add_identity_line,
    add_ring,
    add_unit,
    empty_figure,
    sample_rows,
)

MAX_BARS = 150  # molecules up to which intervals are drawn; for more they are shown on hover


def plot_applicability_domain(
    table: pd.DataFrame, unit: str, below: float, picked: int | None = None, height: int = 460
) -> go.Figure:
    """Prediction with interval against similarity to the nearest training molecule; `customdata` is the row.

    `table`: smiles, prediction, low, high, similarity, remote; `below`: similarity under which they are remote.
    """
    figure = empty_figure(
        "similarity to the nearest training molecule", add_unit("prediction", unit), height, dragmode="pan"
    )
    rows = sample_rows(table["prediction"].to_numpy(float))
    remote = table["remote"].to_numpy(bool)
    for name, selected, colour, symbol in (
        ("similar to the training set", ~remote[rows], HELPFUL, "circle"),
        ("outside the applicability domain", remote[rows], HARMFUL, "diamond"),
    ):
        _with_bars(figure, table, rows[selected], "similarity", name, colour, symbol)
    if below > 0:
        figure.add_vline(x=below, line={"color": NEUTRAL, "width": 1, "dash": "dash"})
    _ring_choice(figure, table, "similarity", picked)
    return figure.update_xaxes(range=[-0.02, 1.04])


def plot_labels_against_predictions(
    table: pd.DataFrame, unit: str, picked: int | None = None, height: int = 460
) -> go.Figure:
    """Prediction with its interval against the label, for labelled molecules; the dotted line is the identity."""
    figure = empty_figure(add_unit("measured value", unit), add_unit("prediction", unit), height, dragmode="pan")
    rows = np.flatnonzero(table["label"].notna().to_numpy())
    rows = rows[sample_rows(table["label"].to_numpy(float)[rows])]
    labelled = table.iloc[rows]
    unknown = labelled["low"].isna().to_numpy()
    inside = ((labelled["low"] <= labelled["label"]) & (labelled["label"] <= labelled["high"])).to_numpy(bool)
    add_identity_line(figure, labelled)
    for name, selected, colour, symbol in (
        ("measured value inside its interval", inside, HELPFUL, "circle"),
        ("outside", ~inside & ~unknown, HARMFUL, "diamond"),
        ("without an interval", unknown, NEUTRAL, "circle"),
    ):
        _with_bars(figure, table, rows[selected], "label", name, colour, symbol)
    _ring_choice(figure, table, "label", picked)
    return figure


def _with_bars(
    figure: go.Figure, table: pd.DataFrame, rows: np.ndarray, x: str, name: str, colour: str, symbol: str
) -> None:
    if not len(rows):
        return
    molecules = table.iloc[rows]
    ends = molecules[["low", "high"]].to_numpy(float)
    bars = {}
    if len(table) <= MAX_BARS and molecules["low"].notna().any():
        bars["error_y"] = {
            "type": "data", "symmetric": False, "array": molecules["high"] - molecules["prediction"],
            "arrayminus": molecules["prediction"] - molecules["low"], "thickness": 1, "width": 0,
            "color": lighten_colour(colour),
        }  # fmt: skip
    x_name = "measured" if x == "label" else x
    figure.add_scatter(
        x=molecules[x],
        y=molecules["prediction"],
        mode="markers",
        marker={"size": 8, "color": colour, "symbol": symbol, "opacity": 0.85},
        name=f"{name}: {len(rows):,}",
        customdata=rows,
        text=[html.escape(str(smiles)[:60]) for smiles in molecules["smiles"]],
        hovertext=[f" ({low:.3g} to {high:.3g})" if low <= high else "" for low, high in ends],
        hovertemplate=f"%{{text}}<br>{x_name} %{{x:.3g}}, prediction %{{y:.3g}}%{{hovertext}}<extra></extra>",
        unselected={"marker": {"opacity": 0.85}},
        **bars,
    )


def lighten_colour(colour: str) -> str:
    """The colour `#rrggbb` at half opacity."""
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.5)"


def _ring_choice(figure: go.Figure, table: pd.DataFrame, x: str, picked: int | None) -> None:
    if picked is not None and 0 <= picked < len(table):
        one = table.iloc[[picked]]
        add_ring(figure, one[x], one["prediction"], "picked", "#B0579F", 17, showlegend=False)
