"""Figures of predictions beside labels: of numbers on a diagonal, of two classes by what tells them apart."""

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from core.data.dataset import is_binary
from core.figures.base import (
    DIVERGING,
    HELPFUL,
    MAX_POINTS,
    NEUTRAL,
    SERIES,
    add_identity_line,
    add_ring,
    add_unit,
    empty_figure,
    sample_rows,
)
from core.stats.bootstrap import Interval
from core.stats.conformal import estimate_share
from core.stats.formatting import format_with_interval
from core.stats.metrics import auroc

PARTS = {"train": "training", "valid": "validation", "test": "test"}
BINS = 10  # of a reliability diagram
MIN_BIN_MOLECULES = 15  # molecules of a bin
GOLDEN = 0.6180339887  # parts of it, left over after whole numbers, are as far from each other as can be


def plot_score_map(
    table: pd.DataFrame, unit: str = "", picked: int | None = None, limit: int = MAX_POINTS, height: int = 430
) -> go.Figure:
    """Label against prediction of a pool, coloured by ΔL; `customdata` is the row number. At most `limit` points.

    `table`: smiles, label, prediction, delta_loss and, where it is known, planted; a row a molecule. Labels of two
    classes are spread a little, so that no molecule hides another.
    """
    delta, rows = table["delta_loss"].to_numpy(float), sample_rows(table["delta_loss"], limit)
    known = delta[np.isfinite(delta)]
    bound = float(np.quantile(np.abs(known), 0.95)) if len(known) else 1.0
    planted = table["mislabelled"].to_numpy(bool) if "mislabelled" in table else np.zeros(len(table), bool)
    figure = empty_figure(add_unit("label", unit), add_unit("prediction", unit), height, dragmode="pan")
    across = table["label"].to_numpy(float)
    if is_binary(across):
        across = jitter_classes(across)
        figure.add_hline(y=0.5, line={"color": NEUTRAL, "width": 1, "dash": "dot"})
        figure.update_xaxes(tickvals=[0, 1], range=[-0.3, 1.3])
    else:
        add_identity_line(figure, table.iloc[rows])
    for name, mine, symbol in (("as measured", ~planted[rows], "circle"), ("mislabelled", planted[rows], "diamond")):
        group = rows[mine]
        if planted.any():  # the legend tells the shapes, in a colour that says neither help nor harm
            only = {"mode": "markers", "marker": {"size": 8, "symbol": symbol, "color": NEUTRAL}}
            figure.add_scatter(x=[None], y=[None], name=name, hoverinfo="skip", **only)
        marker = {
            **{"color": delta[group], "colorscale": DIVERGING, "cmin": -bound or -1.0, "cmax": bound or 1.0},
            **{"size": 8, "symbol": symbol, "line": {"width": 0.5, "color": "rgba(90,98,112,0.55)"}},
            "showscale": name == "as measured",
            "colorbar": {"title": "ΔL", "thickness": 10, "outlinewidth": 0, "tickformat": ".2~g", "len": 0.9},
        }
        if len(group):
            more = "<br>ΔL %{marker.color:.3g}<extra></extra>"
            _points(figure, table.iloc[group], across[group], group, name, marker, more)
    figure.update_traces(showlegend=False, selector={"type": "scattergl"})
    figure.for_each_trace(lambda trace: trace.update(legendgroup=trace.name))
    if picked is not None and 0 <= picked < len(table):
        add_ring(
            figure, [across[picked]], [table["prediction"].iloc[picked]], "picked", "#B0579F", 17, showlegend=False
        )
    return figure


def plot_parity(predictions: pd.DataFrame, unit: str = "", limit: int = MAX_POINTS) -> go.Figure:
    """Prediction against label, a colour a part (train, valid, test), the test part on top."""
    figure = empty_figure(add_unit("label", unit), add_unit("prediction", unit), 400)
    known = predictions[predictions["label"].notna() & predictions["prediction"].notna()]
    add_identity_line(figure, known)
    look = {"train": (NEUTRAL, "circle", 5), "valid": (SERIES[2], "square", 6), "test": (HELPFUL, "circle", 7)}
    for part in [name for name in look if (known["part"] == name).any()]:
        table, (colour, symbol, size) = known[known["part"] == part], look[part]
        table = table.sample(min(len(table), limit // 3), random_state=0)
        marker = {"color": colour, "symbol": symbol, "size": size, "opacity": 0.4 if part == "train" else 0.85}
        name = {"train": "training", "valid": "validation"}.get(part, part)
        _points(figure, table, table["label"], table["row"], name, marker)
    return figure


def plot_roc(predictions: pd.DataFrame, sure: Mapping[str, Interval | None] | None = None) -> go.Figure:
    """Of two classes: the share of ones that are found against that of zeros taken for one, by part (Fawcett 2006).

    `predictions`: part, label, prediction; `sure`: intervals of the area of a part. The legend has the areas.
    """
    from sklearn.metrics import roc_curve

    figure = empty_figure("share of 0 taken for 1", "share of 1 found", 400)
    line = {"color": NEUTRAL, "width": 1, "dash": "dot"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    known = predictions[predictions["label"].notna()]
    for part, colour in (("valid", SERIES[2]), ("test", HELPFUL)):
        mine = known[known["part"] == part]
        if mine["label"].nunique() < 2:
            continue
        wrong, found, at = roc_curve(mine["label"] > 0.5, mine["prediction"])
        area = auroc((mine["label"] > 0.5).to_numpy(), mine["prediction"].to_numpy())
        figure.add_scatter(
            x=wrong,
            y=found,
            mode="lines",
            line={"color": colour, "width": 2, "dash": "dot" if part == "valid" else "solid"},
            name=f"{PARTS[part]}: {format_with_interval(area, (sure or {}).get(part))}",
            text=[f"{min(limit, 1.0):.3g}" for limit in at],
            hovertemplate="from %{text} on: %{y:.0%} of 1, %{x:.0%} of 0<extra></extra>",
        )
    return figure.update_xaxes(range=[-0.02, 1.02]).update_yaxes(range=[-0.02, 1.02])


def plot_reliability(labels: np.ndarray, predictions: np.ndarray) -> go.Figure:
    """Of two classes: how many of the molecules of some predicted probability are ones, with Wilson's 95 % intervals.

    `labels`, `predictions` (n,). Bins have as many molecules each (Murphy & Winkler 1977); on the diagonal a
    probability is what it says.
    """
    figure = empty_figure("predicted probability of 1", "share of 1", 400, legend=False)
    line = {"color": NEUTRAL, "width": 1, "dash": "dot"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip")
    known = ~np.isnan(labels)
    y, p = labels[known] > 0.5, predictions[known]
    if len(y):
        order = np.argsort(p, kind="stable")
        bins = np.array_split(order, max(1, min(BINS, len(y) // MIN_BIN_MOLECULES)))
        told = [estimate_share(y[rows]) for rows in bins]
        figure.add_scatter(
            x=[float(p[rows].mean()) for rows in bins],
            y=[one["share"] for one in told],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [one["high"] - one["share"] for one in told],
                "arrayminus": [one["share"] - one["low"] for one in told],
                "thickness": 1.2,
                "width": 0,
            },
            mode="markers",
            marker={"size": 9, "color": HELPFUL},
            text=[f"{one['n']:,} molecules, {p[rows].min():.2f} to {p[rows].max():.2f}"
                  for one, rows in zip(told, bins, strict=True)],
            hovertemplate="%{text}: %{y:.0%} are 1<extra></extra>",
        )  # fmt: skip
    return figure.update_xaxes(range=[-0.02, 1.02]).update_yaxes(range=[-0.02, 1.02])


def jitter_classes(labels: np.ndarray) -> np.ndarray:
    """Labels (n,), each a little aside of where it is, the same at every time."""
    return labels + 0.4 * (np.arange(len(labels)) * GOLDEN % 1 - 0.5)


def _points(
    figure: go.Figure,
    table: pd.DataFrame,
    across: Any,
    rows: Any,
    name: str,
    marker: dict[str, Any],
    more: str = "<extra></extra>",
) -> None:
    figure.add_scattergl(
        x=across,
        y=table["prediction"],
        mode="markers",
        marker=marker,
        name=name,
        customdata=rows,
        text=[
            f"{html.escape(str(smiles)[:60])}<br>label {label:.3g}"
            for smiles, label in zip(table["smiles"], table["label"], strict=True)
        ],
        hovertemplate="%{text}, prediction %{y:.3g}" + more,
        unselected={"marker": {"opacity": marker.get("opacity", 1)}},
    )
