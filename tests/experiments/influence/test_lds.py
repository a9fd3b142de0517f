"""LDS: retrainings with random halves of a pool against scores."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.engine.make import make
from core.engine.report import Cancelled, Report
from core.engine.spec import BadInput, read_spec_json
from core.engine.store import Store
from core.experiments import LDS, FineTune, Influence, Load, SubsetRetraining, import_files, split_table
from core.experiments.influence.subset_retraining import target_loss
from core.influence.solvers import GradientSimilarity
from core.models.backbones import Untrained
from core.models.methods import Head


def scoring(table: Path, **changes: Any) -> Influence:
    train, valid, test, pool = split_table(Load(f"file:{table}"), seed=0, train=18, valid=10, pool=20, test=None)
    fit = FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), method=Head(), steps=12, batch_size=8)
    return Influence(fit, pool, valid, scope="head", **changes)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the training sets of all fine-tunings."""
    sizes, make_fit = [], FineTune.make

    def make_and_count(self: FineTune, report: Report, train: Any, **parts: Any) -> Any:
        sizes.append(len(train))
        return make_fit(self, report, train=train, **parts)

    monkeypatch.setattr(FineTune, "make", make_and_count)
    return sizes


def test_scores_are_compared_with_retraining(table: Path, cache: Path, trainings: list[int]) -> None:
    store = Store(cache)
    first, plain = (
        import_files(scoring(table, **change), store.files) for change in ({}, {"solver": GradientSimilarity()})
    )
    lds = dataclasses.replace(LDS.of(first, subsets=6), scores=(first, plain))
    result = make(lds, store, Report())
    record = result.summary()
    assert sorted(trainings) == [18, 18] + [28] * 6, "the fit, a retraining without the pool, six with halves of it"
    ways = {one["name"]: one for one in record["ways"]}
    assert list(ways) == [
        "first order, dual, head weights",
        "full updates, dual, head weights",
        "joint full update, dual, head weights",
        "first order, gradient-similarity, head weights",
    ]  # fmt: skip
    assert all(-1 <= one["low"] <= one["spearman"] <= one["high"] <= 1 for one in ways.values())
    assert len(result.table) == 6 and set(result.table) == {"subset", "measured", *ways}
    assert any(
        text in record["verdict"]
        for text in ("cores predict retraining: over 6", "that scores predict retraining: over 6")
    )
    retrained = store.get(lds.retrained)
    scores = store.get(first)
    assert retrained.members.sum(1).tolist() == [10] * 6 and retrained.predictions.shape == (6, 10, 1)
    sums = retrained.members @ scores.table["delta_loss"].to_numpy()
    assert np.allclose(result.table["first order, dual, head weights"], sums)
    fit = store.get(first.fit)
    labels, predictions, _ = fit.matrices("valid")
    assert retrained.record["base_loss"] == pytest.approx(float(((labels - predictions) ** 2).mean()), rel=1e-5)
    one = ((labels - retrained.predictions[3]) ** 2).mean() - retrained.record["base_loss"]
    assert result.table["measured"][3] == pytest.approx(float(one))
    assert read_spec_json(lds.text).key == lds.key


def test_interrupted_retraining_resumes(table: Path, cache: Path, trainings: list[int], tmp_path: Path) -> None:
    store = Store(cache)
    scores = import_files(scoring(table), store.files)
    recipe = SubsetRetraining(scores.fit, scores.pool, scores.target, subsets=5)
    whole = make(recipe, store, Report())
    loaded = {name: store.get(spec) for name, spec in recipe.parts().items()}
    del trainings[:]
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def stop(fraction: float, message: str, numbers: dict[str, Any]) -> None:
        if numbers.get("retraining") == 3:
            raise Cancelled(message)

    with pytest.raises(Cancelled):
        recipe.make(Report(tell=stop, scratch=scratch), **loaded)
    assert len(trainings) == 3
    again = recipe.make(Report(scratch=scratch), **loaded)
    assert len(trainings) == 6 and again.record["trained_now"] == 3
    assert np.array_equal(again.losses, whole.losses) and np.array_equal(again.members, whole.members)
    assert {path.name[:12] for path in scratch.rglob("*.safetensors")} == {"predictions-"}, "no network is stored"
    saved = sorted(scratch.glob("predictions-*"))[2]
    saved.write_bytes(saved.read_bytes()[:-1] + b"\x00")  # a changed value
    mended = recipe.make(Report(scratch=scratch), **loaded)
    assert mended.record["trained_now"] == 1 and np.array_equal(mended.losses, whole.losses)


def test_scores_of_another_fit_are_refused(table: Path) -> None:
    scores = scoring(table)
    retrained = LDS.of(scores).retrained
    with pytest.raises(BadInput, match="at least one spec of scores, all different"):
        LDS(retrained, (scores, scores))
    other = dataclasses.replace(scores, fit=dataclasses.replace(scores.fit, seed=1))
    with pytest.raises(BadInput, match="the scores have another fit than the retrainings"):
        LDS(retrained, (other,))


def test_loss_has_the_unit_of_the_scores() -> None:
    labels, predictions = np.array([[1.0, 1.0], [np.nan, 0.0]]), np.array([[3.0, 0.8], [9.0, 0.4]])
    assert target_loss(labels[:, :1], predictions[:, :1], ("regression",), np.array([2.0])) == pytest.approx(4)
    both = target_loss(labels, predictions, ("regression", "binary"), np.array([2.0, 0.5]))
    assert both == pytest.approx((1 - np.log(0.8) - np.log(0.6)) / 3)  # all correct: the best temperature is 1


def test_loss_of_a_class_is_at_the_best_temperature() -> None:
    flags = np.array([[1.0], [1.0], [1.0], [0.0]])
    sure = np.full((4, 1), 0.999)  # three of four are right
    share = np.array([0.75])
    wanted = -(3 * np.log(share) + np.log(1 - share))[0] / 4
    assert target_loss(flags, sure, ("binary",), np.ones(1)) == pytest.approx(wanted)
