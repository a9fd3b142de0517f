"""Cached embeddings of frozen backbones: the training is the same up to rounding."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from core.engine.make import make
from core.engine.report import Report
from core.engine.store import Store
from core.experiments import FineTune, Load, import_files, split_table
from core.models import embeddings
from core.models.backbones import Untrained
from core.models.backbones.molformer.backbone import Backbone
from core.models.methods import BitFit, Full, Head, LoRA
from core.models.predictor import Predictor
from core.results.fit import PARTS

SMILES = ["CCO", "c1ccccc1O", "CC(=O)N", "ClCCBr", "CCN"]


@pytest.fixture
def store(cache: Path) -> Store:
    return Store(cache)


@pytest.fixture
def fit(table: Path, store: Store) -> FineTune:
    train, valid, test = split_table(Load(f"file:{table}"), seed=0, train=None, valid=12, test=12)
    spec = FineTune(
        train,
        valid,
        test,
        backbone=Untrained("molsway-tiny"),
        method=Head(),
        epochs=3,
        batch_size=8,
        precision="float32",
    )
    return import_files(spec, store.files)


def test_is_frozen() -> None:
    for method, still in ((Head(), True), (BitFit(), False), (LoRA(), False), (Full(), False)):
        predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"])
        predictor.backbone.set_dropout(0.0)
        method(predictor)
        assert embeddings.is_frozen(predictor) == still
        predictor.backbone.set_dropout(0.1)
        assert not embeddings.is_frozen(predictor)


def test_embeddings_match_the_backbone_in_order() -> None:
    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"])
    rows = embeddings.embed_molecules(predictor, SMILES, size=2)
    with torch.no_grad():
        for smiles, row in zip(SMILES, rows, strict=True):
            assert torch.allclose(row, predictor.backbone.embed(predictor.backbone.batch([smiles]))[0], atol=1e-6)


def test_cached_embeddings_give_the_same_fit(fit: FineTune, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    once = make(fit, store, Report())
    monkeypatch.setattr(embeddings, "MAX_BYTES", 0)
    again = fit.make(Report(), **{name: store.get(getattr(fit, name)) for name in PARTS})
    np.testing.assert_allclose(once.curve["valid_loss"], again.curve["valid_loss"], rtol=1e-4)
    np.testing.assert_allclose(once.predictions["prediction"], again.predictions["prediction"], rtol=1e-3, atol=1e-3)


def test_each_smiles_variant_is_embedded_once(fit: FineTune, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    embed = Backbone.embed

    def counted(self: Backbone, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        read.append(len(batch["input_ids"]))
        return embed(self, batch)

    monkeypatch.setattr(Backbone, "embed", counted)
    make(dataclasses.replace(fit, epochs=6), store, Report())
    count = sum(read)
    # 36 molecules in 5 SMILES variants, 12 for validation, 60 predicted at the end, and the method check
    assert 36 * 5 + 12 + 60 <= count <= 36 * 5 + 12 + 60 + 3 * 9
