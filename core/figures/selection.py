"""Plotly figure of a selection: a map of selected molecules, pool and training set."""

import html
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from core.figures.base import HARMFUL, HELPFUL, NEUTRAL, empty_figure

MAX_SMILES_LENGTH = 60  # characters of a SMILES on hover


def plot_projection(table: pd.DataFrame, selected: Sequence[int], height: int = 520) -> go.Figure:
    """A map of training set (grey), pool (blue) and selected molecules (orange, outlined).

    `table`: part ("train" or "pool"), row, smiles, x, y; `selected`: rows of the pool. `customdata` is the row.
    """
    figure = empty_figure("", "", height)
    chosen = (table["part"] == "pool") & table["row"].isin(list(selected))
    for name, mask, style in (
        ("training set", table["part"] == "train", {"size": 5, "color": NEUTRAL, "opacity": 0.35}),
        ("pool", (table["part"] == "pool") & ~chosen, {"size": 6, "color": HELPFUL, "opacity": 0.65}),
        ("selected", chosen, {"size": 10, "color": HARMFUL, "line": {"width": 1.5, "color": "white"}}),
    ):
        group = table[mask]
        figure.add_scattergl(
            x=group["x"],
            y=group["y"],
            mode="markers",
            name=f"{name}: {len(group):,}",
            marker=style,
            customdata=group["row"],
            text=[html.escape(smiles[:MAX_SMILES_LENGTH]) for smiles in group["smiles"]],
            hovertemplate="%{text}<extra></extra>",
        )
    for axis in (figure.update_xaxes, figure.update_yaxes):
        axis(showticklabels=False, zeroline=False, showgrid=False)
    return figure
