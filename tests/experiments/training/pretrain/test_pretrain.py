"""Pre-training: each part of the loss is learned, a stop changes nothing, bad input is told."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.data.corpus import Corpus
from core.engine.make import make
from core.engine.report import SILENT_REPORT, Cancelled, Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Pretrain
from core.models.backbones.checkpoint import Checkpoint
from core.models.backbones.molformer.tokenizer import MolformerTokenizer
from core.models.backbones.molformer.vocabulary import FIXED_VOCABULARY
from core.models.backbones.pretraining_history import count_label_columns
from core.training import loop
from core.training.corpus_batches import OnDeviceCorpus, build_batch_reader, device_bytes
from core.training.pretraining_loss import PretrainingLoss

CPU = torch.device("cpu")
PARTS = {"masked": "token_loss", "described": "property_error", "measured": "label_loss"}


@pytest.mark.parametrize(
    "weights",
    [{}, {"described": 0, "measured": 0}, {"masked": 0, "measured": 0}, {"masked": 0, "described": 0}],
    ids=str,
)
def test_each_part_that_is_asked_for_is_learned(
    weights: dict, recipe: Pretrain, made: Checkpoint, store: Store
) -> None:
    record = make(dataclasses.replace(recipe, **weights), store, Report()).record
    asked = {part: name for part, name in PARTS.items() if weights.get(part, 1)}
    before, after = record["held_out_before"], record["held_out"]
    assert set(before) == set(after) == {"valid_loss", *asked.values()}
    for name in after:
        assert after[name] < 0.95 * before[name], name
    assert {part: weight for part, weight in record["objective"].items() if part in PARTS} == {
        part: float(part in asked) for part in PARTS
    }
    assert after["valid_loss"] == pytest.approx(sum(after[name] for name in asked.values()))
    assert (record["trainable"] == record["parameters"]) == ("masked" in asked), "else the token head is left alone"


def test_held_out_numbers_are_of_every_known_cell(recipe: Pretrain, corpus: Corpus, made: Checkpoint) -> None:
    """Whatever batches the molecules are looked at in: most of them have no label, and those count for nothing."""
    order = np.random.default_rng(recipe.seed).permutation(len(corpus))
    labels = corpus.labels(np.sort(order[: recipe.held_out]))
    few = dataclasses.replace(corpus, arrays=dict(corpus.arrays))
    rows = corpus.arrays["label_rows"].copy()
    rows[np.sort(order[: recipe.held_out])[5:]] = -1
    few.arrays["label_rows"] = rows
    one_step = dataclasses.replace(recipe, steps=1, evaluations=1, masked=0.0, described=0.0)
    found = one_step.make(SILENT_REPORT, few).record["held_out_before"]["label_loss"]
    body = recipe.backbone(corpus.vocabulary)
    head = PretrainingLoss(body.model, body.tokenizer, 0, corpus.kinds, masked=0.0, described=0.0, measured=1.0, seed=0)
    smiles = corpus.molecules["smiles"].tolist()
    with torch.no_grad():
        held = [smiles[row] for row in np.sort(order[: recipe.held_out])[:5]]
        outputs = head.label_head(body.embed(body.batch(held))).numpy()
    assert found == pytest.approx(float(np.nanmean((outputs - labels[:5]) ** 2)), rel=1e-4)


@pytest.mark.parametrize("weights", [{}, {"masked": 0.0}], ids=str)
def test_an_interrupted_one_ends_as_an_undisturbed_one(
    weights: dict, recipe: Pretrain, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    recipe = dataclasses.replace(recipe, **weights, dropout=0.1)
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    whole.mkdir()
    torn.mkdir()
    expected = recipe.make(Report(scratch=whole), corpus)
    looks: list[str] = []

    def tell(fraction: float, message: str, numbers: dict) -> None:
        looks.extend([message] if message.startswith("evaluation") else [])

    with pytest.raises(Cancelled):
        recipe.make(Report(tell=tell, cancelled=lambda: len(looks) == 2, scratch=torn), corpus)
    assert (torn / "checkpoint.safetensors").exists() and not (torn / "backbone").exists()
    resumed = recipe.make(Report(scratch=torn), corpus)
    columns = ["step", "train_loss", "valid_loss", "property_error", "label_loss"]
    assert resumed.curve[columns].equals(expected.curve[columns])
    one, other = (load_file(made.folder / "backbone" / "model.safetensors") for made in (resumed, expected))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.record["held_out"] == expected.record["held_out"]


def test_held_out_molecules_are_never_learned_from(
    recipe: Pretrain, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned, looked_at, real = set(), set(), Corpus.pad_batch

    def spied(self: Corpus, rows: np.ndarray, spelling: np.ndarray, ends: tuple) -> tuple:
        (learned if torch.is_grad_enabled() else looked_at).update(rows.tolist())
        return real(self, rows, spelling, ends)

    monkeypatch.setattr(Corpus, "pad_batch", spied)
    recipe.make(SILENT_REPORT, corpus)
    assert len(looked_at) == 40 and not learned & looked_at
    assert learned | looked_at == set(range(len(corpus))), "five epochs have met all others"


def test_a_molecule_is_read_in_each_of_its_spellings(
    recipe: Pretrain, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, real = set(), Corpus.pad_batch

    def spied(self: Corpus, rows: np.ndarray, spelling: np.ndarray, ends: tuple) -> tuple:
        used.update((torch.is_grad_enabled(), one) for one in spelling.tolist())
        return real(self, rows, spelling, ends)

    monkeypatch.setattr(Corpus, "pad_batch", spied)
    dataclasses.replace(recipe, steps=4).make(SILENT_REPORT, corpus)
    assert used == {(True, 0), (True, 1), (False, 0)}, "the held-out ones in the canonical spelling"


def test_what_is_read_is_in_the_words_of_the_model(corpus: Corpus) -> None:
    rows = np.array([3, 70, 11])
    wanted = corpus.molecules["smiles"][rows].tolist()
    for vocabulary in (FIXED_VOCABULARY, tuple(reversed(FIXED_VOCABULARY[4:-1])), corpus.vocabulary[4:-1]):
        words = vocabulary if vocabulary[0] == "<bos>" else ("<bos>", "<eos>", "<pad>", "<mask>", *vocabulary, "<unk>")
        tokenizer = MolformerTokenizer.from_vocabulary(words)
        read = build_batch_reader(corpus, tokenizer, CPU, with_properties=True, with_labels=True)
        ids, mask, _, properties, labels = read(rows, np.zeros(3, int), torch.Generator())
        padded = tokenizer.pad_batch(wanted)
        longest = padded["input_ids"].shape[1]  # what comes after it fills the shape up
        assert ids[:, :longest].tolist() == padded["input_ids"].tolist() and not mask[:, longest:].any()
        assert mask[:, :longest].tolist() == padded["attention_mask"].tolist()
        np.testing.assert_array_equal(properties, np.float32(corpus.arrays["properties"][rows]))
        np.testing.assert_array_equal(labels, corpus.labels(rows))
    assert [part is None for part in build_batch_reader(corpus, tokenizer, CPU, False, False)(rows, rows * 0, None)[3:]]


@pytest.mark.parametrize("asked", [(True, True), (True, False), (False, True), (False, False)], ids=str)
def test_a_corpus_that_a_device_holds_is_read_as_from_the_disk(asked: tuple[bool, bool], corpus: Corpus) -> None:
    tokenizer = MolformerTokenizer.from_vocabulary(
        tuple(reversed(corpus.vocabulary))
    )  # so that numbers differ from the corpus's
    usual = build_batch_reader(corpus, tokenizer, CPU, *asked)
    numbers = np.array([tokenizer.get_vocab()[token] for token in corpus.vocabulary])
    resident = OnDeviceCorpus(corpus, numbers, CPU, *asked)
    last = len(corpus) - 1
    for rows, spelling in (([0, last, 70, 3], [1, 1, 0, 1]), ([last], [1]), (range(40), [0, 1] * 20)):
        given = (np.array(rows), np.array(spelling), torch.Generator())
        for found, expected in zip(resident(*given), usual(*given), strict=True):
            if isinstance(expected, torch.Tensor):
                assert found.dtype == expected.dtype
                np.testing.assert_array_equal(found, expected)  # NaN where NaN is
            else:
                assert found is expected
    held = [resident.tokens, resident.targets, resident.labels, resident.label_rows]
    assert device_bytes(corpus, *asked) == sum(tensor.nbytes for tensor in held if tensor is not None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"held_out": 10_000},
            r"fewer than the 10,000 held out and a batch of 32; lower `held_out` or give more files",
        ),
        ({"batch_size": 300}, r"fewer than the 40 held out and a batch of 300"),
        ({"masked": 0, "described": 0, "measured": 0}, "are all 0: nothing would be learned; raise one"),
        ({"beginning": "nobody"}, "there is no beginning of kind 'nobody'; there are fresh, pretrained"),
    ],
)
def test_what_cannot_be_done_says_what_would_do(fields: dict, words: str, recipe: Pretrain, corpus: Corpus) -> None:
    with pytest.raises(BadInput, match=words):
        dataclasses.replace(recipe, **fields).make(SILENT_REPORT, corpus)


def test_measured_labels_alone_want_labels(recipe: Pretrain, corpus: Corpus) -> None:
    only = dataclasses.replace(recipe, masked=0.0, described=0.0)
    none: Any = dataclasses.replace(corpus, record=corpus.record | {"kinds": [], "tasks": []})
    with pytest.raises(BadInput, match="no measured labels; give `labelled` tables"):
        only.make(SILENT_REPORT, none)
    order = np.random.default_rng(0).permutation(len(corpus))
    rows = corpus.arrays["label_rows"].copy()
    rows[order[:40]] = -1
    with pytest.raises(BadInput, match="40 molecules held out, or the others, have no measured label"):
        only.make(SILENT_REPORT, dataclasses.replace(corpus, arrays=corpus.arrays | {"label_rows": rows}))


def test_without_labels_the_record_says_that_none_were_learned(recipe: Pretrain, corpus: Corpus) -> None:
    bare = {"labels": np.empty((0, 0), np.float16), "label_rows": np.full(len(corpus), -1, np.int32)}
    none = dataclasses.replace(
        corpus, arrays=corpus.arrays | bare, record=corpus.record | {"kinds": [], "tasks": [], "labelled": []}
    )
    found = dataclasses.replace(recipe, steps=2, evaluations=1).make(SILENT_REPORT, none)
    assert found.record["objective"]["measured"] == 0 and "label_loss" not in found.record["held_out"]
    assert count_label_columns(found.folder / "backbone") == 0
