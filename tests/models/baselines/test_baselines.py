"""Every baseline: regression, classification, determinism, settings."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

from core.engine.form import describe_fields
from core.engine.report import Cancelled, Report
from core.engine.spec import BadInput
from core.models.baselines import BASELINES, GradientBoosting, RandomForest, SupportVectors

QUICK = {"trees": 60}  # enough for a test


@pytest.fixture(params=BASELINES.values(), ids=list(BASELINES))
def baseline(request: pytest.FixtureRequest) -> Any:
    names = {field.name for field in describe_fields(request.param)}
    return request.param(**{name: value for name, value in QUICK.items() if name in names})


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    """Rows (120, 5), of which the first two columns make the label."""
    rows = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    return rows, 300.0 + 40.0 * rows[:, 0] - 20.0 * rows[:, 1].astype(float)


def test_predictions_are_in_label_units(baseline: Any, table: tuple) -> None:
    rows, labels = table
    predicted = baseline(rows[:90], labels[:90], "regression", 0)(rows[90:])
    assert predicted.shape == (30,)
    assert np.sqrt(np.mean((predicted - labels[90:]) ** 2)) < 0.75 * labels[90:].std()


def test_classifiers_predict_probabilities(baseline: Any, table: tuple) -> None:
    rows, labels = table
    classes = (labels > 300).astype(float)
    chance = baseline(rows[:90], classes[:90], "binary", 0)(rows[90:])
    assert ((chance >= 0) & (chance <= 1)).all() and len(set(chance.round(6))) > 5
    assert np.mean((chance > 0.5) == classes[90:]) > 0.75


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_the_seed_determines_the_model(baseline: Any, table: tuple, kind: str) -> None:
    rows, labels = table
    labels = labels if kind == "regression" else (labels > 300).astype(float)
    one, other = (baseline(rows, labels, kind, 3)(rows) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    if baseline.kind != "support-vectors":
        assert not np.array_equal(one, baseline(rows, labels, kind, 4)(rows))


@pytest.mark.parametrize("trees", [1, 7, 60])
def test_slices_give_the_same_trees(table: tuple, trees: int) -> None:
    rows, labels = table
    slices = GradientBoosting(trees=trees)(rows, labels, "regression", 3)(rows)
    whole = HistGradientBoostingRegressor(
        learning_rate=0.05, max_iter=trees, max_features=0.3, early_stopping=False, random_state=3
    )
    np.testing.assert_array_equal(slices, whole.fit(rows, labels).predict(rows))
    slices = RandomForest(trees=trees)(rows, labels, "regression", 3)(rows)
    whole = RandomForestRegressor(n_estimators=trees, max_features=0.3, random_state=3)
    np.testing.assert_array_equal(slices, whole.fit(rows, labels).predict(rows))


@pytest.mark.parametrize("baseline", [GradientBoosting(trees=40), RandomForest(trees=40)], ids=lambda one: one.kind)
def test_fitting_reports_progress_and_can_be_cancelled(baseline: Any, table: tuple) -> None:
    messages: list[tuple[float, str]] = []
    report = Report(
        tell=lambda done, message, numbers: messages.append((done, message)), cancelled=lambda: len(messages) > 3
    )
    with pytest.raises(Cancelled):
        baseline(*table, "regression", 0, report)
    assert messages == [(k / 10, f"growing trees, {4 * k} of 40") for k in range(4)]


def test_support_vectors_do_not_depend_on_the_unit(table: tuple) -> None:
    rows, labels = table
    small = SupportVectors()(rows, labels * 1e-6, "regression", 0)(rows)
    np.testing.assert_allclose(small * 1e6, SupportVectors()(rows, labels, "regression", 0)(rows), rtol=1e-6)


def test_support_vectors_sample_large_tables(table: tuple) -> None:
    rows, labels = table
    few = SupportVectors(most=30)
    one, again, other = (few(rows, labels, "regression", seed)(rows) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other), "another seed draws others"
    sample = np.random.default_rng(0).permutation(120)[:30]
    np.testing.assert_allclose(one, SupportVectors()(rows[sample], labels[sample], "regression", 0)(rows))


def test_support_vectors_need_two_of_each_class() -> None:
    with pytest.raises(
        BadInput, match="2 molecules of each class to calibrate probabilities, got 3 with 0 and 1 with 1"
    ):
        SupportVectors()(np.eye(4), np.array([0.0, 0, 0, 1]), "binary", 0)


@pytest.mark.parametrize(("kind", "field"), [("random-forest", "trees"), ("gradient-boosting", "share")])
def test_settings_outside_their_limits_are_refused(kind: str, field: str) -> None:
    with pytest.raises(BadInput, match=f"{kind}.{field}"):
        BASELINES.read({"kind": kind, field: 0})


def test_settings_round_trip_through_json() -> None:
    for member in BASELINES.values():
        baseline = dataclasses.replace(member(), features="both")
        assert BASELINES.read({"kind": baseline.kind, "features": "both"}) == baseline
