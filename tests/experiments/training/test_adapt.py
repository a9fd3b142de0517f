"""Adaptation by tokens and properties: it learns, it leaves out, it resumes, and a fit can begin from it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from core.chem import descriptors
from core.engine.make import make
from core.engine.report import SILENT_REPORT, Cancelled, Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Adapt, FineTune, Load, import_files, split_table
from core.models.backbones import Untrained, pretraining_history
from core.training import loop
from core.training.adaptation import DESCRIPTOR_CHUNK, choose_molecules, scale_descriptors


@pytest.fixture
def store(cache: Path) -> Store:
    return Store(cache)


@pytest.fixture
def recipe(table: Path, store: Store) -> Adapt:
    train, _, test = split_table(Load(f"file:{table}"), seed=0, valid=12, test=12)
    spec = Adapt(corpus=train, leave_out=test, backbone=Untrained("molsway-tiny"), epochs=12, batch_size=8)
    return import_files(spec, store.files)


def test_it_learns_to_guess_and_a_fit_begins_from_it(recipe: Adapt, store: Store, table: Path) -> None:
    adapted = make(recipe, store, Report())
    assert adapted.record["valid_loss"] < 0.8 * adapted.record["valid_loss_before"]
    assert adapted.record["backbone"] == "molsway-tiny (random weights)"
    assert adapted().name == "adapted molsway-tiny (random weights)"
    train, valid, test = split_table(Load(f"file:{table}"), seed=0, valid=12, test=12)
    spec = FineTune(train, valid, test, backbone=recipe, epochs=1, batch_size=8, features="none")
    spec = import_files(spec, store.files)
    assert spec.parts()["backbone"] == recipe
    fit = make(spec, store, Report())
    assert fit.record["backbone"].startswith("adapted ") and fit.record["parameters"] < adapted.record["parameters"]


def test_what_it_has_read_is_kept_beside_it_and_a_fit_says_so(recipe: Adapt, store: Store, table: Path) -> None:
    adapted = make(recipe, store, Report())
    asked = FineTune(*split_table(Load(f"file:{table}"), valid=12, test=12), backbone=recipe, epochs=1, batch_size=8)
    asked = import_files(asked, store.files)
    train, test = (make(part, store, Report()) for part in (asked.train, asked.test))
    folder = adapted.folder / "backbone"
    assert (
        pretraining_history.count_read(folder, train.smiles) == len(train)
        and pretraining_history.count_read(folder, test.smiles) == 0
    )
    assert pretraining_history.read_card(folder)["recipe"] == recipe.key
    fit = make(asked, store, Report())
    assert not any("pre-trained" in warning for warning in fit.record["warnings"])
    swapped = dataclasses.replace(asked, train=asked.test, test=asked.train, features="none")
    (said,) = [warning for warning in make(swapped, store, Report()).record["warnings"] if "pre-trained" in warning]
    assert said.startswith(f"{len(train)} of {len(train)} test molecules") and "without any label" in said


def test_molecules_of_leave_out_are_not_read(recipe: Adapt, store: Store) -> None:
    corpus = make(recipe.corpus, store, Report())
    smiles, warnings = choose_molecules(corpus, corpus.take(range(5)))
    assert not set(smiles) & set(corpus.smiles[:5]) and warnings == ["5 molecules of `leave_out` were not read"]
    assert "no molecule was left out" in choose_molecules(corpus, None)[1][0]


def test_a_corpus_that_is_left_out_whole_is_refused(recipe: Adapt, store: Store) -> None:
    same = dataclasses.replace(recipe, leave_out=recipe.corpus)
    with pytest.raises(BadInput, match="0 molecules to read, at least 10"):
        make(same, store, Report())


LOWERED = {  # by the objective: the numbers of the held-out molecules it is for, and how far they fall at least
    "masked tokens": {"perplexity": 0.1},
    "properties": {"property_error": 0.5},
    "both": {"perplexity": 0.1, "property_error": 0.8},
}


@pytest.mark.parametrize("objective", LOWERED)
def test_each_objective_lowers_its_own_held_out_loss(objective: str, recipe: Adapt, store: Store) -> None:
    made = make(dataclasses.replace(recipe, objective=objective), store, Report())
    record, numbers = made.record, LOWERED[objective]
    assert record["objective"] == objective and record["valid_loss"] == made.curve["valid_loss"].min()
    for name, share in numbers.items():
        assert record[name] < share * record[f"{name}_before"]
        assert record[name] == made.curve[name][record["best_epoch"] - 1]
    assert {"perplexity", "property_error"} & set(record) == set(numbers) == set(made.curve) & {*LOWERED["both"]}
    parts = np.log(record.get("perplexity", 1.0)) + record.get("property_error", 0.0)
    assert record["valid_loss"] == pytest.approx(parts, rel=1e-6)


def test_the_same_model_is_judged_alike_by_every_objective(recipe: Adapt, store: Store) -> None:
    found = {name: make(dataclasses.replace(recipe, objective=name, epochs=1), store, Report()) for name in LOWERED}
    before = {name: {key: made.record[f"{key}_before"] for key in LOWERED[name]} for name, made in found.items()}
    assert before["both"] == pytest.approx(before["masked tokens"] | before["properties"])


def test_the_property_head_is_not_kept_and_properties_alone_leave_the_token_head(recipe: Adapt, store: Store) -> None:
    made = make(dataclasses.replace(recipe, objective="properties", epochs=1), store, Report())
    assert not [name for name in load_file(made.folder / "backbone" / "model.safetensors") if "property" in name]
    kept, fresh = (model.state_dict() for model in (made(mlm_head=True), recipe.backbone(mlm_head=True)))
    moved = {name.split(".")[1] for name in kept if not np.array_equal(kept[name].numpy(), fresh[name].numpy())}
    assert kept.keys() == fresh.keys() and moved == {"embeddings", "encoder", "LayerNorm"}


def test_the_scale_of_properties_is_of_the_molecules_learned_from() -> None:
    learn, valid = ["CCO", "CCCO", "CCCCO", "c1ccccc1O"], ["CCCCCCCCCCCCCCCCCCCC", "CCN"]
    wanted, held_out = scale_descriptors(learn, valid, SILENT_REPORT)
    names = descriptors.descriptor_names(quick=True)
    scaling = descriptors.Scaling.of(descriptors.compute_descriptors(learn, quick=True), names)
    np.testing.assert_array_equal(wanted, scaling(descriptors.compute_descriptors(learn, quick=True), names))
    np.testing.assert_array_equal(held_out, scaling(descriptors.compute_descriptors(valid, quick=True), names))


def test_computing_properties_says_how_far_it_is_and_can_be_cancelled() -> None:
    smiles, told = ["CO", "CN", "CS"] * DESCRIPTOR_CHUNK + ["CO"], []
    scale_descriptors(smiles, ["CCO"], Report(tell=lambda fraction, message, numbers: told.append(message)))
    assert told[1] == "computed properties of 64 of 194 molecules" and len(told) == 4
    looks = iter(range(10))
    with pytest.raises(Cancelled):
        scale_descriptors(smiles, ["CCO"], Report(cancelled=lambda: next(looks) == 2))


def test_an_interrupted_adaptation_ends_as_an_undisturbed_one(
    recipe: Adapt, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    corpus = make(recipe.corpus, store, Report())
    recipe = dataclasses.replace(recipe, leave_out=None, epochs=3)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir()
    expected = recipe.make(Report(scratch=whole), corpus)
    steps: list[str] = []
    torn.mkdir()

    def tell(fraction: float, message: str, numbers: dict) -> None:
        steps.extend([message] if message.startswith("evaluation") else [])

    with pytest.raises(Cancelled):
        recipe.make(Report(tell=tell, cancelled=lambda: len(steps) == 2, scratch=torn), corpus)
    assert (torn / "checkpoint.safetensors").exists()
    resumed = recipe.make(Report(scratch=torn), corpus)
    columns = ["train_loss", "valid_loss", "perplexity", "property_error"]
    assert resumed.curve[columns].equals(expected.curve[columns])
    one, other = (load_file(made.folder / "backbone" / "model.safetensors") for made in (resumed, expected))
    assert all(np.array_equal(one[name].numpy(), other[name].numpy()) for name in one)
