"""The bundled checkpoint: size, card, corpus and masked-token loss."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput, to_json
from core.engine.store import Store
from core.experiments import Load, import_files
from core.models.backbones import Pretrained, Untrained, pretrained, pretraining_history
from core.models.backbones.pretrained import CHECKPOINTS
from core.training.pretraining_loss import Batch, PretrainingLoss

FOLDER = CHECKPOINTS / "molsway-mini"
LIMIT = 25 * 2**20  # bytes on disk
CLEAN = ("Lipophilicity.csv", "delaney-processed.csv", "bace.csv.gz")  # public evaluation tables


def test_it_is_small_and_has_a_complete_card() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= LIMIT
    card = pretraining_history.read_card(FOLDER)
    assert {"objective", "steps", "seconds", "device", "seed", "recipe", "precision", "molecules_read"} <= card.keys()
    assert card["held_out"]["valid_loss"] < card["held_out_before"]["valid_loss"]
    corpus = card["corpus"]
    assert all(len(file["sha256"]) == 64 for file in corpus["files"]) and len(corpus["digest"]) == 64
    assert all(len(table["digest"]) == 16 for table in corpus["labelled"]) and corpus["left_out"]["molecules"]
    assert corpus["lines"]["taken"] == corpus["molecules"] == card["rows"]["train"] + card["rows"]["held_out"]


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_one_changed_byte_in_any_of_its_files_is_noticed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FOLDER, tmp_path / FOLDER.name)
    monkeypatch.setattr(pretrained, "CHECKPOINTS", tmp_path)
    backbone = Pretrained()
    backbone.check_shipped()
    path = tmp_path / FOLDER.name / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for read in (backbone, backbone.with_digests, lambda: pretraining_history.checkpoint_folder(backbone)):
        with pytest.raises(BadInput, match=f"installation is damaged: .* {name} was changed"):
            read()


@pytest.mark.parametrize("name", ["bundled:solubility", "bundled:hydration"])
def test_bundled_tables_are_not_in_its_corpus(name: str) -> None:
    assert pretraining_history.count_read(FOLDER, Load(name).make(Report()).smiles) == 0


@pytest.mark.parametrize("name", CLEAN)
def test_public_evaluation_tables_are_not_in_its_corpus(shared_data: Path, cache: Path, name: str) -> None:
    table = import_files(Load(f"file:{shared_data / name}"), cache / "files")
    assert pretraining_history.count_read(FOLDER, make(table, Store(cache), Report()).smiles) == 0


def test_common_drugs_are_in_its_corpus() -> None:
    drugs = Load("bundled:drugs").make(Report()).smiles
    count = pretraining_history.count_read(FOLDER, drugs)
    assert 0 < count < len(drugs)


def test_it_predicts_masked_tokens_of_drugs() -> None:
    smiles = [one for one in Load("bundled:drugs").make(Report()).smiles if len(one) < 60][:64]

    def loss(body: torch.nn.Module) -> float:
        batch = body.batch(smiles)
        objective = PretrainingLoss(body.model, body.tokenizer, described=0)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            return float(objective.held_out(Batch(batch["input_ids"], batch["attention_mask"], generator)).masked)

    trained, random = loss(Pretrained()(mlm_head=True)), loss(Untrained("molsway-mini")(mlm_head=True))
    assert trained < 1.0 < 4.0 < random


def test_the_digest_follows_the_weights() -> None:
    backbone = Pretrained().with_digests()
    assert len(backbone.digest) == 64 and backbone != Pretrained() and to_json(backbone)["digest"] == backbone.digest
    assert np.isfinite(backbone().embed(backbone().batch(["CCO"])).detach().numpy()).all()
