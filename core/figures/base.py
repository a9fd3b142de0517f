"""Plotly figures of tables, trainings and scores: colour-blind-safe and transparent, for light and dark themes.

Blue is helpful and orange harmful in all figures; colour is never the only signal. `customdata` is the row number, so
that a click finds the molecule.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

HELPFUL, HARMFUL, NEUTRAL = "#2E86DE", "#E67E22", "#8A94A6"
SERIES = ("#2E86DE", "#E67E22", "#12A594", "#B0579F", "#C9A227", "#6C7A89", "#56B4E9", "#D5573B")
DIVERGING = [[0.0, "#1F6FC4"], [0.35, "#8FBDEB"], [0.5, "#B9BEC7"], [0.65, "#F2B680"], [1.0, "#D9691A"]]
GRID = "rgba(128,138,155,0.22)"
MAX_POINTS = 5000
CONFIG = {"displaylogo": False, "showSendToCloud": False, "modeBarButtonsToRemove": ["lasso2d", "autoScale2d"]}

_AXIS = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True, "title": {"standoff": 8}}
TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "colorway": SERIES,
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#7A8494"},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
)


def empty_figure(x: str, y: str, height: int = 340, legend: bool = True, **layout: Any) -> go.Figure:
    """A figure without traces, with named axes."""
    figure = go.Figure()
    figure.update_layout(
        template=TEMPLATE,
        height=height,
        margin={"l": 8, "r": 8, "t": 34 if legend else 12, "b": 8},
        xaxis_title=x,
        yaxis_title=y,
        showlegend=legend,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "xanchor": "left", "traceorder": "normal"},
        hoverlabel={"font": {"size": 12}},
        **layout,
    )
    return figure


def add_unit(name: str, unit: str = "") -> str:
    """Axis title `name (unit)`, escaped; a unit with brackets follows a comma."""
    return html.escape((f"{name}, {unit}" if "(" in unit else f"{name} ({unit})") if unit else name)


def sample_rows(values: np.ndarray, limit: int = MAX_POINTS, seed: int = 0) -> np.ndarray:
    """Rows of a column (n,) to draw: all up to `limit`, otherwise both extremes and a seeded sample of the rest."""
    values = np.asarray(values, float)
    if len(values) <= limit:
        return np.arange(len(values))
    order = np.argsort(np.nan_to_num(values, nan=np.inf), kind="stable")
    end = limit // 4
    middle = np.random.default_rng(seed).choice(order[end:-end], limit - 2 * end, replace=False)
    return np.sort(np.concatenate([order[:end], middle, order[-end:]]))


def plot_score_distribution(
    delta_loss: Sequence[float], unit: str = "", mislabelled: Sequence[bool] | None = None, band: float = 0.0
) -> go.Figure:
    """Histogram of predicted changes of the target loss (n,); molecules in `mislabelled` (n,) are marked.

    `band`: half the width of a typical interval; scores closer to zero are not distinguishable from it.
    """
    values = np.asarray(delta_loss, float)
    values = values[np.isfinite(values)] if mislabelled is None else values
    figure = empty_figure(add_unit("ΔL, predicted change of the validation error", unit), "molecules", barmode="stack")
    finite = values[np.isfinite(values)]
    if not len(finite):
        return figure
    low, high = np.quantile(finite, [0.005, 0.995]) if len(finite) > 50 else (finite.min(), finite.max())
    low, high = min(low, 0.0), max(high, 0.0)
    width = (high - low) / min(60, max(10, len(finite) // 6)) or 1.0
    edges = np.arange(np.floor(low / width), max(np.ceil(high / width), 1.0) + 1) * width  # zero is a bin edge
    inside = np.clip(finite, edges[0], np.nextafter(edges[-1], edges[0]))
    counts, centres = np.histogram(inside, edges)[0], (edges[:-1] + edges[1:]) / 2
    for name, colour, side in (("helps", HELPFUL, centres < 0), ("harms", HARMFUL, centres >= 0)):
        share = counts[side].sum() / len(finite)
        figure.add_bar(
            x=centres[side],
            y=counts[side],
            width=width * 0.94,
            marker_color=colour,
            name=f"{name}: {counts[side].sum():,} ({share:.0%})",
            hovertemplate="ΔL %{x:.3g}: %{y} molecules<extra></extra>",
        )
    if mislabelled is not None and np.any(mislabelled):
        mislabelled_scores = np.clip(values[np.asarray(mislabelled, bool)], edges[0], edges[-1])
        marker = {"symbol": "line-ns-open", "size": 9, "color": "#B0579F", "line": {"width": 1.5}}
        name, heights = (
            f"swapped on purpose: {len(mislabelled_scores):,}",
            np.full(len(mislabelled_scores), -0.04 * max(counts.max(), 1)),
        )
        figure.add_scatter(x=mislabelled_scores, y=heights, mode="markers", marker=marker, name=name, hoverinfo="x")
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1, "dash": "dot"})
    if band > 0:
        figure.add_vrect(
            x0=max(-band, edges[0]),
            x1=min(band, edges[-1]),
            fillcolor=NEUTRAL,
            opacity=0.16,
            line_width=0,
            layer="below",
        )
    return figure


def plot_score_agreement(
    one: Sequence[float], other: Sequence[float], names: tuple[str, str], unit: str = ""
) -> go.Figure:
    """ΔL of the same molecules by two scorings; quadrants where the signs agree are shaded."""
    figure = empty_figure(add_unit(f"ΔL by {names[0]}", unit), add_unit(f"ΔL by {names[1]}", unit), 380, legend=False)
    one, other = np.asarray(one, float), np.asarray(other, float)
    rows = sample_rows(one)
    rows = rows[np.isfinite(one[rows]) & np.isfinite(other[rows])]
    figure.add_scatter(
        x=one[rows],
        y=other[rows],
        mode="markers",
        customdata=rows,
        marker={"size": 6, "color": NEUTRAL, "opacity": 0.7},
        hovertemplate="%{x:.3g} and %{y:.3g}<extra></extra>",
    )
    for colour, corner in ((HELPFUL, -1), (HARMFUL, 1)):
        corner_ends = [corner * float(np.max(np.abs(values[rows]), initial=0.0)) for values in (one, other)]
        figure.add_shape(
            type="rect",
            x0=0,
            x1=corner_ends[0],
            y0=0,
            y1=corner_ends[1],
            fillcolor=colour,
            opacity=0.08,
            line_width=0,
            layer="below",
        )
    return figure


def plot_predicted_vs_measured(predicted: Sequence[float], measured: Sequence[float], unit: str = "") -> go.Figure:
    """Measured against predicted change of the target loss, one point per retraining."""
    axes = (add_unit(words, unit) for words in ("predicted change of the validation error", "measured change"))
    figure = empty_figure(*axes, 340, legend=False)
    figure.add_scatter(
        x=np.asarray(predicted, float),
        y=np.asarray(measured, float),
        mode="markers",
        marker={"size": 8, "color": HELPFUL, "opacity": 0.75},
        hovertemplate="predicted %{x:.3g}, measured %{y:.3g}<extra></extra>",
    )
    figure.add_hline(y=0, line={"color": NEUTRAL, "width": 1, "dash": "dot"})
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1, "dash": "dot"})
    return figure


def plot_learning_curves(
    curves: Mapping[str, pd.DataFrame], best: Mapping[str, float] | None = None, y: str = "loss"
) -> go.Figure:
    """Training (dotted) and validation (solid) loss by epoch, one colour per run, with a ring at the best epoch."""
    figure = empty_figure("epoch", y, 300)
    for (name, curve), colour in zip(curves.items(), series_colours(len(curves)), strict=True):
        label = f"{name}: " if len(curves) > 1 else ""
        for column, words, dash in (("train_loss", "training", "dot"), ("valid_loss", "validation", "solid")):
            if column not in curve or not curve[column].notna().any():
                continue
            rows = curve[curve[column].notna()]
            figure.add_scatter(
                x=rows["epoch"],
                y=rows[column],
                mode="lines+markers" if len(rows) < 40 else "lines",
                marker={"size": 4},
                line={"color": colour if len(curves) > 1 or dash == "solid" else HARMFUL, "dash": dash, "width": 2},
                name=html.escape(f"{label}{words}"),
                hovertemplate=f"{words}, epoch %{{x:.3g}}: %{{y:.4g}}<extra>{html.escape(name)}</extra>",
            )
        epoch = (best or {}).get(name)
        best_row = curve[curve["epoch"] == epoch].dropna(subset=["valid_loss"]).tail(1) if "valid_loss" in curve else ()
        if len(best_row):
            ring_name = html.escape(f"{label}best epoch ({round(epoch, 1):g})")
            add_ring(figure, best_row["epoch"], best_row["valid_loss"], ring_name, colour, 13)
    return figure


def plot_convergence(
    histories: Mapping[str, Sequence[tuple[float, float]]], tolerance: float | None = None
) -> go.Figure:
    """Relative residual ‖v − C s‖ / ‖v‖ of solvers against step, from (step, residual) pairs; logarithmic axis."""
    figure = empty_figure("step", "relative residual", 280, legend=len(histories) > 1, yaxis_type="log")
    for (name, points), colour in zip(histories.items(), series_colours(len(histories)), strict=True):
        steps, residuals = zip(*points, strict=True) if points else ((), ())
        figure.add_scatter(x=steps, y=residuals, mode="lines+markers", line_color=colour, name=html.escape(name))
    if tolerance:
        figure.add_hline(y=tolerance, line={"color": NEUTRAL, "width": 1, "dash": "dash"})
    return figure.update_yaxes(exponentformat="power", dtick=1)


def plot_label_histogram(parts: Mapping[str, Sequence[float]], name: str = "label", unit: str = "") -> go.Figure:
    """Histogram of labels, one colour per part, with common bins; for two classes one bar each."""
    figure = empty_figure(add_unit(name, unit), "molecules", 260, legend=len(parts) > 1, barmode="overlay")
    finite = {part: np.asarray(values, float)[np.isfinite(np.asarray(values, float))] for part, values in parts.items()}
    pooled = np.concatenate(list(finite.values())) if finite else np.array([])
    if not len(pooled):
        return figure
    edges = np.histogram_bin_edges(pooled, bins=min(40, max(8, int(np.sqrt(len(pooled))))))
    if np.isin(pooled, (0.0, 1.0)).all():
        edges = np.array([-0.5, 0.5, 1.5])
        figure.update_xaxes(tickvals=[0, 1])
    for (part, values), colour in zip(finite.items(), series_colours(len(finite)), strict=True):
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=np.histogram(values, edges)[0],
            width=(edges[1] - edges[0]) * 0.94,
            marker_color=colour,
            opacity=0.85 if len(finite) == 1 else 0.6,
            name=html.escape(f"{part}: {len(values):,}"),
            hovertemplate="%{x:.3g}: %{y} molecules<extra></extra>",
        )
    return figure


def add_ring(figure: go.Figure, x: Any, y: Any, name: str, colour: str, size: int, **more: Any) -> None:
    """Add open circles around points (x, y)."""
    marker = {"size": size, "symbol": "circle-open", "color": colour, "line": {"width": 2.5}}
    figure.add_scatter(x=x, y=y, mode="markers", marker=marker, name=name, hoverinfo="skip", **more)


def add_identity_line(figure: go.Figure, table: pd.DataFrame) -> None:
    """Add the diagonal over the range of labels and predictions."""
    values = table[["label", "prediction"]].to_numpy(float)
    values = values[np.isfinite(values)]
    if len(values):
        ends, line = [float(values.min()), float(values.max())], {"color": NEUTRAL, "width": 1, "dash": "dot"}
        figure.add_scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", showlegend=False)


def series_colours(count: int) -> list[str]:
    """`count` distinguishable colours; they repeat after eight."""
    return [SERIES[number % len(SERIES)] for number in range(count)]
