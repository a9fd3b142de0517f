"""Pre-training: each loss term is lowered, resuming changes nothing, bad input is refused."""

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
def test_each_loss_term_is_lowered(weights: dict, spec: Pretrain, checkpoint: Checkpoint, store: Store) -> None:
    record = make(dataclasses.replace(spec, **weights), store, Report()).record
    asked = {part: name for part, name in PARTS.items() if weights.get(part, 1)}
    before, after = record["held_out_before"], record["held_out"]
    assert set(before) == set(after) == {"valid_loss", *asked.values()}
    for name in after:
        assert after[name] < 0.95 * before[name], name
    assert {part: weight for part, weight in record["objective"].items() if part in PARTS} == {
        part: float(part in asked) for part in PARTS
    }
    assert after["valid_loss"] == pytest.approx(sum(after[name] for name in asked.values()))
    assert (record["trainable"] == record["parameters"]) == ("masked" in asked), (
        "otherwise the token head is not trained"
    )


def test_held_out_loss_is_over_all_labels(spec: Pretrain, corpus: Corpus, checkpoint: Checkpoint) -> None:
    """Independent of the batches, of which most have no label."""
    order = np.random.default_rng(spec.seed).permutation(len(corpus))
    labels = corpus.labels(np.sort(order[: spec.held_out]))
    sparse = dataclasses.replace(corpus, arrays=dict(corpus.arrays))
    rows = corpus.arrays["label_rows"].copy()
    rows[np.sort(order[: spec.held_out])[5:]] = -1
    sparse.arrays["label_rows"] = rows
    one_step = dataclasses.replace(spec, steps=1, evaluations=1, masked=0.0, described=0.0)
    loss = one_step.make(SILENT_REPORT, sparse).record["held_out_before"]["label_loss"]
    backbone = spec.backbone(corpus.vocabulary)
    head = PretrainingLoss(
        backbone.model, backbone.tokenizer, 0, corpus.kinds, masked=0.0, described=0.0, measured=1.0, seed=0
    )
    smiles = corpus.molecules["smiles"].tolist()
    with torch.no_grad():
        labelled = [smiles[row] for row in np.sort(order[: spec.held_out])[:5]]
        outputs = head.label_head(backbone.embed(backbone.batch(labelled))).numpy()
    assert loss == pytest.approx(float(np.nanmean((outputs - labels[:5]) ** 2)), rel=1e-4)


@pytest.mark.parametrize("weights", [{}, {"masked": 0.0}], ids=str)
def test_resumed_pretraining_equals_an_uninterrupted_one(
    weights: dict, spec: Pretrain, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    spec = dataclasses.replace(spec, **weights, dropout=0.1)
    undisturbed, interrupted = tmp_path / "whole", tmp_path / "torn"
    undisturbed.mkdir()
    interrupted.mkdir()
    expected = spec.make(Report(scratch=undisturbed), corpus)
    looks: list[str] = []

    def tell(fraction: float, message: str, numbers: dict) -> None:
        looks.extend([message] if message.startswith("evaluation") else [])

    with pytest.raises(Cancelled):
        spec.make(Report(tell=tell, cancelled=lambda: len(looks) == 2, scratch=interrupted), corpus)
    assert (interrupted / "checkpoint.safetensors").exists() and not (interrupted / "backbone").exists()
    resumed = spec.make(Report(scratch=interrupted), corpus)
    columns = ["step", "train_loss", "valid_loss", "property_error", "label_loss"]
    assert resumed.curve[columns].equals(expected.curve[columns])
    one, other = (load_file(checkpoint.folder / "backbone" / "model.safetensors") for checkpoint in (resumed, expected))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.record["held_out"] == expected.record["held_out"]


def test_held_out_molecules_are_not_trained_on(spec: Pretrain, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    trained, validated, real = set(), set(), Corpus.pad_batch

    def spied(self: Corpus, rows: np.ndarray, spelling: np.ndarray, ends: tuple) -> tuple:
        (trained if torch.is_grad_enabled() else validated).update(rows.tolist())
        return real(self, rows, spelling, ends)

    monkeypatch.setattr(Corpus, "pad_batch", spied)
    spec.make(SILENT_REPORT, corpus)
    assert len(validated) == 40 and not trained & validated
    assert trained | validated == set(range(len(corpus))), "five epochs read all other molecules"


def test_all_randomised_smiles_are_read(spec: Pretrain, corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    used, real = set(), Corpus.pad_batch

    def spied(self: Corpus, rows: np.ndarray, spelling: np.ndarray, ends: tuple) -> tuple:
        used.update((torch.is_grad_enabled(), one) for one in spelling.tolist())
        return real(self, rows, spelling, ends)

    monkeypatch.setattr(Corpus, "pad_batch", spied)
    dataclasses.replace(spec, steps=4).make(SILENT_REPORT, corpus)
    assert used == {(True, 0), (True, 1), (False, 0)}, "held-out molecules are read as canonical SMILES"


def test_batches_have_the_tokens_of_the_model(corpus: Corpus) -> None:
    rows = np.array([3, 70, 11])
    wanted = corpus.molecules["smiles"][rows].tolist()
    for vocabulary in (FIXED_VOCABULARY, tuple(reversed(FIXED_VOCABULARY[4:-1])), corpus.vocabulary[4:-1]):
        words = vocabulary if vocabulary[0] == "<bos>" else ("<bos>", "<eos>", "<pad>", "<mask>", *vocabulary, "<unk>")
        tokenizer = MolformerTokenizer.from_vocabulary(words)
        read = build_batch_reader(corpus, tokenizer, CPU, with_properties=True, with_labels=True)
        ids, mask, _, properties, labels = read(rows, np.zeros(3, int), torch.Generator())
        padded = tokenizer.pad_batch(wanted)
        longest = padded["input_ids"].shape[1]  # the rest is padding
        assert ids[:, :longest].tolist() == padded["input_ids"].tolist() and not mask[:, longest:].any()
        assert mask[:, :longest].tolist() == padded["attention_mask"].tolist()
        np.testing.assert_array_equal(properties, np.float32(corpus.arrays["properties"][rows]))
        np.testing.assert_array_equal(labels, corpus.labels(rows))
    assert [part is None for part in build_batch_reader(corpus, tokenizer, CPU, False, False)(rows, rows * 0, None)[3:]]


@pytest.mark.parametrize("asked", [(True, True), (True, False), (False, True), (False, False)], ids=str)
def test_corpus_on_device_gives_the_same_batches(asked: tuple[bool, bool], corpus: Corpus) -> None:
    tokenizer = MolformerTokenizer.from_vocabulary(
        tuple(reversed(corpus.vocabulary))
    )  # so that numbers differ from the corpus's
    usual = build_batch_reader(corpus, tokenizer, CPU, *asked)
    numbers = np.array([tokenizer.get_vocab()[token] for token in corpus.vocabulary])
    resident = OnDeviceCorpus(corpus, numbers, CPU, *asked)
    last = len(corpus) - 1
    for rows, spelling in (([0, last, 70, 3], [1, 1, 0, 1]), ([last], [1]), (range(40), [0, 1] * 20)):
        arguments = (np.array(rows), np.array(spelling), torch.Generator())
        for actual, expected in zip(resident(*arguments), usual(*arguments), strict=True):
            if isinstance(expected, torch.Tensor):
                assert actual.dtype == expected.dtype
                np.testing.assert_array_equal(actual, expected)  # NaN where NaN is
            else:
                assert actual is expected
    tensors = [resident.tokens, resident.targets, resident.labels, resident.label_rows]
    assert device_bytes(corpus, *asked) == sum(tensor.nbytes for tensor in tensors if tensor is not None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"held_out": 10_000},
            r"fewer than the 10,000 held out and a batch of 32; lower `held_out` or give more files",
        ),
        ({"batch_size": 300}, r"fewer than the 40 held out and a batch of 300"),
        ({"masked": 0, "described": 0, "measured": 0}, "are all 0, so there is no loss; raise one"),
        (
            {"backbone": "nobody"},
            "there is no initial backbone of kind 'nobody'; there are untrained-molformer, pretrained",
        ),
    ],
)
def test_bad_fields_are_refused(fields: dict, words: str, spec: Pretrain, corpus: Corpus) -> None:
    with pytest.raises(BadInput, match=words):
        dataclasses.replace(spec, **fields).make(SILENT_REPORT, corpus)


def test_label_loss_alone_needs_labels(spec: Pretrain, corpus: Corpus) -> None:
    only = dataclasses.replace(spec, masked=0.0, described=0.0)
    none: Any = dataclasses.replace(corpus, record=corpus.record | {"kinds": [], "tasks": []})
    with pytest.raises(BadInput, match="no measured labels; give `labelled` tables"):
        only.make(SILENT_REPORT, none)
    order = np.random.default_rng(0).permutation(len(corpus))
    rows = corpus.arrays["label_rows"].copy()
    rows[order[:40]] = -1
    with pytest.raises(BadInput, match="40 molecules held out, or the others, have no measured label"):
        only.make(SILENT_REPORT, dataclasses.replace(corpus, arrays=corpus.arrays | {"label_rows": rows}))


def test_record_without_labels(spec: Pretrain, corpus: Corpus) -> None:
    bare = {"labels": np.empty((0, 0), np.float16), "label_rows": np.full(len(corpus), -1, np.int32)}
    none = dataclasses.replace(
        corpus, arrays=corpus.arrays | bare, record=corpus.record | {"kinds": [], "tasks": [], "labelled": []}
    )
    checkpoint = dataclasses.replace(spec, steps=2, evaluations=1).make(SILENT_REPORT, none)
    assert checkpoint.record["objective"]["measured"] == 0 and "label_loss" not in checkpoint.record["held_out"]
    assert count_label_columns(checkpoint.folder / "backbone") == 0
