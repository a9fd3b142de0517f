"""Sampling and evaluation of the tables of a mixture."""

import numpy as np
import pytest

from core.results.literature import published_results
from core.results.mixture import (
    draw_epoch,
    evaluate_tasks,
    mean_metrics,
    metric_intervals,
    mixing_shares,
    molecule_of_rows,
)
from core.results.mixture_differences import mean_error, paired_difference_of_means, task_error


def test_mixing_shares() -> None:
    assert mixing_shares([900, 100], "proportional").tolist() == [0.9, 0.1]
    assert mixing_shares([900, 100], "square-root").tolist() == [0.75, 0.25]
    assert mixing_shares([900, 100], "equal").tolist() == [0.5, 0.5]


def test_proportional_epoch_contains_every_molecule_once() -> None:
    result = draw_epoch([30, 7, 1], "proportional", np.random.default_rng(0))
    assert sorted(result) == list(range(38)) and list(result) != list(range(38))


@pytest.mark.parametrize(("mixing", "wanted"), [("square-root", (30, 10)), ("equal", (20, 20))])
def test_small_table_is_repeated_in_an_epoch(mixing: str, wanted: tuple) -> None:
    result = draw_epoch([36, 4], mixing, np.random.default_rng(1))
    assert len(result) == 40 and (int((result < 36).sum()), int((result >= 36).sum())) == wanted
    counts = np.bincount(result, minlength=40)
    assert counts[:36].max() == 1 and np.ptp(counts[36:]) <= 1, "in turns, not by luck"
    repeated = draw_epoch([36, 4], mixing, np.random.default_rng(1))
    assert (repeated == result).all() and (draw_epoch([36, 4], mixing, np.random.default_rng(2)) != result).any()


def test_metrics_by_task_and_undefined_ones() -> None:
    labels = np.array([[1.0, 1.0, 0.0], [2.0, 1.0, 1.0], [np.nan, 1.0, 1.0], [4.0, np.nan, 0.0]])
    predicted = np.array([[1.5, 0.9, 0.2], [2.0, 0.8, 0.7], [9.0, 0.7, 0.4], [3.0, 0.1, 0.3]])
    kinds = ("regression", "binary", "binary")
    result = evaluate_tasks(labels, predicted, ("a", "b", "c"), kinds, np.array([2.0, 1.0, 1.0]))
    assert result["a"]["mae"] == pytest.approx(0.5) and result["a"]["mae_sd"] == pytest.approx(0.25)
    assert result["b"]["auroc"] is None and result["c"]["auroc"] == pytest.approx(1.0) and result["a"]["n"] == 3
    means = mean_metrics(result)
    assert means["auroc"] == pytest.approx(1.0) and means["undefined"] == {"auroc": ["b"]}
    assert means["mae_sd"] == pytest.approx(0.25) and "log_loss" not in means


def test_intervals_of_tasks_and_means_use_the_same_molecules() -> None:
    generator = np.random.default_rng(0)
    y = generator.normal(size=(60, 2))
    p = y + generator.normal(size=(60, 2))
    flags = np.column_stack([y[:, 0] > 0, np.arange(60) == 7]).astype(float)  # the second has one molecule of a class
    labels, predicted = np.hstack([y, flags]), np.hstack([p, 1 / (1 + np.exp(-p))])
    kinds, spread = ("regression", "regression", "binary", "binary"), np.array([2.0, 4.0, np.nan, np.nan])
    result = metric_intervals(labels, predicted, ("a", "b", "c", "d"), kinds, spread)
    each, of_means = result["intervals"], result["means_intervals"]
    assert each["b"]["mae_sd"] == pytest.approx(np.array(each["b"]["mae"]) / 4)
    assert "auroc" in each["c"] and "auroc" not in each["d"] and "mae" not in of_means
    means = mean_metrics(evaluate_tasks(labels, predicted, ("a", "b", "c", "d"), kinds, spread))
    assert all(of_means[name][0] < means[name] < of_means[name][1] for name in ("mae_sd", "r2", "auroc"))
    width = of_means["mae_sd"][1] - of_means["mae_sd"][0]
    assert width < np.mean([each[task]["mae_sd"][1] - each[task]["mae_sd"][0] for task in "ab"])
    assert molecule_of_rows(labels) is None and molecule_of_rows([y[:2], y[:1], y[:3]]).tolist() == [0, 0, 1, 2, 2, 2]


def test_mean_error_averages_defined_tasks() -> None:
    labels = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, np.nan]])
    predicted = np.array([[0.1, 0.5], [0.9, 0.5], [0.05, 0.5]])
    assert task_error(labels[:, 0], predicted[:, 0], "binary", 1.0) == pytest.approx(0.5)
    assert task_error(labels[:, 1], predicted[:, 1], "binary", 1.0) is None
    assert mean_error(labels, predicted, ("binary", "binary"), np.ones(2)) == pytest.approx(0.5)
    assert mean_error(labels, predicted, ("regression", "regression"), np.array([1.0, 2.0])) == pytest.approx(
        ((0.1 + 0.1 + 0.95) / 3 + 0.25) / 2
    )


def test_difference_interval_covers_seeds_and_molecules() -> None:
    generator = np.random.default_rng(0)
    labels = generator.normal(size=(300, 2))
    ours = [labels + generator.normal(size=labels.shape) * 0.5 for _ in range(3)]
    theirs = [labels + generator.normal(size=labels.shape) * 0.8 for _ in range(3)]
    kinds, spread = ("regression", "regression"), np.ones(2)
    result = paired_difference_of_means(labels, ours, theirs, kinds, spread)
    expected = np.sqrt(2 / np.pi) * (0.5 - 0.8)
    assert result["low"] < expected < result["high"] < 0 and result["verdict"] == "better" and result["repeats"] == 3
    assert (
        paired_difference_of_means(labels, ours[:1], theirs[:1], kinds, spread)["verdict"] == "one seed: noise unknown"
    )
    same = [labels + generator.normal(size=labels.shape) * 0.5 for _ in range(3)]
    assert paired_difference_of_means(labels, ours, same, kinds, spread)["verdict"] == "not distinguishable"


def test_published_results_match_tables_and_layers() -> None:
    result = published_results(["zinc", "mine"], ["GINE 4x96 (random weights)"])
    assert [(one["member"], one["layer"], one["arm"], one["mae_sd"]) for one in result] == [
        ("zinc", "GINE", "alone", 0.266), ("zinc", "GINE", "all together", 0.147),
    ]  # fmt: skip
    assert all("2310.04292" in one["source"] for one in result) and not published_results(["mine"], ["GINE 4x96"])
    assert published_results(["tox21"], ["GIN 4x96"])[0]["auroc"] == 0.789
