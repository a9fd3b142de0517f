"""Adaptation by masked-language modelling: it learns, it leaves out, and a fit can begin from it."""

import dataclasses
from pathlib import Path

import pytest

from core.backbones import Untrained
from core.experiments import Adapt, FineTune, Load, parts, settled
from core.report import Report
from core.spec import BadInput
from core.store import Store, make


@pytest.fixture
def store(cache: Path) -> Store:
    return Store(cache)


@pytest.fixture
def recipe(table: Path, store: Store) -> Adapt:
    train, _, test = parts(Load(f"file:{table}"), seed=0, valid=12, test=12)
    spec = Adapt(corpus=train, leave_out=test, backbone=Untrained("molsway-tiny"), epochs=12, batch_size=8)
    return settled(spec, store.files)


def test_it_learns_to_guess_and_a_fit_begins_from_it(recipe: Adapt, store: Store, table: Path) -> None:
    adapted = make(recipe, store, Report())
    assert adapted.record["valid_loss"] < 0.8 * adapted.record["valid_loss_before"]
    assert adapted.record["backbone"] == "molsway-tiny (random weights)"
    assert adapted().name == "molsway-tiny (random weights), adapted"
    train, valid, test = parts(Load(f"file:{table}"), seed=0, valid=12, test=12)
    spec = settled(FineTune(train, valid, test, backbone=recipe, epochs=1, batch_size=8), store.files)
    assert spec.parts()["backbone"] == recipe
    fit = make(spec, store, Report())
    assert fit.record["backbone"].endswith("adapted") and fit.record["parameters"] < adapted.record["parameters"]


def test_molecules_of_leave_out_are_not_read(recipe: Adapt, store: Store) -> None:
    corpus = make(recipe.corpus, store, Report())
    smiles, warnings = recipe.choose(corpus, corpus.take(range(5)))
    assert not set(smiles) & set(corpus.smiles[:5]) and warnings == ["5 molecules of `leave_out` were not read"]
    assert "no molecule was left out" in recipe.choose(corpus, None)[1][0]


def test_a_corpus_that_is_left_out_whole_is_refused(recipe: Adapt, store: Store) -> None:
    same = dataclasses.replace(recipe, leave_out=recipe.corpus)
    with pytest.raises(BadInput, match="0 molecules to read, at least 10"):
        make(same, store, Report())
