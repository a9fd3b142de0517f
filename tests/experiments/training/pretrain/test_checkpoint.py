"""What pre-training leaves: a backbone in half precision, and a card that says where its weights come from."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.chem import molecules as chem
from core.data.corpus import Corpus
from core.engine.make import make
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import read_spec_json
from core.engine.store import Store
from core.experiments import BuildCorpus, Load, Pretrain, import_files
from core.models.backbones import Pretrained, Untrained
from core.models.backbones.checkpoint import CARD_FILE, KEYS_FILE, Checkpoint
from core.models.backbones.molformer.tokenizer import MolformerTokenizer
from core.models.backbones.molformer.vocabulary import FIXED_VOCABULARY
from core.models.backbones.pretraining_history import count_label_columns, count_read, load_short_keys


def test_the_card_says_what_was_read_how_and_how_well(recipe: Pretrain, corpus: Corpus, made: Checkpoint) -> None:
    card = json.loads((made.folder / "backbone" / CARD_FILE).read_text())
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
    only = dataclasses.replace(recipe, backbone=Pretrained(str(made.folder / "backbone")), steps=1, measured=0.0)
    again = dataclasses.replace(only, described=0.0).make(SILENT_REPORT, corpus)
    (told,) = again.record["warnings"]
    assert told.startswith("40 of the 40 held-out molecules are in the earlier corpus of nano") and not made.record["warnings"]
    assert again.record["held_out_before"]["token_loss"] == pytest.approx(
        made.record["held_out"]["token_loss"], rel=1e-5
    )


def test_the_list_of_molecules_has_the_corpus_and_no_left_out_one(
    made: Checkpoint, corpus: Corpus, recipe: Pretrain, store: Store
) -> None:
    folder = made.folder / "backbone"
    assert (folder / KEYS_FILE).is_file()
    assert count_read(folder, corpus.molecules["smiles"].tolist()) == len(corpus)
    left_out = store.get(recipe.corpus.leave_out[0]).smiles
    assert count_read(folder, list(left_out)) == 0
    assert len(load_short_keys(folder)) == len({chem.stereo_free_smiles(one) for one in corpus.molecules["smiles"]})
    assert count_label_columns(folder) == 1


def test_it_goes_on_from_a_kept_checkpoint_and_remembers_both_corpora(
    recipe: Pretrain, made: Checkpoint, store: Store, tmp_path: Path
) -> None:
    more = BuildCorpus(labelled=(Load("bundled:hydration", limit=120),), n_randomised_smiles=1, least=1)
    new = make(more, store, Report())
    assert new.vocabulary != make(recipe.corpus, store, Report()).vocabulary
    by_name = import_files(
        dataclasses.replace(recipe, corpus=more, backbone=Pretrained(str(made.folder / "backbone"))), tmp_path
    )
    by_recipe = dataclasses.replace(by_name, backbone=recipe)
    assert by_name.backbone.digest and read_spec_json(by_recipe.text) == by_recipe
    one, other = (make(spec, store, Report()) for spec in (by_name, by_recipe))
    assert one.record["backbone"] == other.record["backbone"] == "nano"
    assert one.record["held_out"] == other.record["held_out"]
    tokens = one().tokenizer.get_vocab()
    assert tokens == made().tokenizer.get_vocab(), "the model keeps its own words"
    for checkpoint in (one, other):
        folder = checkpoint.folder / "backbone"
        assert count_read(folder, new.molecules["smiles"].tolist()) == len(new)
        assert count_read(folder, store.get(recipe.corpus).molecules["smiles"].tolist()) == len(
            store.get(recipe.corpus)
        )
        (before,) = checkpoint.record["before"]
        assert before["corpus"]["digest"] == made.record["corpus"]["digest"] and before["recipe"] == recipe.key
        assert count_label_columns(folder) == 2


def test_words_that_the_model_does_not_know_are_told(recipe: Pretrain, tmp_path: Path) -> None:
    path = tmp_path / "odd.smi"
    path.write_text("\n".join("C" * n + "[Te]" for n in range(1, 40)))
    odd = BuildCorpus(files=(str(path),), least=1, n_randomised_smiles=1).make(SILENT_REPORT)
    small = dataclasses.replace(recipe, steps=1, batch_size=8, held_out=8)
    (folder := tmp_path / "tiny").mkdir()
    body = Untrained("molsway-tiny")(mlm_head=True)
    body.tokenizer = MolformerTokenizer.from_vocabulary(
        [word if word != "[Te]" else "[Xx]" for word in FIXED_VOCABULARY]
    )
    body.save(folder)
    (told,) = dataclasses.replace(small, backbone=Pretrained(str(folder))).make(SILENT_REPORT, odd).record["warnings"]
    assert "are unknown to molsway-tiny" in told and told.endswith("[Te]")
