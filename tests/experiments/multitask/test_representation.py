"""Layers of trunks beside each other, and what is read from each."""

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


def test_every_layer_of_a_backbone_is_the_mean_over_its_atoms_or_tokens() -> None:
    body = SMALL()
    batch = body.batch(SMILES)
    with torch.no_grad():
        layers = body.embed_layers(batch)
        _, atoms, molecule = body.embed_atoms(batch)
        one = body.embed_layers(body.batch(SMILES[1:2]))
    assert len(layers) == body.depth + 1 and all(layer.shape == (3, 12) for layer in layers)
    assert torch.allclose(layers[-1][1], atoms[molecule == 1].mean(0), atol=1e-6)
    assert all(torch.allclose(all_[1], alone[0], atol=1e-5) for all_, alone in zip(layers, one, strict=True))
    transformer = Untrained("molsway-tiny")()
    with torch.no_grad():
        found = transformer.embed_layers(transformer.batch(SMILES))
        alone = transformer.embed_layers(transformer.batch(SMILES[:1]))
    assert len(found) == transformer.depth + 1
    assert all(torch.allclose(many[0], one[0], atol=1e-4) for many, one in zip(found, alone, strict=True))


def test_trunks_are_asked_and_compared(tmp_path) -> None:
    store = Store(tmp_path)
    recipe = Representation(
        (small(epochs=2), SMALL, Untrained("molsway-tiny")), names=("trunk", "random", "transformer"),
        table=Load("bundled:hydration", limit=80), properties=("MolLogP", "RingCount"), molecules=60,
    )  # fmt: skip
    recipe = import_files(recipe, store.files)
    assert [type(one).__name__ for one in recipe.parts()["made"]] == ["Multitask"]
    made = make(recipe, store, Report())
    layers = made.record["layers"]
    assert layers["trunk"] == layers["random"] == 3 and layers["transformer"] == 1 + Untrained("molsway-tiny")().depth
    assert len(made.table) == 3 * sum(layers.values()) and set(made.table["asked"]) == {
        "MolLogP", "RingCount", "hydration free energy (measured)",
    }  # fmt: skip
    own = [row for row in made.record["alike"] if row["one"] == row["other"] and row["layer"] == row["other_layer"]]
    assert len(own) == sum(layers.values()) and all(row["cka"] == pytest.approx(1) for row in own)
    assert len({(row["one"], row["other"]) for row in made.record["alike"]}) == 6
    assert "best read" in made.record["verdict"] and read_spec_json(recipe.text).key == recipe.key


def test_what_cannot_be_compared_is_refused(tmp_path) -> None:
    table = Load("bundled:hydration", limit=15)
    with pytest.raises(BadInput, match="two models at least"):
        Representation((SMALL,), table=table)
    with pytest.raises(BadInput, match="different `names`"):
        Representation((SMALL, Gnn(width=12, depth=2, walk=4, eigenvectors=2, seed=1)), table=table)
    store = Store(tmp_path)
    with pytest.raises(BadInput, match="20 at least"):
        make(
            import_files(Representation((SMALL, Untrained("molsway-tiny")), table=table), store.files), store, Report()
        )


def test_adapting_by_properties_stands_beside_adapting_by_tokens() -> None:
    spec = build_preset("objectives")
    assert spec.called == ("not adapted", "by masked tokens", "by properties", "by both")
    assert len({arm.backbone.epochs for arm in spec.arms[1:]}) == 1
