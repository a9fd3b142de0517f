"""Figures of predictions against labels: every molecule is drawn once; ROC and reliability match their definitions."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from core.figures import labels as figures

RNG = np.random.default_rng(0)


def test_score_map_points_have_row_numbers():
    n = 50
    table = pd.DataFrame({"smiles": ["C<b>"] * n, "label": RNG.normal(0, 1, n), "delta_loss": RNG.normal(0, 1, n)})
    table["prediction"], table["mislabelled"] = table["label"] + 1, np.arange(n) % 5 == 0
    label = table["label"].to_numpy()
    figure = figures.plot_score_map(table, "log M", picked=7)
    points = [trace for trace in figure.data if trace.type == "scattergl"]
    rows = np.concatenate([trace.customdata for trace in points])
    assert sorted(rows) == list(range(n))
    assert (label[rows] == np.concatenate([trace.x for trace in points])).all()
    assert all("<b>" not in text for trace in points for text in trace.text)
    ring = next(trace for trace in figure.data if trace.name == "picked")
    assert list(ring.x) == [label[7]]


def test_parity_draws_the_test_set_last():
    table = pd.DataFrame(
        {
            "part": ["test", "train", "valid"],
            "row": [0, 0, 0],
            "smiles": ["C", "CC", "CCC"],
            "label": [1.0, 2, 3],
            "prediction": [1.0, 2, 4],
        }
    )
    figure = figures.plot_parity(table, "log M")
    assert [trace.name for trace in figure.data if trace.type == "scattergl"] == ["training", "validation", "test"]
    assert figure.layout.xaxis.title.text == "measured value (log M)"


def two_classes(n: int = 90) -> pd.DataFrame:
    chance = RNG.uniform(0, 1, n)
    part = np.array(["train", "valid", "test"])[np.arange(n) % 3]
    label = np.where(np.arange(n) % 10 == 9, np.nan, RNG.random(n) < chance)
    return pd.DataFrame({"part": part, "row": 0, "smiles": "C", "label": label, "prediction": chance.round(1)})


def test_classes_are_jittered_on_the_score_map():
    table = two_classes().assign(delta_loss=RNG.normal(0, 1, 90)).fillna({"label": 0.0})
    figure = figures.plot_score_map(table, picked=8)
    points = next(trace for trace in figure.data if trace.type == "scattergl")
    assert len(set(points.x)) == 90 and (np.round(points.x) == table["label"][list(points.customdata)]).all()
    assert all(text.endswith(f"measured {label:.3g}") for text, label in zip(points.text, table["label"], strict=True))
    ring = next(trace for trace in figure.data if trace.name == "picked")
    assert list(ring.x) == [points.x[list(points.customdata).index(8)]] and list(figure.layout.xaxis.tickvals) == [0, 1]


def test_roc_legend_shows_the_area():
    table = two_classes()
    figure = figures.plot_roc(table, {"test": (0.7, 0.9)})
    assert [trace.name and trace.name.split(":")[0] for trace in figure.data] == [None, "validation", "test"]
    for trace, part in zip(figure.data[1:], ("valid", "test"), strict=True):
        mine = table[(table["part"] == part) & table["label"].notna()]
        area = roc_auc_score(mine["label"], mine["prediction"])
        assert np.trapezoid(trace.y, trace.x) == pytest.approx(area)
        assert f"{area:.3f}" in trace.name and ("0.70 to 0.90" in trace.name or "0.700 to 0.900" in trace.name) == (
            part == "test"
        )
    one_class = table.assign(label=1.0)
    assert len(figures.plot_roc(one_class).data) == 1


def test_reliability_points_are_shares_of_ones():
    table = two_classes(300)
    y, p = table["label"].to_numpy(float), table["prediction"].to_numpy(float)
    points = figures.plot_reliability(y, p).data[1]
    assert len(points.x) == figures.BINS and sum(int(text.split()[0]) for text in points.text) == 270
    order = np.argsort(p[~np.isnan(y)], kind="stable")
    first = order[:27]
    assert points.y[0] == pytest.approx(y[~np.isnan(y)][first].mean())
    assert points.x[0] == pytest.approx(p[~np.isnan(y)][first].mean())
    assert (np.array(points.y) + points.error_y.array <= 1).all() and (
        np.array(points.y) >= points.error_y.arrayminus
    ).all()
    assert (
        len(figures.plot_reliability(y[:20], p[:20]).data[1].x) == 1
        and len(figures.plot_reliability(y[:0], p[:0]).data) == 1
    )
