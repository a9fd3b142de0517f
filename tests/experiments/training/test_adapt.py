"""Adaptation by tokens and properties: lower loss, excluded molecules, resuming, and a fine-tuning that starts from it."""

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
def adaptation(table: Path, store: Store) -> Adapt:
    train, _, test = split_table(Load(f"file:{table}"), seed=0, valid=12, test=12)
    spec = Adapt(corpus=train, leave_out=test, backbone=Untrained("molsway-tiny"), epochs=12, batch_size=8)
    return import_files(spec, store.files)


def test_adaptation_lowers_the_loss_and_starts_a_finetuning(adaptation: Adapt, store: Store, table: Path) -> None:
    adapted = make(adaptation, store, Report())
    assert adapted.record["valid_loss"] < 0.8 * adapted.record["valid_loss_before"]
    assert adapted.record["backbone"] == "molsway-tiny (random weights)"
    assert adapted().name == "adapted molsway-tiny (random weights)"
    train, valid, test = split_table(Load(f"file:{table}"), seed=0, valid=12, test=12)
    spec = FineTune(train, valid, test, backbone=adaptation, epochs=1, batch_size=8, features="none")
    spec = import_files(spec, store.files)
    assert spec.parts()["backbone"] == adaptation
    fit = make(spec, store, Report())
    assert fit.record["backbone"].startswith("adapted ") and fit.record["parameters"] < adapted.record["parameters"]


def test_molecules_read_are_stored_and_finetuning_warns_of_overlap(
    adaptation: Adapt, store: Store, table: Path
) -> None:
    adapted = make(adaptation, store, Report())
    spec = FineTune(*split_table(Load(f"file:{table}"), valid=12, test=12), backbone=adaptation, epochs=1, batch_size=8)
    spec = import_files(spec, store.files)
    train, test = (make(part, store, Report()) for part in (spec.train, spec.test))
    folder = adapted.folder / "backbone"
    assert (
        pretraining_history.count_read(folder, train.smiles) == len(train)
        and pretraining_history.count_read(folder, test.smiles) == 0
    )
    assert pretraining_history.read_card(folder)["recipe"] == adaptation.key
    fit = make(spec, store, Report())
    assert not any("pre-training corpus" in warning for warning in fit.record["warnings"])
    swapped = dataclasses.replace(spec, train=spec.test, test=spec.train, features="none")
    (message,) = [
        warning for warning in make(swapped, store, Report()).record["warnings"] if "pre-training corpus" in warning
    ]
    assert message.startswith(f"{len(train)} of {len(train)} test molecules") and "without labels" in message


def test_leave_out_molecules_are_not_read(adaptation: Adapt, store: Store) -> None:
    corpus = make(adaptation.corpus, store, Report())
    smiles, warnings = choose_molecules(corpus, corpus.take(range(5)))
    assert not set(smiles) & set(corpus.smiles[:5]) and warnings == ["5 molecules of `leave_out` were not read"]
    assert "no molecule was left out" in choose_molecules(corpus, None)[1][0]


def test_empty_corpus_is_refused(adaptation: Adapt, store: Store) -> None:
    same = dataclasses.replace(adaptation, leave_out=adaptation.corpus)
    with pytest.raises(BadInput, match="0 molecules to read, at least 10"):
        make(same, store, Report())


LOWERED = {  # objective: held-out metrics that it lowers, and the largest ratio to the value before
    "masked tokens": {"perplexity": 0.1},
    "properties": {"property_error": 0.5},
    "both": {"perplexity": 0.1, "property_error": 0.8},
}


@pytest.mark.parametrize("objective", LOWERED)
def test_each_objective_lowers_its_held_out_loss(objective: str, adaptation: Adapt, store: Store) -> None:
    checkpoint = make(dataclasses.replace(adaptation, objective=objective), store, Report())
    record, numbers = checkpoint.record, LOWERED[objective]
    assert record["objective"] == objective and record["valid_loss"] == checkpoint.curve["valid_loss"].min()
    for name, share in numbers.items():
        assert record[name] < share * record[f"{name}_before"]
        assert record[name] == checkpoint.curve[name][record["best_epoch"] - 1]
    assert {"perplexity", "property_error"} & set(record) == set(numbers) == set(checkpoint.curve) & {*LOWERED["both"]}
    parts = np.log(record.get("perplexity", 1.0)) + record.get("property_error", 0.0)
    assert record["valid_loss"] == pytest.approx(parts, rel=1e-6)


def test_objectives_share_the_held_out_evaluation(adaptation: Adapt, store: Store) -> None:
    checkpoints = {
        name: make(dataclasses.replace(adaptation, objective=name, epochs=1), store, Report()) for name in LOWERED
    }
    before = {
        name: {key: checkpoint.record[f"{key}_before"] for key in LOWERED[name]}
        for name, checkpoint in checkpoints.items()
    }
    assert before["both"] == pytest.approx(before["masked tokens"] | before["properties"])


def test_property_head_is_not_stored_and_token_head_is_unchanged(adaptation: Adapt, store: Store) -> None:
    checkpoint = make(dataclasses.replace(adaptation, objective="properties", epochs=1), store, Report())
    assert not [name for name in load_file(checkpoint.folder / "backbone" / "model.safetensors") if "property" in name]
    trained, initial = (model.state_dict() for model in (checkpoint(mlm_head=True), adaptation.backbone(mlm_head=True)))
    moved = {name.split(".")[1] for name in trained if not np.array_equal(trained[name].numpy(), initial[name].numpy())}
    assert trained.keys() == initial.keys() and moved == {"embeddings", "encoder", "LayerNorm"}


def test_descriptors_are_scaled_by_training_molecules() -> None:
    learn, valid = ["CCO", "CCCO", "CCCCO", "c1ccccc1O"], ["CCCCCCCCCCCCCCCCCCCC", "CCN"]
    scaled, held_out = scale_descriptors(learn, valid, SILENT_REPORT)
    names = descriptors.descriptor_names(quick=True)
    scaling = descriptors.Scaling.of(descriptors.compute_descriptors(learn, quick=True), names)
    np.testing.assert_array_equal(scaled, scaling(descriptors.compute_descriptors(learn, quick=True), names))
    np.testing.assert_array_equal(held_out, scaling(descriptors.compute_descriptors(valid, quick=True), names))


def test_descriptors_report_progress_and_can_be_cancelled() -> None:
    smiles, messages = ["CO", "CN", "CS"] * DESCRIPTOR_CHUNK + ["CO"], []
    scale_descriptors(smiles, ["CCO"], Report(tell=lambda fraction, message, numbers: messages.append(message)))
    assert messages[1] == "computed properties of 64 of 194 molecules" and len(messages) == 4
    looks = iter(range(10))
    with pytest.raises(Cancelled):
        scale_descriptors(smiles, ["CCO"], Report(cancelled=lambda: next(looks) == 2))


def test_resumed_adaptation_equals_an_uninterrupted_one(
    adaptation: Adapt, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    corpus = make(adaptation.corpus, store, Report())
    adaptation = dataclasses.replace(adaptation, leave_out=None, epochs=3)
    undisturbed, interrupted = tmp_path / "whole", tmp_path / "torn"
    undisturbed.mkdir()
    expected = adaptation.make(Report(scratch=undisturbed), corpus)
    steps: list[str] = []
    interrupted.mkdir()

    def tell(fraction: float, message: str, numbers: dict) -> None:
        steps.extend([message] if message.startswith("evaluation") else [])

    with pytest.raises(Cancelled):
        adaptation.make(Report(tell=tell, cancelled=lambda: len(steps) == 2, scratch=interrupted), corpus)
    assert (interrupted / "checkpoint.safetensors").exists()
    resumed = adaptation.make(Report(scratch=interrupted), corpus)
    columns = ["train_loss", "valid_loss", "perplexity", "property_error"]
    assert resumed.curve[columns].equals(expected.curve[columns])
    one, other = (load_file(checkpoint.folder / "backbone" / "model.safetensors") for checkpoint in (resumed, expected))
    assert all(np.array_equal(one[name].numpy(), other[name].numpy()) for name in one)
