"""Scores against their formulas by hand, save and load, errors, detection of mislabelled molecules."""

import json

import numpy as np
import pandas as pd
import pytest

from core.engine.spec import BadInput
from core.results.scores import (
    Scores,
    build_score_columns,
    describe_unit,
    evaluate_detection,
    read_benefits,
    unit_factor,
)


def test_columns_of_a_regression_task_are_in_label_units():
    """ΔL = −2 · residual · slope / N for a loss of r² in label units, whatever the scale inside."""
    labels, predictions, slopes = (
        np.array([[1.0], [4.0], [np.nan]]),
        np.array([[3.0], [3.5], [2.0]]),
        np.array([[0.5], [2.0], [1.0]]),
    )
    table = build_score_columns(labels, predictions, slopes, ["logS"], ["regression"], np.array([2.5]), cells=10)
    assert list(table) == ["label", "prediction", "residual", "slope", "influence", "delta_loss", "benefit"]
    assert np.allclose(table["influence"][:2], [-2 * 2 * 0.5, -2 * -0.5 * 2.0])
    assert np.allclose(table["delta_loss"][:2], [-0.2, 0.2]) and np.allclose(table["benefit"][:2], [0.2, -0.2])
    assert np.isnan(table["influence"][2]) and table["slope"][2] == 1.0  # no label, no score; the slope stays


def test_several_tasks_add_up_over_measured_cells():
    labels = np.array([[1.0, 1.0], [np.nan, 0.0]])
    predictions, slopes = np.array([[2.0, 0.8], [5.0, 0.3]]), np.array([[3.0, 2.0], [1.0, 4.0]])
    spread = np.array([2.0, 1.0])
    table = build_score_columns(labels, predictions, slopes, ["a", "b"], ["regression", "binary"], spread, 4)
    first = -(2 * 1.0 / 4 * 3.0 + (0.8 - 1) * 2.0)
    assert np.allclose(table["influence"], [first, -0.3 * 4.0])
    assert {"label:a", "prediction:b", "residual:a", "slope:b"} <= set(table)


def test_unit_in_words():
    assert (
        describe_unit(["regression"], ["logS"]) == "(logS)²" and describe_unit(["regression"], [""]) == "label units²"
    )
    assert describe_unit(["binary"], [""]) == "nat (cross-entropy)"
    assert (
        unit_factor(["regression"], np.array([3.0])) == 9 and unit_factor(["regression"] * 2, np.array([3.0, 1.0])) == 1
    )


def scores_of(delta: list[float], **columns: list) -> Scores:
    delta = np.array(delta)
    table = pd.DataFrame(
        {
            "smiles": [f"C{k}" for k in range(len(delta))],
            "residual": delta,
            "delta_loss": delta,
            "benefit": -delta,
            **columns,
        }
    )
    return Scores(
        table,
        np.arange(3, dtype=np.float32),
        {"train": np.eye(2, dtype=np.float32)},
        {"unit": "logS²", "converged": True},
    )


def test_save_and_load(tmp_path):
    scores = scores_of([0.3, -0.2, np.nan], mislabelled=[True, False, False])
    scores.save(tmp_path)
    loaded = Scores.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.table, scores.table)
    assert (loaded.vector == scores.vector).all() and (loaded.last_layer["train"] == np.eye(2)).all()
    assert loaded.record == scores.record
    assert {path.suffix for path in tmp_path.iterdir()} == {".parquet", ".safetensors", ".json"}


def test_summary_is_plain_json():
    result = json.loads(json.dumps(scores_of([0.3, -0.2, np.nan, -0.7]).summary(), allow_nan=False))
    assert (result["rows"], result["scored"], result["helpful"], result["harmful"]) == (4, 3, 2, 1)
    assert [entry["row"] for entry in result["most_helpful"]] == [3, 1, 0]
    assert [entry["row"] for entry in result["most_harmful"]] == [0, 1, 3]
    assert result["quantiles"]["0.5"] == -0.2 and result["unit"] == "logS²"


def test_scores_without_a_ranking_are_refused():
    with pytest.raises(BadInput, match="1 of 3 scores are not finite"):
        read_benefits(scores_of([0.1, np.nan, 0.2]))
    with pytest.raises(BadInput, match=r"all 3 scores are -0\.1"):
        read_benefits(scores_of([0.1, 0.1, 0.1]))
    assert (read_benefits(scores_of([0.1, -0.1])) == [-0.1, 0.1]).all()


def test_mislabelled_molecules_are_detected():
    generator = np.random.default_rng(0)
    mislabelled = np.arange(200) < 40
    scores = scores_of(list(generator.normal(size=200)), mislabelled=list(mislabelled))
    scores.table["residual"] = generator.normal(size=200) * np.where(mislabelled, -8, 1)  # large either way
    result = evaluate_detection(scores.table)
    assert result["residual"]["auroc"] > 0.85 and 0.35 < result["delta_loss"]["auroc"] < 0.65
    for entry in result.values():
        assert entry["low"] < entry["auroc"] < entry["high"]
    scores.table["delta_loss"] = mislabelled.astype(float)
    assert evaluate_detection(scores.table)["delta_loss"]["auroc"] == 1.0  # more harmful is more suspicious
    assert evaluate_detection(scores_of([0.1, 0.2]).table) == {}
