"""Plotly figures of multitask studies: single-task against multitask, transfer by size, diversity against scale."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.base import HARMFUL, HELPFUL, NEUTRAL, SERIES, add_unit, empty_figure, series_colours
from core.stats.metrics import find_metric, metric_name

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star")


def plot_multitask_means(
    means: Sequence[Mapping[str, Any]], metric: str, words: str, published: Sequence[Mapping[str, Any]] = ()
) -> go.Figure:
    """Mean ± sd over seeds of a metric, one row per table and network, one colour and symbol per arm.

    `published`: published results (member, layer, arm, the metric), drawn hollow for the tables and layers shown.
    """
    defined = [one for one in means if one.get(metric)]
    rows = list(dict.fromkeys((one["member"], one["backbone"]) for one in defined))
    arms = list(dict.fromkeys(one["arm"] for one in defined))
    figure = empty_figure(f"test {words}, mean ± sd over seeds", "", 110 + 74 * len(rows))
    shifts = np.linspace(-0.24, 0.24, len(arms)) if len(arms) > 1 else [0.0]
    for arm, colour, symbol, shift in zip(arms, SERIES, SYMBOLS, shifts, strict=False):
        arm_means = [one for one in defined if one["arm"] == arm]
        figure.add_scatter(
            x=[one[metric]["mean"] for one in arm_means],
            y=[rows.index((one["member"], one["backbone"])) + shift for one in arm_means],
            error_x={"array": [one[metric]["sd"] or 0.0 for one in arm_means], "thickness": 1.4, "width": 4},
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10},
            name=html.escape(arm),
            hovertemplate=f"{html.escape(arm)}: %{{x:.4g}}<extra></extra>",
        )
    layers = {(member, backbone.split()[0]): row for row, (member, backbone) in enumerate(rows)}
    for arm, symbol in (("alone", "square-open"), ("all together", "circle-open")):
        arm_means = [
            one for one in published if one["arm"] == arm and metric in one and (one["member"], one["layer"]) in layers
        ]
        if arm_means:
            figure.add_scatter(
                x=[one[metric] for one in arm_means],
                y=[layers[one["member"], one["layer"]] + 0.36 for one in arm_means],
                mode="markers",
                marker={"color": NEUTRAL, "symbol": symbol, "size": 9},
                name=f"published, {arm}",
                hovertemplate=f"published, {arm}: %{{x:.4g}}<extra></extra>",
            )
    ticks = [
        f"{html.escape(member)}<br>{html.escape(backbone.removesuffix(' (random weights)'))}"
        for member, backbone in rows
    ]
    return figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=ticks, range=[len(rows) - 0.45, -0.55])


def plot_transfer(
    points: Sequence[Mapping[str, Any]], metric: str, unit: str = "", baselines: Sequence[str] = ()
) -> go.Figure:
    """Mean ± sd of a test metric against the number of training molecules, one line per arm; baselines dotted."""
    unit = find_metric(metric).unit_text(unit)
    figure = empty_figure(
        "training molecules", add_unit(f"test {metric_name(metric)}, mean ± sd over seeds", unit), 480
    )
    arms = list(dict.fromkeys(one["arm"] for one in points if one.get(metric)))
    shifts = np.linspace(-0.035, 0.035, len(arms)) if len(arms) > 1 else [0.0]
    for arm, colour, symbol, shift in zip(arms, series_colours(len(arms)), SYMBOLS * len(arms), shifts, strict=False):
        arm_points = sorted((one for one in points if one["arm"] == arm), key=lambda one: one["rows"])
        arm_points = [one for one in arm_points if one[metric]["mean"] is not None]
        figure.add_scatter(
            x=[one["rows"] * (1 + shift) for one in arm_points],
            y=[one[metric]["mean"] for one in arm_points],
            error_y={"array": [one[metric]["sd"] or 0.0 for one in arm_points], "thickness": 1.2, "width": 3},
            mode="lines+markers",
            line={"color": NEUTRAL if arm in baselines else colour, "dash": "dot" if arm in baselines else "solid"},
            marker={"size": 8, "symbol": symbol},
            name=html.escape(arm),
            customdata=[one["rows"] for one in arm_points],
            hovertemplate=f"{html.escape(arm)}, %{{customdata:,}} molecules: %{{y:.4g}}<extra></extra>",
        )
    ticks = sorted({one["rows"] for one in points})
    return figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks])


def plot_ablation(
    cells: Sequence[Mapping[str, Any]], scratch: Mapping[str, Any] | None, metric: str, unit: str = ""
) -> go.Figure:
    """Test error, mean ± sd, against training molecules of the shared backbone; one line per number of tables.

    `scratch`: the error with random weights, a horizontal line.
    """
    figure = empty_figure(
        "training molecules of the shared backbone",
        add_unit(f"test {metric_name(metric)} afterwards, mean ± sd", unit),
        400,
    )
    counts = sorted({one["families"] for one in cells if one["families"]})
    shifts = np.linspace(-0.03, 0.03, len(counts)) if len(counts) > 1 else [0.0]
    for count, colour, symbol, shift in zip(
        counts, series_colours(len(counts)), SYMBOLS * len(counts), shifts, strict=False
    ):
        count_cells = sorted((one for one in cells if one["families"] == count), key=lambda one: one["molecules"])
        name = f"{count} table{'s' * (count > 1)}"
        figure.add_scatter(
            x=[one["molecules"] * (1 + shift) for one in count_cells],
            y=[one["mean"] for one in count_cells],
            error_y={"array": [one["sd"] or 0.0 for one in count_cells], "thickness": 1.2, "width": 3},
            mode="lines+markers",
            line={"color": colour},
            marker={"size": 9, "symbol": symbol},
            name=name,
            customdata=[[one["molecules"], one["trainings"]] for one in count_cells],
            hovertemplate=f"{name}, %{{customdata[0]:,}}, %{{customdata[1]}} trainings: %{{y:.4g}}<extra></extra>",
        )
    if scratch:
        low, high = scratch["mean"] - (scratch["sd"] or 0.0), scratch["mean"] + (scratch["sd"] or 0.0)
        figure.add_hrect(y0=low, y1=high, fillcolor=NEUTRAL, opacity=0.13, line_width=0)
        figure.add_hline(
            y=scratch["mean"],
            line={"color": NEUTRAL, "width": 1.2, "dash": "dash"},
            annotation_text="random weights",
            annotation_position="top left",
        )
    ticks = sorted({one["molecules"] for one in cells if one["families"]})
    return figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks])


def plot_table_sets(
    sets: Sequence[Mapping[str, Any]], scratch: Mapping[str, Any] | None, metric: str, unit: str = ""
) -> go.Figure:
    """Test error, mean ± sd, one row per set of tables that the shared backbone was trained on.

    All sets have the same number of molecules. `scratch`: the error with random weights, a vertical line.
    """
    rows = sorted(sets, key=lambda one: one["mean"])
    words = add_unit(f"test {metric_name(metric)} afterwards, mean ± sd over molecules and seeds", unit)
    figure = empty_figure(words, "", 90 + 34 * len(rows))
    counts = sorted({one["families"] for one in rows})
    for count, colour, symbol in zip(counts, series_colours(len(counts)), SYMBOLS * len(counts), strict=False):
        count_rows = [(number, one) for number, one in enumerate(rows) if one["families"] == count]
        figure.add_scatter(
            x=[one["mean"] for _, one in count_rows],
            y=[number for number, _ in count_rows],
            error_x={"array": [one["sd"] or 0.0 for _, one in count_rows], "thickness": 1.4, "width": 4},
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10},
            name=f"{count} table{'s' * (count > 1)}",
            customdata=[[html.escape(one["tables"]), one["trainings"]] for _, one in count_rows],
            hovertemplate="%{customdata[0]}, %{customdata[1]} trainings: %{x:.4g}<extra></extra>",
        )
    if scratch:
        figure.add_vline(
            x=scratch["mean"],
            line={"color": NEUTRAL, "width": 1.2, "dash": "dash"},
            annotation_text="random weights",
            annotation_position="top",
        )
    ticks = [html.escape(one["tables"]) for one in rows]
    return figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=ticks, range=[len(rows) - 0.5, -0.5])


def plot_differences(table: Sequence[Mapping[str, Any]], metric: str) -> go.Figure:
    """Error of multitask minus single-task training for each table, with interval and verdict."""
    rows = [one for one in table if one["metric"] == metric]
    figure = empty_figure(
        f"difference of {metric}, together minus alone; 95 % interval", "", 90 + 34 * len(rows), legend=False
    )
    names = []
    for number, row in enumerate(rows):
        colour = {"better": HELPFUL, "worse": HARMFUL}.get(row["verdict"], NEUTRAL)
        name = f"{row['member']}, {row['backbone'].split()[0]}, {row['against'].removeprefix('alone, ')}"
        names.append(html.escape(name))
        figure.add_scatter(
            x=[row["mean"]],
            y=[number],
            error_x={
                "symmetric": False,
                "array": [row["high"] - row["mean"]],
                "arrayminus": [row["mean"] - row["low"]],
            },
            mode="markers",
            marker={"color": colour, "size": 9, "symbol": "diamond"},
            hovertemplate=f"{names[-1]}: %{{x:.3g}} [{row['low']:.3g}, {row['high']:.3g}]<extra></extra>",
        )
        figure.add_annotation(
            x=1, xref="paper", y=number, text=html.escape(row["verdict"]), showarrow=False, xanchor="left", xshift=8
        )
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.2, "dash": "dash"})
    figure.update_layout(margin_r=150)
    return figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names, range=[len(rows) - 0.5, -0.5])


def plot_cka(similarities: Sequence[Mapping[str, Any]], one: str, other: str) -> go.Figure:
    """Linear CKA between all layers of one multitask model and all layers of another, as a heat map."""
    transposed = not any((row["one"], row["other"]) == (one, other) for row in similarities)
    names = (other, one) if transposed else (one, other)
    pair_rows = [row for row in similarities if (row["one"], row["other"]) == names]
    size = [1 + max(row[name] for row in pair_rows) for name in ("layer", "other_layer")]
    values = np.full(size, np.nan)
    for row in pair_rows:
        values[row["layer"], row["other_layer"]] = row["cka"]
    values = values.T if transposed else values
    figure = empty_figure(f"layer of {html.escape(other)}", f"layer of {html.escape(one)}", 380, legend=False)
    figure.add_heatmap(
        z=values, zmin=0, zmax=1, colorscale="Viridis", text=np.round(values, 2), texttemplate="%{text:.2f}",
        colorbar={"title": "CKA", "thickness": 12}, hovertemplate="layers %{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(dtick=1, showgrid=False)
    return figure.update_yaxes(dtick=1, showgrid=False)


def plot_probes(rows: Sequence[Mapping[str, Any]], quantity: str) -> go.Figure:
    """How well a property is predicted from each layer, mean ± sd over splits, one line per multitask model."""
    quantity_rows = [
        row for row in rows if row["asked"] == quantity and row["mean"] is not None and np.isfinite(row["mean"])
    ]
    words = metric_name(quantity_rows[0]["metric"] if quantity_rows else "r2")
    figure = empty_figure("layer (0: input embedding)", f"{html.escape(quantity)}, {words} on held-out molecules", 360)
    models = list(dict.fromkeys(row["trunk"] for row in quantity_rows))
    for model, colour, symbol in zip(models, series_colours(len(models)), SYMBOLS * len(models), strict=False):
        model_rows = [row for row in quantity_rows if row["trunk"] == model]
        figure.add_scatter(
            x=[row["layer"] for row in model_rows],
            y=[row["mean"] for row in model_rows],
            error_y={"array": [row["sd"] or 0.0 for row in model_rows], "thickness": 1.2, "width": 3},
            mode="lines+markers",
            line={"color": colour},
            marker={"size": 8, "symbol": symbol},
            name=html.escape(model),
            hovertemplate=f"{html.escape(model)}, layer %{{x}}: %{{y:.3f}}<extra></extra>",
        )
    return figure.update_xaxes(dtick=1)
