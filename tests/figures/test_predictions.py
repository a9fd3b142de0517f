"""Figures of predictions: every molecule is drawn once with its row; remote and missed ones are marked."""

import numpy as np
import pandas as pd
import pytest

from core.figures import predictions as prediction_figures
from core.figures.predictions import (
    MAX_BARS,
    lighten_colour,
    plot_applicability_domain,
    plot_labels_against_predictions,
)


def table(n: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(0)
    values = random.normal(size=n)
    return pd.DataFrame(
        {
            "smiles": ["C" * (k + 1) for k in range(n)],
            "label": np.where(np.arange(n) % 4 == 0, np.nan, values + random.normal(0, 1, n)),
            "prediction": values,
            "low": values - 1,
            "high": values + 1,
            "similarity": random.uniform(0.1, 1, n),
            "remote": np.arange(n) % 5 == 0,
        }
    )


def point_traces(figure) -> list:
    return [trace for trace in figure.data if trace.customdata is not None]


def test_points_have_row_numbers() -> None:
    predictions = table()
    for figure, x, rows in (
        (plot_applicability_domain(predictions, "logD", 0.3), "similarity", range(40)),
        (plot_labels_against_predictions(predictions, "logD"), "label", np.flatnonzero(predictions["label"].notna())),
    ):
        points = {}
        for trace in point_traces(figure):
            assert np.asarray(trace.customdata).ndim == 1  # more do not come back from a browser as numbers
            points |= {int(row): (a, b) for row, a, b in zip(trace.customdata, trace.x, trace.y, strict=True)}
        assert sorted(points) == list(rows)
        assert all(points[row] == (predictions[x][row], predictions["prediction"][row]) for row in rows)


def test_remote_molecules_and_misses_are_marked() -> None:
    predictions = table()
    near, far = point_traces(plot_applicability_domain(predictions, "", 0.3))
    assert set(far.customdata) == set(np.flatnonzero(predictions["remote"])) and far.marker.symbol != near.marker.symbol
    inside, outside = point_traces(plot_labels_against_predictions(predictions, ""))
    missed = (predictions["label"] < predictions["low"]) | (predictions["label"] > predictions["high"])
    assert set(outside.customdata) == set(np.flatnonzero(missed)) and outside.name == f"outside: {missed.sum()}"
    assert (inside.marker.color, outside.marker.color) == ("#2E86DE", "#E67E22")


def test_intervals_are_drawn_for_few_molecules_and_always_on_hover() -> None:
    few, many = (
        point_traces(plot_applicability_domain(table(), "", 0))[0],
        point_traces(plot_applicability_domain(table(MAX_BARS + 1), "", 0))[0],
    )
    assert few.error_y.array is not None and many.error_y.array is None
    assert all(" to " in words for words in many.hovertext)
    without = table().assign(low=np.nan, high=np.nan)
    assert (
        point_traces(plot_applicability_domain(without, "", 0))[0].error_y.array is None
        and point_traces(plot_applicability_domain(without, "", 0))[0].hovertext[0] == ""
    )


def test_label_without_interval_is_not_inside() -> None:
    (only,) = point_traces(plot_labels_against_predictions(table().assign(low=np.nan, high=np.nan), ""))
    assert only.name.startswith("without an interval") and len(only.customdata) == 30


def test_picked_molecule_has_a_ring() -> None:
    predictions = table()
    ring = plot_applicability_domain(predictions, "", 0.3, picked=7).data[-1]
    assert (ring.x[0], ring.y[0]) == (predictions["similarity"][7], predictions["prediction"][7])
    assert len(plot_applicability_domain(predictions, "", 0.3, picked=None).data) == len(
        plot_applicability_domain(predictions, "", 0.3, picked=99).data
    )


@pytest.mark.parametrize("colour", [prediction_figures.HELPFUL, prediction_figures.HARMFUL])
def test_lighten_colour_keeps_the_hue(colour: str) -> None:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    assert lighten_colour(colour) == f"rgba({red},{green},{blue},0.5)"
