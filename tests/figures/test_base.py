import json

import numpy as np
import pandas as pd
import pytest

from core.figures import arms as arm_figures
from core.figures import base as figures

RNG = np.random.default_rng(0)


def bars(figure):
    return [trace for trace in figure.data if trace.type == "bar"]


def test_histogram_counts_every_molecule_on_its_side_of_zero():
    values = np.concatenate([RNG.normal(0, 1, 500), [80.0, -90.0]])
    helps, harms = bars(figures.plot_score_distribution(values, "(log M)²"))
    assert sum(helps.y) == (values < 0).sum() and sum(harms.y) == (values >= 0).sum()
    assert max(helps.x) < 0 < min(harms.x)
    assert helps.name.startswith("helps") and harms.name.startswith("harms"), "colour is not the only signal"
    assert helps.marker.color != harms.marker.color


def test_mislabelled_molecules_are_marked():
    values = RNG.normal(0, 1, 100)
    figure = figures.plot_score_distribution(values, mislabelled=np.arange(100) < 20)
    assert len(figure.data[-1].x) == 20 and "20" in figure.data[-1].name


@pytest.mark.parametrize("values", [[], [0.0], [np.nan, np.nan], [1.0] * 60, [-1e-9, 1e9]])
def test_histogram_of_degenerate_scores(values):
    figure = figures.plot_score_distribution(values)
    assert sum(sum(trace.y) for trace in bars(figure)) == np.isfinite(values).sum()


def test_sample_contains_both_extremes():
    values = RNG.normal(0, 1, 20_000)
    rows = figures.sample_rows(values, 1000)
    assert len(rows) == len(set(rows)) == 1000 and (np.diff(rows) > 0).all()
    assert {values.argmin(), values.argmax()} <= set(rows)
    assert set(np.argsort(values)[:250]) <= set(rows)
    assert (figures.sample_rows(values[:10]) == np.arange(10)).all()


def test_best_epoch_has_a_ring():
    curve = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [3.0, 2, 1], "valid_loss": [3.0, 1, 2]})
    figure = figures.plot_learning_curves({"run": curve}, {"run": 2})
    ring = figure.data[-1]
    assert list(ring.x) == [2] and list(ring.y) == [1.0]
    assert len(figures.plot_learning_curves({"a": curve, "b": curve}).data) == 4
    assert not figures.plot_learning_curves({"new": curve.iloc[:0]}).data


ARMS = [
    {"name": "none", "seeds": [0, 1, 2], "rmse": {"mean": 0.8, "sd": 0.1, "values": [0.7, 0.8, 0.9]}},
    {"name": "top", "seeds": [0, 1, 2], "rmse": {"mean": 0.6, "sd": None, "values": [0.6, None, 0.6]}},
]


def test_arms_show_every_seed_and_the_reference_band():
    figure = arm_figures.plot_arms(ARMS, "rmse", "log M")
    band = figure.layout.shapes[0]
    assert (band.x0, band.x1) == (pytest.approx(0.7), pytest.approx(0.9))
    assert [list(trace.x) for trace in figure.data] == [[0.7, 0.8, 0.9], [0.8], [0.6, 0.6], [0.6]]
    assert list(figure.layout.yaxis.ticktext) == ["none", "top"]


def test_baseline_and_control_have_their_own_symbols():
    more = [{**ARMS[1], "name": role, "role": role} for role in ("baseline", "control")]
    marks = [trace.marker for trace in arm_figures.plot_arms([*ARMS, *more]).data[1::2]]
    assert [mark.symbol for mark in marks] == ["diamond", "diamond", "square", "triangle-up"]
    assert len({mark.color for mark in marks}) == 4


def test_differences_show_the_verdict_as_text():
    row = {
        "arm": "top",
        "against": "none",
        "metric": "rmse",
        "mean": -0.2,
        "low": -0.3,
        "high": -0.1,
        "verdict": "better",
    }
    figure = arm_figures.plot_differences([row, {**row, "metric": "mae"}])
    assert len(figure.data) == 1
    assert figure.data[0].error_x.arrayminus[0] == pytest.approx(0.1)
    assert [note.text for note in figure.layout.annotations] == ["better"]


def test_pareto_front_and_arms_without_cost():
    def arm(name: str, cost: float | None, error: float) -> dict:
        card = {"name": name, "cost": cost, "seconds": {"mean": cost, "sd": 0.5}}
        return card | {"rmse": {"mean": error, "sd": 0.1}, "r2": {"mean": 1 - error, "sd": None}}

    table = [arm("full", 100.0, 0.5), arm("thin", 10.0, 0.6), arm("bad", 20.0, 0.7), arm("head", 0.0, 0.9)]
    table.append(arm("unknown", None, 0.1))
    for metric in ("rmse", "r2"):
        figure = arm_figures.plot_pareto(table, "cost", "weights", metric, "log M", "full")
        line, *points = figure.data
        assert list(line.x) == [pytest.approx(10 / 3), 10.0, 100.0]  # nothing stands at a third of the smallest cost
        assert [point.text[0] for point in points] == ["full", "thin", "bad", "head: 0"]
        assert figure.layout.xaxis.type == "log"
    spread = arm_figures.plot_pareto(table, "seconds", "time").data[1]
    assert spread.error_x.array[0] == 0.5 and spread.error_y.array[0] == 0.1


def test_convergence_has_a_logarithmic_axis():
    figure = figures.plot_convergence({"cg": [(1, 1.0), (2, 0.1), (3, 0.01)]}, tolerance=0.01)
    assert figure.layout.yaxis.type == "log" and list(figure.data[0].x) == [1, 2, 3]


def test_label_histogram_has_common_bins_and_skips_missing_labels():
    figure = figures.plot_label_histogram({"train": [1.0, 2, np.nan], "test": [5.0]}, "logS", "log M")
    assert [sum(trace.y) for trace in figure.data] == [2, 1]
    assert list(figure.data[0].x) == list(figure.data[1].x)
    assert not figures.plot_label_histogram({"none": []}).data
    (bar,) = figures.plot_label_histogram({"train": [0.0, 1, 1, np.nan]}).data
    assert list(bar.x) == [0.0, 1.0] and list(bar.y) == [1, 2]


def test_figures_are_transparent_json_without_scripts():
    figure = arm_figures.plot_arms([{**ARMS[0], "name": "<img onerror=x>"}], reference="x")
    text = json.dumps(json.loads(figure.to_json()))
    assert "<img" not in text
    assert figure.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"
