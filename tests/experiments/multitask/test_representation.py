"""Similarity of layers and linear probes."""

import pytest
import torch

from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput, read_spec_json
from core.engine.store import Store
from core.experiments import Load, Representation, build_preset, import_files
from core.models.backbones import Gnn, Untrained
from tests.experiments.multitask.test_multitask import SMALL, small

SMILES = ["CCO", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1"]


def test_layer_is_the_mean_over_atoms_or_tokens() -> None:
    backbone = SMALL()
    batch = backbone.batch(SMILES)
    with torch.no_grad():
        layers = backbone.embed_layers(batch)
        _, atoms, molecule = backbone.embed_atoms(batch)
        one = backbone.embed_layers(backbone.batch(SMILES[1:2]))
    assert len(layers) == backbone.depth + 1 and all(layer.shape == (3, 12) for layer in layers)
    assert torch.allclose(layers[-1][1], atoms[molecule == 1].mean(0), atol=1e-6)
    assert all(torch.allclose(all_[1], alone[0], atol=1e-5) for all_, alone in zip(layers, one, strict=True))
    transformer = Untrained("molsway-tiny")()
    with torch.no_grad():
        layers_of_all = transformer.embed_layers(transformer.batch(SMILES))
        alone = transformer.embed_layers(transformer.batch(SMILES[:1]))
    assert len(layers_of_all) == transformer.depth + 1
    assert all(torch.allclose(many[0], one[0], atol=1e-4) for many, one in zip(layers_of_all, alone, strict=True))


def test_backbones_are_probed_and_compared(tmp_path) -> None:
    store = Store(tmp_path)
    spec = Representation(
        (small(epochs=2), SMALL, Untrained("molsway-tiny")), names=("shared", "random", "transformer"),
        table=Load("bundled:hydration", limit=80), properties=("MolLogP", "RingCount"), molecules=60,
    )  # fmt: skip
    spec = import_files(spec, store.files)
    assert [type(one).__name__ for one in spec.parts()["trained"]] == ["Multitask"]
    result = make(spec, store, Report())
    layers = result.record["layers"]
    assert layers["shared"] == layers["random"] == 3 and layers["transformer"] == 1 + Untrained("molsway-tiny")().depth
    assert len(result.table) == 3 * sum(layers.values()) and set(result.table["asked"]) == {
        "MolLogP", "RingCount", "hydration free energy (measured)",
    }  # fmt: skip
    diagonal = [
        row for row in result.record["alike"] if row["one"] == row["other"] and row["layer"] == row["other_layer"]
    ]
    assert len(diagonal) == sum(layers.values()) and all(row["cka"] == pytest.approx(1) for row in diagonal)
    assert len({(row["one"], row["other"]) for row in result.record["alike"]}) == 6
    assert "gives the best probes of" in result.record["verdict"] and read_spec_json(spec.text).key == spec.key


def test_bad_settings_are_refused(tmp_path) -> None:
    table = Load("bundled:hydration", limit=15)
    with pytest.raises(BadInput, match="at least two backbones"):
        Representation((SMALL,), table=table)
    with pytest.raises(BadInput, match="different `names`"):
        Representation((SMALL, Gnn(width=12, depth=2, walk=4, eigenvectors=2, seed=1)), table=table)
    store = Store(tmp_path)
    with pytest.raises(BadInput, match="at least 20 are needed"):
        make(
            import_files(Representation((SMALL, Untrained("molsway-tiny")), table=table), store.files), store, Report()
        )


def test_objectives_preset_compares_adaptations() -> None:
    spec = build_preset("objectives")
    assert spec.arm_names == ("not adapted", "by masked tokens", "by properties", "by both")
    assert len({arm.backbone.epochs for arm in spec.arms[1:]}) == 1
