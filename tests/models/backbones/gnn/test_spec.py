"""A graph network as a backbone: saving, loading, fine-tuning methods, influence and export."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Adapt, FineTune, Influence, LearningRateSearch, Load, Study, import_files, split_table
from core.influence.solvers import CG, Dual, Exact
from core.models import backbones, export
from core.models.backbones import Gnn, Pretrained, Untrained
from core.models.method_check import apply_and_check
from core.models.methods import OFT, BitFit, DoRA, FourierFT, Full, Head, LastLayers, LayerNorms, LoRA, MiSS, VeRA
from core.models.predictor import Predictor

SMILES = ["CCO", "c1ccccc1O", "[Na+].[Cl-]", "C", "CC(=O)Nc1ccc(O)cc1"]
SMALL = Gnn(width=12, depth=2, walk=6, eigenvectors=4)
MESSAGES = (
    LoRA(rank=2),
    DoRA(rank=2),
    VeRA(),
    OFT(block=4),
    FourierFT(coefficients=8),
    MiSS(rank=2),
)  # methods without target matrices


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> tuple[FineTune, Store]:
    store = Store(tmp_path_factory.mktemp("gnn"))
    train, valid, test, _ = split_table(Load("bundled:hydration"), seed=0, train=50, valid=20, pool=20, test=None)
    spec = FineTune(train, valid, test, backbone=SMALL, features="none", steps=30, evaluations=3)
    return import_files(spec, store.files), store


def test_the_seed_determines_the_network() -> None:
    with torch.no_grad():
        batch = SMALL().batch(SMILES)
        first, again, other = (one().embed(batch) for one in (SMALL, SMALL, dataclasses.replace(SMALL, seed=1)))
    assert torch.equal(first, again) and not torch.allclose(first, other)
    assert first.shape == (5, SMALL().width) and SMALL.called == "GINE 2x12 (random weights)"
    assert SMALL().lengths(SMILES).tolist() == [3, 7, 2, 1, 11]
    assert SMALL().check(["CCO", "C[Po]C"]) == [(1, "Po: not distinguished from other rare elements")]


@pytest.mark.parametrize(
    "settings", [{}, {"layer": "gcn"}, {"layer": "gin", "virtual_node": True, "pooling": "attention"}, {"walk": 0}]
)
def test_save_and_load(settings: dict, tmp_path: Path) -> None:
    backbone = dataclasses.replace(SMALL, **settings)()
    backbone.save(tmp_path / "whole")
    backbone.save(tmp_path / "half", half=True)
    for name, apart in (("whole", 0.0), ("half", 0.05)):
        again = Pretrained(str(tmp_path / name))()
        with torch.no_grad():
            gap = (again.embed(again.batch(SMILES)) - backbone.embed(backbone.batch(SMILES))).abs().max()
        assert gap <= apart and not again.training and again.name == backbone.name
    about = json.loads((tmp_path / "whole" / "config.json").read_text())
    (tmp_path / "whole" / "config.json").write_text(json.dumps(about | {"width": 18}))
    with pytest.raises(BadInput, match="do not fit its config"):
        backbones.load_backbone(tmp_path / "whole")
    with pytest.raises(BadInput, match="without a masked-LM head"):
        backbones.load_backbone(tmp_path / "half", mlm_head=True)


@pytest.mark.parametrize(
    "method", [Full(), Head(), BitFit(), LayerNorms(), LastLayers(layers=1), *MESSAGES], ids=lambda one: one.kind
)
@pytest.mark.parametrize("layer", ["gcn", "gin", "gine"])
def test_every_method_passes_its_check(method: object, layer: str) -> None:
    if layer == "gcn" and method in MESSAGES:
        with pytest.raises(BadInput, match="has nothing at 'message in', 'message out'; take another method"):
            apply_and_check(method, Predictor(Gnn(layer=layer, width=16, depth=2)(), ["y"], ["regression"]), SMILES * 3)
        return
    predictor = Predictor(dataclasses.replace(SMALL, layer=layer)(), ["y"], ["regression"])
    proof = apply_and_check(method, predictor, SMILES * 3)
    assert proof.backbone_weights == method.count_trainable(
        Predictor(dataclasses.replace(SMALL, layer=layer)(), ["y"], ["regression"]).backbone
    )
    proof.check(predictor)


def test_a_method_without_target_modules_is_refused() -> None:
    with pytest.raises(BadInput, match=r"has no 'query'; it has 'message in', 'message out', 'layer norm'"):
        LoRA(targets=("query",))(Predictor(SMALL(), ["y"], ["regression"]))


def test_a_loaded_model_repeats_its_predictions(fit: tuple[FineTune, Store]) -> None:
    spec, store = fit
    model = make(spec, store, Report(files=store.files))
    assert model.record["backbone"] == SMALL.called and model.record["proof"]["tensors_frozen"] == 6
    test_rows = model.predictions[model.predictions["part"] == "test"]
    again = Predictor.load(model.folder / "predictor").predict(list(test_rows["smiles"]))
    np.testing.assert_allclose(again[:, 0], test_rows["prediction"], atol=1e-5)
    losses = model.curve["valid_loss"].to_numpy()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("solver", [Dual(), CG(tolerance=1e-6)], ids=lambda one: one.kind)
def test_influence_matches_the_exact_solver(fit: tuple[FineTune, Store], solver: object) -> None:
    spec, store = fit
    pool = split_table(spec.train.table, seed=0, train=50, valid=20, pool=20, test=None)[3]
    scored = [
        make(
            import_files(Influence(spec, pool, spec.valid, solver=result, stability=False), store.files),
            store,
            Report(files=store.files),
        )
        for result in (Exact(), solver)
    ]
    exact, scores = (result.table["delta_loss"].to_numpy() for result in scored)
    assert np.abs(exact).max() > 0 and scored[1].record["parameters"] == scored[0].record["parameters"] > 2000
    np.testing.assert_allclose(scores, exact, atol=2e-3 * np.abs(exact).max())


def test_adaptation_and_controls_refuse_a_graph_network(fit: tuple[FineTune, Store]) -> None:
    spec, store = fit
    with pytest.raises(BadInput, match="without a masked-LM head; use a transformer"):
        make(Adapt(spec.train, leave_out=spec.test, backbone=SMALL), store, Report(files=store.files))
    study = Study((spec, dataclasses.replace(spec, backbone=Untrained("molsway-tiny"))))
    assert set(study.roles.values()) == {"selection"}  # a control needs a pre-trained backbone
    assert LearningRateSearch(spec).rates == (0.00192, 0.0064, 0.0192)


def test_export_is_merged_only(fit: tuple[FineTune, Store], tmp_path: Path) -> None:
    spec, store = fit
    adapted = make(
        dataclasses.replace(spec, method=MESSAGES[0], steps=2, evaluations=1), store, Report(files=store.files)
    )
    export.export(adapted, "merged", tmp_path / "merged", "a fit")
    read = Pretrained(str(tmp_path / "merged"))()
    whole = Predictor.load(adapted.folder / "predictor").backbone
    with torch.no_grad():
        torch.testing.assert_close(read.embed(read.batch(SMILES)), whole.embed(whole.batch(SMILES)))
    text = (tmp_path / "merged" / "README.md").read_text()
    assert "graph of a molecule" in text and "tokenizer" not in text
    with pytest.raises(BadInput, match="cannot load an adapter of this graph network"):
        export.export(adapted, "adapter", tmp_path / "adapter", "a fit")
