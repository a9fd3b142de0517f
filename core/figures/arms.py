"""Plotly figures that compare arms: errors by seed, differences with intervals, accuracy against cost."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.figures.base import HARMFUL, HELPFUL, NEUTRAL, add_unit, empty_figure, series_colours
from core.stats.metrics import find_metric, metric_name

ROLE_MARKERS = {
    "baseline": ("#B0579F", "square"),
    "control": ("#C9A227", "triangle-up"),
}  # of arms that are no selection strategy or method
UNKNOWN = {"mean": None, "sd": None, "values": []}  # for a metric that an arm was stored without


def plot_arms(
    table: Sequence[Mapping[str, Any]], metric: str = "rmse", unit: str = "", reference: str = "none", words: str = ""
) -> go.Figure:
    """Mean ± sd of a metric, one row per arm, one point per seed; the band is the reference's mean ± one sd.

    `words`, here and below: the name of the metric, by default its name for regression.
    """
    figure = _rows(add_unit(f"test {words or metric_name(metric)}, mean ± sd", unit), len(table))
    base = next((_card(arm, metric) for arm in table if arm["name"] == reference), UNKNOWN)
    if base["mean"] is not None:
        sd = base["sd"] or 0.0
        figure.add_vrect(x0=base["mean"] - sd, x1=base["mean"] + sd, fillcolor=NEUTRAL, opacity=0.16, line_width=0)
        figure.add_vline(x=base["mean"], line={"color": NEUTRAL, "width": 1.2, "dash": "dash"})
    names = [html.escape(str(arm["name"])) for arm in table]
    for number, (name, arm) in enumerate(zip(names, table, strict=True)):
        card = _card(arm, metric)
        values, sd = [value for value in card["values"] if value is not None], card["sd"] or 0.0
        colour, symbol = ROLE_MARKERS.get(arm.get("role"), (HELPFUL, "diamond"))
        colour = NEUTRAL if arm["name"] == reference else colour
        figure.add_scatter(
            x=values,
            y=number + (np.linspace(-0.14, 0.14, len(values)) if len(values) > 1 else np.zeros(len(values))),
            mode="markers",
            marker={"size": 7, "color": colour, "opacity": 0.45},
            text=[f"seed {seed}" for seed in arm.get("seeds", range(len(values)))],
            hovertemplate=f"{name}, %{{text}}: %{{x:.4g}}<extra></extra>",
        )
        hover = f"{name}: %{{x:.4g}} ± {sd:.2g}<extra></extra>"
        _interval(figure, card["mean"], number, sd, sd, colour, hover, symbol)
    return figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names)


def plot_selection_sizes(
    table: Sequence[Mapping[str, Any]], metric: str = "rmse", unit: str = "", words: str = ""
) -> go.Figure:
    """Mean ± sd of a metric against the number of selected molecules, one line per selection strategy.

    Selecting nothing or the full pool is a horizontal line with a band. Arms without a `rule` are left out.
    """
    figure = empty_figure("molecules selected", add_unit(f"test {words or metric_name(metric)}, mean ± sd", unit), 380)
    strategies = dict.fromkeys(arm["rule"] for arm in table if arm.get("rule") and arm["kept"] is not None)
    for arm in table:
        card = _card(arm, metric)
        if arm.get("rule") and arm["kept"] is None and card["mean"] is not None:
            mean, sd, name = card["mean"], card["sd"] or 0.0, html.escape(str(arm["name"]))
            figure.add_hrect(y0=mean - sd, y1=mean + sd, fillcolor=NEUTRAL, opacity=0.13, line_width=0)
            figure.add_hline(
                y=mean,
                line={"color": NEUTRAL, "width": 1.2, "dash": "dash" if arm["rule"] == "none" else "dot"},
                annotation_text=name,
                annotation_position="right",
            )
    shifts = np.linspace(-1, 1, len(strategies)) if len(strategies) > 1 else [0.0] * len(strategies)
    for strategy, colour, shift in zip(strategies, series_colours(len(strategies)), shifts, strict=True):
        strategy_arms = sorted((arm for arm in table if arm.get("rule") == strategy), key=lambda arm: arm["kept"])
        strategy_arms = [arm for arm in strategy_arms if _card(arm, metric)["mean"] is not None]
        widest = max((arm["kept"] for arm in strategy_arms), default=1)
        figure.add_scatter(
            x=[arm["kept"] + 0.008 * widest * shift for arm in strategy_arms],  # so that error bars do not overlap
            y=[arm[metric]["mean"] for arm in strategy_arms],
            error_y={"array": [arm[metric]["sd"] or 0.0 for arm in strategy_arms], "thickness": 1.2, "width": 3},
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"size": 7},
            name=html.escape(strategy),
            customdata=[arm["kept"] for arm in strategy_arms],
            hovertemplate=f"{html.escape(strategy)}, %{{customdata}} selected: %{{y:.4g}}<extra></extra>",
        )
    return figure.update_layout(margin_r=60)


def plot_differences(
    table: Sequence[Mapping[str, Any]], metric: str = "rmse", unit: str = "", words: str = ""
) -> go.Figure:
    """Mean paired differences with intervals; the verdict is written next to each and repeated by its colour."""
    rows = [row for row in table if row["metric"] == metric]
    figure = _rows(add_unit(f"difference of {words or metric_name(metric)}", unit), len(rows))
    names = [html.escape(f"{row['arm']} − {row['against']}") for row in rows]
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        colour = {"better": HELPFUL, "worse": HARMFUL}.get(row["verdict"], NEUTRAL)
        hover = f"{name}: %{{x:.3g}} [{row['low']:.3g}, {row['high']:.3g}]<extra></extra>"
        _interval(figure, row["mean"], number, row["mean"] - row["low"], row["high"] - row["mean"], colour, hover)
        figure.add_annotation(
            x=1, xref="paper", y=number, text=html.escape(row["verdict"]), showarrow=False, xanchor="left", xshift=8
        )
    figure.add_vline(x=0, line={"color": NEUTRAL, "width": 1.2, "dash": "dash"})
    figure.update_layout(margin_r=150)  # space for the verdicts
    return figure.update_yaxes(tickvals=list(range(len(names))), ticktext=names)


def plot_pareto(
    table: Sequence[Mapping[str, Any]],
    cost: str,
    costs: str,
    metric: str = "rmse",
    unit: str = "",
    reference: str = "",
    words: str = "",
) -> go.Figure:
    """Test metric against cost of arms, both ± sd over seeds; the dotted line is the Pareto front.

    `cost`: the key of a number, or of a mean with sd, in an arm's record; `costs`: its axis title. Arms without it are
    left out. The cost axis is logarithmic; an arm without cost is drawn at a third of the smallest cost.
    """
    points = [
        (arm, *_mean_and_sd(arm[cost]), *_mean_and_sd(_card(arm, metric)))
        for arm in table
        if _mean_and_sd(arm.get(cost))[0] is not None
    ]
    points = [one for one in points if one[3] is not None]
    figure = empty_figure(html.escape(costs), add_unit(f"test {words or metric_name(metric)}", unit), 360, legend=False)
    least = min((one[1] for one in points if one[1] > 0), default=1.0) / 3
    most = max((one[1] for one in points), default=0.0)
    front = [
        one
        for one in points
        if not any(_dominates(other, one, find_metric(metric).lower_is_better) for other in points)
    ]
    front.sort(key=lambda one: one[1])
    line = {"color": NEUTRAL, "width": 1.2, "dash": "dot"}
    figure.add_scatter(
        x=[one[1] or least for one in front], y=[one[3] for one in front], mode="lines", line=line, hoverinfo="skip"
    )
    for arm, x, spread, y, noise in points:
        colour, symbol = ROLE_MARKERS.get(arm.get("role"), (HELPFUL, "diamond"))
        colour = NEUTRAL if arm["name"] == reference else colour
        name = html.escape(str(arm["name"]))
        bars = {"type": "data", "thickness": 1.4, "width": 4, "color": colour}
        figure.add_scatter(
            x=[x or least],
            y=[y],
            error_x={**bars, "array": [spread or 0.0]},
            error_y={**bars, "array": [noise or 0.0]},
            mode="markers+text",
            text=[name if x else f"{name}: 0"],
            textposition="top left" if x == most else "top right",  # away from the error bar and the edge
            marker={"size": 11, "symbol": symbol, "color": colour},
            hovertemplate=f"{name}: %{{y:.4g}} ± {noise or 0:.2g} at {x:.4g}<extra></extra>",
            cliponaxis=False,
        )
    return figure.update_xaxes(type="log")


def _card(arm: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    return arm.get(metric) or UNKNOWN


def _mean_and_sd(value: Any) -> tuple[float | None, float | None]:
    """A number and its standard deviation, None if it has none."""
    return (value["mean"], value["sd"]) if isinstance(value, Mapping) else (value, None)


def _dominates(one: tuple, other: tuple, lower: bool) -> bool:
    """Whether `one` is no more expensive and no worse than `other`, and cheaper or better."""
    worse = (one[3] - other[3]) * (1 if lower else -1)
    return one[1] <= other[1] and worse <= 0 and (one[1], one[3]) != (other[1], other[3])


def _rows(x: str, count: int) -> go.Figure:
    figure = empty_figure(x, "", 80 + 42 * max(count, 2), legend=False)
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def _interval(
    figure: go.Figure, x: float, y: float, below: float, above: float, colour: str, hover: str, symbol: str = "circle"
) -> None:
    bars = {"type": "data", "symmetric": False, "array": [above], "arrayminus": [below], "thickness": 2, "width": 6}
    marker = {"size": 12, "symbol": symbol, "color": colour}
    figure.add_scatter(x=[x], y=[y], error_x=bars, mode="markers", marker=marker, hovertemplate=hover)
