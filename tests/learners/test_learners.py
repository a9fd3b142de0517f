"""Every learner learns, repeats itself, and tells classes; what it sees of molecules is scaled by the training part."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from core import properties
from core.learners import LEARNERS, SupportVectors, named
from core.learners.features import Features
from core.report import Cancelled, Report
from core.spec import BadInput, form

QUICK = {"trees": 60}  # as deep as a test needs
TRAIN = ["CCO", "CCCO", "CCCCO", "c1ccccc1O", "CCN", "CCCN"]


@pytest.fixture(params=LEARNERS.values(), ids=list(LEARNERS))
def learner(request: pytest.FixtureRequest) -> Any:
    names = {field.name for field in form(request.param)}
    return request.param(**{name: value for name, value in QUICK.items() if name in names})


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    """Rows (120, 5), of which the first two columns make the label."""
    rows = np.random.default_rng(0).normal(size=(120, 5)).astype(np.float32)
    return rows, 300.0 + 40.0 * rows[:, 0] - 20.0 * rows[:, 1].astype(float)


def test_it_learns_in_the_unit_of_the_labels(learner: Any, table: tuple) -> None:
    rows, labels = table
    predicted = learner(rows[:90], labels[:90], "regression", 0)(rows[90:])
    assert predicted.shape == (30,)
    assert np.sqrt(np.mean((predicted - labels[90:]) ** 2)) < 0.75 * labels[90:].std()


def test_it_tells_classes_by_probabilities(learner: Any, table: tuple) -> None:
    rows, labels = table
    classes = (labels > 300).astype(float)
    chance = learner(rows[:90], classes[:90], "binary", 0)(rows[90:])
    assert ((chance >= 0) & (chance <= 1)).all() and len(set(chance.round(6))) > 5
    assert np.mean((chance > 0.5) == classes[90:]) > 0.75


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_the_same_seed_gives_the_same_model(learner: Any, table: tuple, kind: str) -> None:
    rows, labels = table
    labels = labels if kind == "regression" else (labels > 300).astype(float)
    one, other = (learner(rows, labels, kind, 3)(rows) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    if learner.kind != "support-vectors":
        assert not np.array_equal(one, learner(rows, labels, kind, 4)(rows))


def test_a_learner_is_called_in_words(learner: Any) -> None:
    assert named(learner) == learner.kind.replace("-", " ") and "-" not in named(learner)


def test_support_vectors_do_not_mind_the_unit(table: tuple) -> None:
    rows, labels = table
    small = SupportVectors()(rows, labels * 1e-6, "regression", 0)(rows)
    np.testing.assert_allclose(small * 1e6, SupportVectors()(rows, labels, "regression", 0)(rows), rtol=1e-6)


def test_support_vectors_learn_from_a_draw_where_there_are_too_many(table: tuple) -> None:
    rows, labels = table
    few = SupportVectors(most=30)
    one, again, other = (few(rows, labels, "regression", seed)(rows) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other), "another seed draws others"
    place = np.random.default_rng(0).permutation(120)[:30]
    np.testing.assert_allclose(one, SupportVectors()(rows[place], labels[place], "regression", 0)(rows))


def test_support_vectors_want_two_of_either_class() -> None:
    with pytest.raises(BadInput, match="2 molecules of either class to tell probabilities, got 3 with 0 and 1 with 1"):
        SupportVectors()(np.eye(4), np.array([0.0, 0, 0, 1]), "binary", 0)


@pytest.mark.parametrize(("kind", "field"), [("random-forest", "trees"), ("gradient-boosting", "share")])
def test_a_setting_out_of_its_limits_is_refused(kind: str, field: str) -> None:
    with pytest.raises(BadInput, match=f"{kind}.{field}"):
        LEARNERS.read({"kind": kind, field: 0})


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("descriptors", "{} descriptors"),
        ("fingerprints", "2,048 fingerprint bits"),
        ("both", "{} descriptors and 2,048 fingerprint bits"),
    ],
)
def test_rows_are_what_they_are_said_to_be(columns: str, words: str) -> None:
    features, rows = Features.fitted(columns, TRAIN)
    counted = features.descriptors
    assert (counted > 0) == (columns != "fingerprints")
    assert features.words == words.format(counted)
    assert rows.dtype == np.float32 and rows.shape == (6, counted + (2048 if columns != "descriptors" else 0))
    np.testing.assert_array_equal(rows, features(TRAIN))
    again = Features.from_json(features.to_json())
    np.testing.assert_array_equal(again(["CCS"]), features(["CCS"]))


def test_the_scaling_knows_the_training_molecules_alone() -> None:
    features, rows = Features.fitted("descriptors", TRAIN)
    assert np.abs(rows.mean(0)).max() < 0.5, "centred on the training molecules"
    far = features(["C" * 60])
    assert np.abs(far).max() == pytest.approx(properties.REACH) and np.isfinite(far).all()
    other, _ = Features.fitted("descriptors", [*TRAIN, "C" * 60])
    assert not np.array_equal(other(["CCO"])[:, :5], features(["CCO"])[:, :5])


def test_what_is_undefined_stands_at_the_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = Features.fitted("descriptors", TRAIN)
    monkeypatch.setattr(
        properties,
        "measured",
        lambda smiles, quick=False: np.full((len(smiles), len(properties.names())), np.nan, np.float32),
    )
    assert (features(["CCO"]) == 0).all()


def test_alike_molecules_have_no_descriptor_to_learn_from() -> None:
    with pytest.raises(BadInput, match="no descriptor varies"):
        Features.fitted("descriptors", ["CCO", "OCC"])


def test_computing_descriptors_can_be_cancelled() -> None:
    looks = iter(range(10))
    with pytest.raises(Cancelled):
        Features.fitted("descriptors", ["CCO", "CCN"] * 200, Report(cancelled=lambda: next(looks) == 1))


def test_settings_are_read_back() -> None:
    for member in LEARNERS.values():
        made = dataclasses.replace(member(), features="both")
        assert LEARNERS.read({"kind": made.kind, "features": "both"}) == made
