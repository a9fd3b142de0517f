"""The checkpoint of a pre-training: a backbone in half precision and a card with its history."""

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


def test_card_has_corpus_settings_and_results(spec: Pretrain, corpus: Corpus, checkpoint: Checkpoint) -> None:
    card = json.loads((checkpoint.folder / "backbone" / CARD_FILE).read_text())
    assert card == checkpoint.record == checkpoint.summary()
    assert card["corpus"] == corpus.summary() | {"recipe": spec.corpus.key}
    assert {"molecules", "lines", "left_out", "digest", "labelled", "files", "labels", "descriptors"} <= set(
        card["corpus"]
    )
    assert len(card["corpus"]["left_out"]["digest"]) == 64 and card["corpus"]["left_out"]["molecules"] == 200
    assert (card["steps"], card["molecules_read"], card["recipe"]) == (40, 40 * 32, spec.key)
    assert card["rows"] == {"train": len(corpus) - 40, "held_out": 40} and card["stored"] == "float16"
    assert card["seconds"] > 0 and card["molecules_per_second"] > 0 and card["device"]
    assert card["epochs"] == pytest.approx(1280 / (len(corpus) - 40)) and card["best_step"] in (10, 20, 30, 40)
    assert list(checkpoint.curve["step"]) == [10, 20, 30, 40] and checkpoint.curve["valid_loss"].is_monotonic_decreasing
    assert "before" not in card and card["warnings"] == []


def test_checkpoint_is_stored_in_half_precision(checkpoint: Checkpoint, store: Store, spec: Pretrain) -> None:
    folder = checkpoint.folder / "backbone"
    stored = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    backbone = Pretrained(str(folder))(mlm_head=True)
    assert backbone.name == "nano" and {tensor.dtype for tensor in backbone.state_dict().values()} == {torch.float32}
    live = checkpoint()
    with torch.no_grad():
        batch = backbone.batch(["CCO", "c1ccccc1O"])
        assert torch.equal(backbone.embed(batch), live.embed(live.batch(["CCO", "c1ccccc1O"])))
    assert not [name for name in stored if "property" in name or "label" in name], "the heads are not stored"
    full = make(dataclasses.replace(spec, half=False, steps=1), store, Report())
    assert {t.dtype for t in load_file(full.folder / "backbone" / "model.safetensors").values()} == {torch.float32}
    assert full.record["stored"] == "float32"


def test_held_out_metrics_are_of_the_stored_weights(spec: Pretrain, corpus: Corpus, checkpoint: Checkpoint) -> None:
    """A continued pre-training has the same token loss before its first step."""
    only = dataclasses.replace(spec, backbone=Pretrained(str(checkpoint.folder / "backbone")), steps=1, measured=0.0)
    continued = dataclasses.replace(only, described=0.0).make(SILENT_REPORT, corpus)
    (warning,) = continued.record["warnings"]
    assert (
        warning.startswith("40 of the 40 held-out molecules are in the earlier corpus of nano")
        and not checkpoint.record["warnings"]
    )
    assert continued.record["held_out_before"]["token_loss"] == pytest.approx(
        checkpoint.record["held_out"]["token_loss"], rel=1e-5
    )


def test_list_of_molecules_read(checkpoint: Checkpoint, corpus: Corpus, spec: Pretrain, store: Store) -> None:
    folder = checkpoint.folder / "backbone"
    assert (folder / KEYS_FILE).is_file()
    assert count_read(folder, corpus.molecules["smiles"].tolist()) == len(corpus)
    left_out = store.get(spec.corpus.leave_out[0]).smiles
    assert count_read(folder, list(left_out)) == 0
    assert len(load_short_keys(folder)) == len({chem.stereo_free_smiles(one) for one in corpus.molecules["smiles"]})
    assert count_label_columns(folder) == 1


def test_continued_pretraining_records_both_corpora(
    spec: Pretrain, checkpoint: Checkpoint, store: Store, tmp_path: Path
) -> None:
    more = BuildCorpus(labelled=(Load("bundled:hydration", limit=120),), n_randomised_smiles=1, least=1)
    new = make(more, store, Report())
    assert new.vocabulary != make(spec.corpus, store, Report()).vocabulary
    by_name = import_files(
        dataclasses.replace(spec, corpus=more, backbone=Pretrained(str(checkpoint.folder / "backbone"))), tmp_path
    )
    by_recipe = dataclasses.replace(by_name, backbone=spec)
    assert by_name.backbone.digest and read_spec_json(by_recipe.text) == by_recipe
    one, other = (make(spec, store, Report()) for spec in (by_name, by_recipe))
    assert one.record["backbone"] == other.record["backbone"] == "nano"
    assert one.record["held_out"] == other.record["held_out"]
    tokens = one().tokenizer.get_vocab()
    assert tokens == checkpoint().tokenizer.get_vocab(), "the model keeps its vocabulary"
    for continued in (one, other):
        folder = continued.folder / "backbone"
        assert count_read(folder, new.molecules["smiles"].tolist()) == len(new)
        assert count_read(folder, store.get(spec.corpus).molecules["smiles"].tolist()) == len(store.get(spec.corpus))
        (before,) = continued.record["before"]
        assert before["corpus"]["digest"] == checkpoint.record["corpus"]["digest"] and before["recipe"] == spec.key
        assert count_label_columns(folder) == 2


def test_unknown_tokens_give_a_warning(spec: Pretrain, tmp_path: Path) -> None:
    path = tmp_path / "odd.smi"
    path.write_text("\n".join("C" * n + "[Te]" for n in range(1, 40)))
    odd = BuildCorpus(files=(str(path),), least=1, n_randomised_smiles=1).make(SILENT_REPORT)
    small = dataclasses.replace(spec, steps=1, batch_size=8, held_out=8)
    (folder := tmp_path / "tiny").mkdir()
    backbone = Untrained("molsway-tiny")(mlm_head=True)
    backbone.tokenizer = MolformerTokenizer.from_vocabulary(
        [word if word != "[Te]" else "[Xx]" for word in FIXED_VOCABULARY]
    )
    backbone.save(folder)
    (warning,) = (
        dataclasses.replace(small, backbone=Pretrained(str(folder))).make(SILENT_REPORT, odd).record["warnings"]
    )
    assert "are unknown to molsway-tiny" in warning and warning.endswith("[Te]")
