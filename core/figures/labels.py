"""Figures of predictions against measured values: parity, score map, and ROC and reliability for two classes."""

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
BINS = 10  # at most, in a reliability diagram
MIN_BIN_MOLECULES = 15  # at least, in a bin
GOLDEN = 0.6180339887  # its multiples modulo 1 are spread evenly


def plot_score_map(
    table: pd.DataFrame, unit: str = "", picked: int | None = None, limit: int = MAX_POINTS, height: int = 430
) -> go.Figure:
    """Prediction against label of a pool, coloured by ΔL; `customdata` is the row number. At most `limit` points.

    `table`: one row per molecule: smiles, label, prediction, delta_loss and, if known, mislabelled. Labels of two
    classes are jittered, so that points do not overlap.
    """
    delta, rows = table["delta_loss"].to_numpy(float), sample_rows(table["delta_loss"], limit)
    finite = delta[np.isfinite(delta)]
    bound = float(np.quantile(np.abs(finite), 0.95)) if len(finite) else 1.0
    mislabelled = table["mislabelled"].to_numpy(bool) if "mislabelled" in table else np.zeros(len(table), bool)
    figure = empty_figure(add_unit("measured value", unit), add_unit("prediction", unit), height, dragmode="pan")
    x_values = table["label"].to_numpy(float)
    if is_binary(x_values):
        x_values = jitter_classes(x_values)
        figure.add_hline(y=0.5, line={"color": NEUTRAL, "width": 1, "dash": "dot"})
        figure.update_xaxes(tickvals=[0, 1], range=[-0.3, 1.3])
    else:
        add_identity_line(figure, table.iloc[rows])
    for name, selected, symbol in (
        ("as measured", ~mislabelled[rows], "circle"),
        ("swapped on purpose", mislabelled[rows], "diamond"),
    ):
        group = rows[selected]
        if mislabelled.any():  # legend entries for the symbols, in a neutral colour
            only = {"mode": "markers", "marker": {"size": 8, "symbol": symbol, "color": NEUTRAL}}
            figure.add_scatter(x=[None], y=[None], name=name, hoverinfo="skip", **only)
        marker = {
            **{"color": delta[group], "colorscale": DIVERGING, "cmin": -bound or -1.0, "cmax": bound or 1.0},
            **{"size": 8, "symbol": symbol, "line": {"width": 0.5, "color": "rgba(90,98,112,0.55)"}},
            "showscale": name == "as measured",
            "colorbar": {"title": "ΔL", "thickness": 10, "outlinewidth": 0, "tickformat": ".2~g", "len": 0.9},
        }
        if len(group):
            hover_suffix = "<br>ΔL %{marker.color:.3g}<extra></extra>"
            _points(figure, table.iloc[group], x_values[group], group, name, marker, hover_suffix)
    figure.update_traces(showlegend=False, selector={"type": "scattergl"})
    figure.for_each_trace(lambda trace: trace.update(legendgroup=trace.name))
    if picked is not None and 0 <= picked < len(table):
        add_ring(
            figure, [x_values[picked]], [table["prediction"].iloc[picked]], "picked", "#B0579F", 17, showlegend=False
        )
    return figure


def plot_parity(predictions: pd.DataFrame, unit: str = "", limit: int = MAX_POINTS) -> go.Figure:
    """Prediction against label, one colour per part (train, valid, test), the test set on top."""
    figure = empty_figure(add_unit("measured value", unit), add_unit("prediction", unit), 400)
    measured = predictions[predictions["label"].notna() & predictions["prediction"].notna()]
    add_identity_line(figure, measured)
    styles = {"train": (NEUTRAL, "circle", 5), "valid": (SERIES[2], "square", 6), "test": (HELPFUL, "circle", 7)}
    for part in [name for name in styles if (measured["part"] == name).any()]:
        table, (colour, symbol, size) = measured[measured["part"] == part], styles[part]
        table = table.sample(min(len(table), limit // 3), random_state=0)
        marker = {"color": colour, "symbol": symbol, "size": size, "opacity": 0.4 if part == "train" else 0.85}
        name = {"train": "training", "valid": "validation"}.get(part, part)
        _points(figure, table, table["label"], table["row"], name, marker)
    return figure


def plot_roc(predictions: pd.DataFrame, intervals: Mapping[str, Interval | None] | None = None) -> go.Figure:
    """ROC curves of a binary task, by part (Fawcett 2006, doi:10.1016/j.patrec.2005.10.010).

    `predictions`: part, label, prediction; `intervals`: of the AUROC by part. The legend shows the AUROC.
    """
    from sklearn.metrics import roc_curve

    figure = empty_figure("false positive rate", "true positive rate", 400)
    line = {"color": NEUTRAL, "width": 1, "dash": "dot"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    measured = predictions[predictions["label"].notna()]
    for part, colour in (("valid", SERIES[2]), ("test", HELPFUL)):
        part_rows = measured[measured["part"] == part]
        if part_rows["label"].nunique() < 2:
            continue
        false_positive_rate, true_positive_rate, thresholds = roc_curve(
            part_rows["label"] > 0.5, part_rows["prediction"]
        )
        area = auroc((part_rows["label"] > 0.5).to_numpy(), part_rows["prediction"].to_numpy())
        figure.add_scatter(
            x=false_positive_rate,
            y=true_positive_rate,
            mode="lines",
            line={"color": colour, "width": 2, "dash": "dot" if part == "valid" else "solid"},
            name=f"{PARTS[part]}: {format_with_interval(area, (intervals or {}).get(part))}",
            text=[f"{min(threshold, 1.0):.3g}" for threshold in thresholds],
            hovertemplate="threshold %{text}: %{y:.0%} of 1, %{x:.0%} of 0<extra></extra>",
        )
    return figure.update_xaxes(range=[-0.02, 1.02]).update_yaxes(range=[-0.02, 1.02])


def plot_reliability(labels: np.ndarray, predictions: np.ndarray) -> go.Figure:
    """Reliability diagram of a binary task: observed share of ones in bins of predicted probability.

    `labels`, `predictions` (n,). Bins have equal numbers of molecules (Murphy & Winkler 1977); error bars are Wilson's
    95 % intervals. Calibrated probabilities lie on the diagonal.
    """
    figure = empty_figure("predicted probability of 1", "share of 1", 400, legend=False)
    line = {"color": NEUTRAL, "width": 1, "dash": "dot"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip")
    measured = ~np.isnan(labels)
    y, p = labels[measured] > 0.5, predictions[measured]
    if len(y):
        order = np.argsort(p, kind="stable")
        bins = np.array_split(order, max(1, min(BINS, len(y) // MIN_BIN_MOLECULES)))
        shares = [estimate_share(y[rows]) for rows in bins]
        figure.add_scatter(
            x=[float(p[rows].mean()) for rows in bins],
            y=[one["share"] for one in shares],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [one["high"] - one["share"] for one in shares],
                "arrayminus": [one["share"] - one["low"] for one in shares],
                "thickness": 1.2,
                "width": 0,
            },
            mode="markers",
            marker={"size": 9, "color": HELPFUL},
            text=[f"{one['n']:,} molecules, {p[rows].min():.2f} to {p[rows].max():.2f}"
                  for one, rows in zip(shares, bins, strict=True)],
            hovertemplate="%{text}: %{y:.0%} are 1<extra></extra>",
        )  # fmt: skip
    return figure.update_xaxes(range=[-0.02, 1.02]).update_yaxes(range=[-0.02, 1.02])


def jitter_classes(labels: np.ndarray) -> np.ndarray:
    """Labels (n,) with a deterministic horizontal offset of up to ±0.2."""
    return labels + 0.4 * (np.arange(len(labels)) * GOLDEN % 1 - 0.5)


def _points(
    figure: go.Figure,
    table: pd.DataFrame,
    x_values: Any,
    rows: Any,
    name: str,
    marker: dict[str, Any],
    hover_suffix: str = "<extra></extra>",
) -> None:
    figure.add_scattergl(
        x=x_values,
        y=table["prediction"],
        mode="markers",
        marker=marker,
        name=name,
        customdata=rows,
        text=[
            f"{html.escape(str(smiles)[:60])}<br>measured {label:.3g}"
            for smiles, label in zip(table["smiles"], table["label"], strict=True)
        ],
        hovertemplate="%{text}, prediction %{y:.3g}" + hover_suffix,
        unselected={"marker": {"opacity": marker.get("opacity", 1)}},
    )
