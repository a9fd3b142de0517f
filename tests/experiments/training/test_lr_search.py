"""LearningRateSearch: equal budgets for all methods, compared on the validation set."""

import dataclasses
from pathlib import Path

import pytest

from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Baseline, FineTune, Influence, LearningRateSearch, Load, import_files, split_table
from core.models.backbones import Pretrained, Untrained
from core.models.baselines import SupportVectors
from core.models.methods import IA3, LoRA


@pytest.fixture
def store(cache: Path) -> Store:
    return Store(cache)


@pytest.fixture
def fit(table: Path, store: Store) -> FineTune:
    train, valid, test = split_table(Load(f"file:{table}"), seed=0, train=None, valid=12, test=12)
    spec = FineTune(
        train, valid, test, backbone=Untrained("molsway-tiny"), steps=20, evaluations=4, batch_size=8, seed=3
    )
    return import_files(spec, store.files)


def test_full_training_has_the_rate_of_the_best_trial(fit: FineTune, store: Store) -> None:
    spec = LearningRateSearch(fit, factors=(0.001, 1.0, 0.03), steps=10)
    fit_at_best = make(spec, store, Report())
    tuned = fit_at_best.record["tuned"]
    assert tuned["learning_rates"] == [6e-7, 1.8e-5, 6e-4]  # the advised rate is 3e-4 at a width of 256
    losses = [float(store.get(spec.trial(rate)).curve["valid_loss"].min()) for rate in tuned["learning_rates"]]
    assert tuned["valid_losses"] == losses and tuned["chosen"] == 6e-4 == fit_at_best.record["learning_rate"]
    plain = make(dataclasses.replace(fit, learning_rate=6e-4), store, Report())
    assert fit_at_best.metrics == plain.metrics and fit_at_best.record["steps"] == 20
    assert any("0.0006, is the highest;" in warning for warning in fit_at_best.record["warnings"])
    assert tuned["seconds"] > 0 and tuned["steps"] == 10 and len(set(tuned["trials"])) == 3


def test_methods_have_equal_budgets_and_their_own_rates(fit: FineTune) -> None:
    lora, ia3 = (LearningRateSearch(dataclasses.replace(fit, method=method)) for method in (LoRA(), IA3()))
    assert len(lora.rates) == len(ia3.rates) == 3 and lora.rates != ia3.rates
    assert lora.rates[1] == pytest.approx(2e-3) and ia3.rates[1] == pytest.approx(2e-2)
    assert {one.steps for one in (*lora.parts()["trials"], *ia3.parts()["trials"])} == {300}


def test_repeats_share_the_trials(fit: FineTune) -> None:
    first, second = LearningRateSearch(fit).with_seed(1), LearningRateSearch(fit).with_seed(2)
    assert first.parts()["trials"] == second.parts()["trials"] and first.key != second.key
    assert {trial.seed for trial in first.parts()["trials"]} == {0} and second.fit.seed == 2


def test_rates_are_multiples_of_a_given_rate(fit: FineTune) -> None:
    assert LearningRateSearch(dataclasses.replace(fit, learning_rate=0.01), factors=(3, 0.1)).rates == (0.001, 0.03)


def test_influence_of_a_searched_model(fit: FineTune, store: Store) -> None:
    spec = LearningRateSearch(fit, factors=(0.3, 1.0), steps=4)
    assert (spec.train, spec.valid, spec.backbone) == (fit.train, fit.valid, fit.backbone)
    scores = make(Influence(fit=spec, pool=fit.test, target=fit.valid, scope="last layer"), store, Report())
    assert len(scores.table) == 12


def test_bad_fields_are_refused(fit: FineTune, tmp_path: Path) -> None:
    baseline = Baseline(fit.train, fit.valid, fit.test, baseline=SupportVectors())
    unknown = dataclasses.replace(fit, backbone=Pretrained(str(tmp_path)))
    for fields, words in (
        ({"fit": baseline}, "wants a fine-tuning, which has a learning rate; got 'baseline'"),
        ({"fit": fit, "factors": (1.0,)}, "at least two different numbers above 0"),
        ({"fit": fit, "factors": (0.0, 1.0)}, "at least two different numbers above 0"),
        ({"fit": fit, "factors": (1.0, 1e6)}, "is above 1"),
        ({"fit": unknown}, "config.json"),
    ):
        with pytest.raises(BadInput, match=words):
            LearningRateSearch(**fields)
