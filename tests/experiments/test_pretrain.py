"""Pre-training: each part of the loss is learned, a stop changes nothing, and the card says where weights come from."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core import chem, training
from core.backbones import Pretrained, Untrained
from core.backbones.checkpoint import CARD, KEYS, Checkpoint
from core.backbones.fresh import Fresh
from core.backbones.history import keys_read, labels_learned, read_before
from core.backbones.tokenizer import MolformerTokenizer
from core.backbones.vocabulary import FIXED
from core.corpus import Corpus
from core.experiments import Gather, Load, Pretrain, pretrain, settled
from core.objective import Objective
from core.report import SILENT, Cancelled, Report
from core.spec import BadInput, read_json
from core.store import Store, make

NANO = Fresh("nano", width=32, depth=2, heads=2, inner=64, features=8)
PARTS = {"masked": "token_loss", "described": "property_error", "measured": "label_loss"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def gathered() -> Gather:
    return Gather(
        labelled=(Load("bundled:solubility", limit=250),),
        leave_out=(Load("bundled:hydration", limit=200),),
        spellings=2,
        least=2,
    )


@pytest.fixture(scope="module")
def corpus(gathered: Gather, store: Store) -> Corpus:
    return make(gathered, store, Report())


@pytest.fixture(scope="module")
def recipe(gathered: Gather) -> Pretrain:
    return Pretrain(
        gathered, NANO, measured=1.0, steps=40, batch_size=32, held_out=40, evaluations=4, learning_rate=1e-2
    )


@pytest.fixture(scope="module")
def made(recipe: Pretrain, corpus: Corpus, store: Store) -> Checkpoint:
    return make(recipe, store, Report())


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
    found = one_step.make(SILENT, few).record["held_out_before"]["label_loss"]
    body = NANO(corpus.vocabulary)
    head = Objective(body.model, body.tokenizer, 0, corpus.kinds, masked=0.0, described=0.0, measured=1.0, seed=0)
    smiles = corpus.molecules["smiles"].tolist()
    with torch.no_grad():
        held = [smiles[row] for row in np.sort(order[: recipe.held_out])[:5]]
        outputs = head.label_head(body.embed(body.batch(held))).numpy()
    assert found == pytest.approx(float(np.nanmean((outputs - labels[:5]) ** 2)), rel=1e-4)


def test_the_card_says_what_was_read_how_and_how_well(recipe: Pretrain, corpus: Corpus, made: Checkpoint) -> None:
    card = json.loads((made.folder / "backbone" / CARD).read_text())
    assert card == made.record == made.summary()
    assert card["corpus"] == corpus.summary() | {"recipe": recipe.corpus.key}
    assert {"molecules", "lines", "left_out", "digest", "labelled", "files", "labels", "descriptors"} <= set(
        card["corpus"]
    )
    assert len(card["corpus"]["left_out"]["digest"]) == 64 and card["corpus"]["left_out"]["molecules"] == 200
    assert (card["steps"], card["molecules_read"], card["recipe"]) == (40, 40 * 32, recipe.key)
    assert card["rows"] == {"train": len(corpus) - 40, "held_out": 40} and card["stored"] == "float16"
    assert card["seconds"] > 0 and card["molecules_per_second"] > 0 and card["device"]
    assert card["epochs"] == pytest.approx(1280 / (len(corpus) - 40)) and card["best_step"] in (10, 20, 30, 40)
    assert list(made.curve["step"]) == [10, 20, 30, 40] and made.curve["valid_loss"].is_monotonic_decreasing
    assert "before" not in card and card["warnings"] == []


def test_the_checkpoint_is_a_backbone_stored_in_half_precision(
    made: Checkpoint, store: Store, recipe: Pretrain
) -> None:
    folder = made.folder / "backbone"
    stored = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    body = Pretrained(str(folder))(mlm_head=True)
    assert body.name == "nano" and {tensor.dtype for tensor in body.state_dict().values()} == {torch.float32}
    live = made()
    with torch.no_grad():
        batch = body.batch(["CCO", "c1ccccc1O"])
        assert torch.equal(body.embed(batch), live.embed(live.batch(["CCO", "c1ccccc1O"])))
    assert not [name for name in stored if "property" in name or "label" in name], "the heads are not kept"
    whole = make(dataclasses.replace(recipe, half=False, steps=1), store, Report())
    assert {t.dtype for t in load_file(whole.folder / "backbone" / "model.safetensors").values()} == {torch.float32}
    assert whole.record["stored"] == "float32"


def test_the_held_out_numbers_are_of_the_weights_as_stored(recipe: Pretrain, corpus: Corpus, made: Checkpoint) -> None:
    """Going on from them without learning anything gives the same token loss at the start."""
    only = dataclasses.replace(recipe, beginning=Pretrained(str(made.folder / "backbone")), steps=1, measured=0.0)
    again = dataclasses.replace(only, described=0.0).make(SILENT, corpus)
    (told,) = again.record["warnings"]
    assert told.startswith("40 of the 40 molecules held out were in the corpus of nano") and not made.record["warnings"]
    assert again.record["held_out_before"]["token_loss"] == pytest.approx(
        made.record["held_out"]["token_loss"], rel=1e-5
    )


def test_the_list_of_molecules_has_the_corpus_and_no_left_out_one(
    made: Checkpoint, corpus: Corpus, recipe: Pretrain, store: Store
) -> None:
    folder = made.folder / "backbone"
    assert (folder / KEYS).is_file()
    assert read_before(folder, corpus.molecules["smiles"].tolist()) == len(corpus)
    left_out = store.get(recipe.corpus.leave_out[0]).smiles
    assert read_before(folder, list(left_out)) == 0
    assert len(keys_read(folder)) == len({chem.flat_key(one) for one in corpus.molecules["smiles"]})
    assert labels_learned(folder) == 1


@pytest.mark.parametrize("weights", [{}, {"masked": 0.0}], ids=str)
def test_an_interrupted_one_ends_as_an_undisturbed_one(
    weights: dict, recipe: Pretrain, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
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
    learned, looked_at, real = set(), set(), Corpus.padded

    def spied(self: Corpus, rows: np.ndarray, spelling: np.ndarray, ends: tuple) -> tuple:
        (learned if torch.is_grad_enabled() else looked_at).update(rows.tolist())
        return real(self, rows, spelling, ends)

    monkeypatch.setattr(Corpus, "padded", spied)
    recipe.make(SILENT, corpus)
    assert len(looked_at) == 40 and not learned & looked_at
    assert learned | looked_at == set(range(len(corpus))), "five epochs have met all others"


def test_a_molecule_is_read_in_each_of_its_spellings(
    recipe: Pretrain, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, real = set(), Corpus.padded

    def spied(self: Corpus, rows: np.ndarray, spelling: np.ndarray, ends: tuple) -> tuple:
        used.update((torch.is_grad_enabled(), one) for one in spelling.tolist())
        return real(self, rows, spelling, ends)

    monkeypatch.setattr(Corpus, "padded", spied)
    dataclasses.replace(recipe, steps=4).make(SILENT, corpus)
    assert used == {(True, 0), (True, 1), (False, 0)}, "the held-out ones in the canonical spelling"


def test_what_is_read_is_in_the_words_of_the_model(corpus: Corpus) -> None:
    rows = np.array([3, 70, 11])
    wanted = corpus.molecules["smiles"][rows].tolist()
    for vocabulary in (FIXED, tuple(reversed(FIXED[4:-1])), corpus.vocabulary[4:-1]):
        words = vocabulary if vocabulary[0] == "<bos>" else ("<bos>", "<eos>", "<pad>", "<mask>", *vocabulary, "<unk>")
        tokenizer = MolformerTokenizer.of(words)
        read = pretrain.reader(corpus, tokenizer, torch.device("cpu"), described=True, measured=True)
        ids, mask, _, properties, labels = read(rows, np.zeros(3, int), torch.Generator())
        padded = tokenizer.padded(wanted)
        longest = padded["input_ids"].shape[1]  # what comes after it fills the shape up
        assert ids[:, :longest].tolist() == padded["input_ids"].tolist() and not mask[:, longest:].any()
        assert mask[:, :longest].tolist() == padded["attention_mask"].tolist()
        np.testing.assert_array_equal(properties, np.float32(corpus.arrays["properties"][rows]))
        np.testing.assert_array_equal(labels, corpus.labels(rows))
    assert [part is None for part in pretrain.reader(corpus, tokenizer, "cpu", False, False)(rows, rows * 0, None)[3:]]


def test_it_goes_on_from_a_kept_checkpoint_and_remembers_both_corpora(
    recipe: Pretrain, made: Checkpoint, store: Store, tmp_path: Path
) -> None:
    more = Gather(labelled=(Load("bundled:hydration", limit=120),), spellings=1, least=1)
    new = make(more, store, Report())
    assert new.vocabulary != make(recipe.corpus, store, Report()).vocabulary
    by_name = settled(
        dataclasses.replace(recipe, corpus=more, beginning=Pretrained(str(made.folder / "backbone"))), tmp_path
    )
    by_recipe = dataclasses.replace(by_name, beginning=recipe)
    assert by_name.beginning.digest and read_json(by_recipe.text) == by_recipe
    one, other = (make(spec, store, Report()) for spec in (by_name, by_recipe))
    assert one.record["backbone"] == other.record["backbone"] == "nano"
    assert one.record["held_out"] == other.record["held_out"]
    tokens = one().tokenizer.get_vocab()
    assert tokens == made().tokenizer.get_vocab(), "the model keeps its own words"
    for checkpoint in (one, other):
        folder = checkpoint.folder / "backbone"
        assert read_before(folder, new.molecules["smiles"].tolist()) == len(new)
        assert read_before(folder, store.get(recipe.corpus).molecules["smiles"].tolist()) == len(
            store.get(recipe.corpus)
        )
        (before,) = checkpoint.record["before"]
        assert before["corpus"]["digest"] == made.record["corpus"]["digest"] and before["recipe"] == recipe.key
        assert labels_learned(folder) == 2


def test_words_that_the_model_does_not_know_are_told(recipe: Pretrain, tmp_path: Path) -> None:
    path = tmp_path / "odd.smi"
    path.write_text("\n".join("C" * n + "[Te]" for n in range(1, 40)))
    odd = Gather(files=(str(path),), least=1, spellings=1).make(SILENT)
    small = dataclasses.replace(recipe, steps=1, batch_size=8, held_out=8)
    (folder := tmp_path / "tiny").mkdir()
    body = Untrained("molsway-tiny")(mlm_head=True)
    body.tokenizer = MolformerTokenizer.of([word if word != "[Te]" else "[Xx]" for word in FIXED])
    body.save(folder)
    (told,) = dataclasses.replace(small, beginning=Pretrained(str(folder))).make(SILENT, odd).record["warnings"]
    assert "are unknown to molsway-tiny" in told and told.endswith("[Te]")


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
        dataclasses.replace(recipe, **fields).make(SILENT, corpus)


def test_measured_labels_alone_want_labels(recipe: Pretrain, corpus: Corpus) -> None:
    only = dataclasses.replace(recipe, masked=0.0, described=0.0)
    none: Any = dataclasses.replace(corpus, record=corpus.record | {"kinds": [], "tasks": []})
    with pytest.raises(BadInput, match="no measured labels; give it `labelled` tables"):
        only.make(SILENT, none)
    order = np.random.default_rng(0).permutation(len(corpus))
    rows = corpus.arrays["label_rows"].copy()
    rows[order[:40]] = -1
    with pytest.raises(BadInput, match="40 molecules held out, or the others, have no measured label"):
        only.make(SILENT, dataclasses.replace(corpus, arrays=corpus.arrays | {"label_rows": rows}))


def test_without_labels_the_record_says_that_none_were_learned(recipe: Pretrain, corpus: Corpus) -> None:
    bare = {"labels": np.empty((0, 0), np.float16), "label_rows": np.full(len(corpus), -1, np.int32)}
    none = dataclasses.replace(
        corpus, arrays=corpus.arrays | bare, record=corpus.record | {"kinds": [], "tasks": [], "labelled": []}
    )
    found = dataclasses.replace(recipe, steps=2, evaluations=1).make(SILENT, none)
    assert found.record["objective"]["measured"] == 0 and "label_loss" not in found.record["held_out"]
    assert labels_learned(found.folder / "backbone") == 0
