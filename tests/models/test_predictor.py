"""The predictor: scaler, masked loss, features, clipping, saving and loading."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.chem.features import Features
from core.engine.spec import BadInput
from core.models.backbones import Untrained
from core.models.predictor import Predictor

SMILES = ["CCO", "c1ccccc1", "CC(=O)Nc1ccc(O)cc1", "C", "CCCCCCCCCC(=O)O"]
LABELS = np.array([[1.0, 0.0], [2.0, np.nan], [4.0, 1.0], [np.nan, 1.0], [9.0, 0.0]])


@pytest.fixture
def predictor() -> Predictor:
    model = Predictor(Untrained("molsway-tiny")(), ["size", "toxic"], ["regression", "binary"], seed=1)
    model.fit_scaler(LABELS)
    return model


def test_the_scaler_uses_measured_labels(predictor: Predictor) -> None:
    assert predictor.centre.tolist() == [4.0, 0.0] and predictor.spread[1] == 1.0
    assert float(predictor.spread[0]) == pytest.approx(np.std([1, 2, 4, 9]))
    scaled = predictor.scale_labels(LABELS)
    assert torch.isnan(scaled[3, 0]) and float(scaled[2, 0]) == 0.0 and float(scaled[4, 1]) == 0.0


def test_predictions_are_clipped(predictor: Predictor, tmp_path: Path) -> None:
    far = torch.tensor([[-50.0, -3.0], [0.5, 0.0], [50.0, 3.0]])
    assert abs(float(predictor.to_label_units(far)[2, 0])) > 100, "without a margin there is no limit"
    predictor.fit_scaler(LABELS, clip_margin=0.5)
    spread = float(np.std([1, 2, 4, 9]))
    expected = [1 - 0.5 * spread, 4 + 0.5 * spread, 9 + 0.5 * spread]
    predictor.save(tmp_path)
    for model in (predictor, Predictor.load(tmp_path, "cpu")):
        predictions = model.to_label_units(far)
        np.testing.assert_allclose(predictions[:, 0], expected, rtol=1e-6)
        np.testing.assert_allclose(predictions[:, 1], torch.sigmoid(far[:, 1]), rtol=1e-6)
    assert float(predictor.loss(far[2:], torch.tensor([[0.0, float("nan")]]))) == 2500, "the loss knows no limit"


def test_the_loss_is_the_mean_over_measured_cells(predictor: Predictor) -> None:
    outputs, targets = torch.tensor([[1.0, 0.0], [3.0, 2.0]]), torch.tensor([[0.0, 1.0], [float("nan"), float("nan")]])
    expected = (1.0 + np.log(2)) / 2
    assert float(predictor.loss(outputs, targets)) == pytest.approx(expected)
    assert predictor.cell_loss(outputs, targets)[1].tolist() == [0.0, 0.0]


def test_missing_labels_give_no_gradient(predictor: Predictor) -> None:
    outputs = torch.zeros(2, 2, requires_grad=True)
    predictor.loss(outputs, torch.tensor([[float("nan"), 1.0], [2.0, float("nan")]])).backward()
    assert (outputs.grad == 0).tolist() == [[True, False], [False, True]]


def test_predictions_keep_the_order_for_any_batch_size(predictor: Predictor) -> None:
    whole = predictor.predict(SMILES)
    assert whole.shape == (5, 2) and ((whole[:, 1] > 0) & (whole[:, 1] < 1)).all()
    np.testing.assert_allclose(predictor.predict(SMILES, batch_size=2), whole, atol=1e-5)
    np.testing.assert_allclose(predictor.predict(SMILES[::-1])[::-1], whole, atol=1e-5)
    np.testing.assert_allclose(predictor.predict(SMILES[3:4]), whole[3:4], atol=1e-5)


def test_save_and_load_are_bit_exact(predictor: Predictor, tmp_path: Path) -> None:
    predictor.requires_grad_(False)
    predictor.head.requires_grad_(True)
    predictor.save(tmp_path)
    again = Predictor.load(tmp_path, "cpu")
    assert (again.predict(SMILES) == predictor.predict(SMILES)).all()
    moved = {name for name, weight in again.named_parameters() if weight.requires_grad}
    assert moved == {"head.0.weight", "head.0.bias", "head.3.weight", "head.3.bias"}
    assert not again.training


@pytest.mark.parametrize("columns", ["descriptors", "fingerprints", "both"])
def test_features_are_appended_and_saved(columns: str, tmp_path: Path) -> None:
    features, rows = Features.fit_rows(columns, SMILES, quick=True, counted=True)
    model = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"], features=features)
    model.fit_scaler(LABELS[:, :1])
    batch = model.encode(SMILES)
    np.testing.assert_array_equal(batch["features"].numpy(), rows)
    assert model.embed(batch).shape == (5, 128 + features.width) and model.last_features(batch).shape == (5, 64)
    whole = model.predict(SMILES)
    blind = model(batch | {"features": torch.zeros_like(batch["features"])})
    assert not np.allclose(model.to_label_units(blind).detach().numpy(), whole)
    model.save(tmp_path)
    again = Predictor.load(tmp_path, "cpu")
    assert (again.predict(SMILES) == whole).all() and again.features.to_json() == features.to_json()


def test_dropout_of_features_affects_fingerprints_only() -> None:
    features, rows = Features.fit_rows("both", SMILES, quick=True)
    model = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"], dropout=0.5, features=features)
    model.head.train().training, model.training = True, True  # the backbone stays in evaluation mode
    torch.manual_seed(0)
    columns = model.embed(model.encode(SMILES))[:, 128:].detach().numpy()
    scaled, bits = columns[:, : features.descriptors], columns[:, features.descriptors :]
    np.testing.assert_array_equal(scaled, rows[:, : features.descriptors])
    on = rows[:, features.descriptors :] > 0
    assert set(bits[on]) == {0.0, 2.0} and not bits[~on].any()


def test_a_damaged_predictor_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    predictor.save(tmp_path)
    (tmp_path / "head.safetensors").write_bytes((tmp_path / "head.safetensors").read_bytes()[:40])
    with pytest.raises(BadInput, match="no readable predictor"):
        Predictor.load(tmp_path, "cpu")


def test_the_head_depends_only_on_its_seed() -> None:
    backbone = Untrained("molsway-tiny")()
    torch.manual_seed(5)
    one = Predictor(backbone, ["y"], ["regression"], seed=1).head[0].weight
    torch.manual_seed(6)
    two = Predictor(backbone, ["y"], ["regression"], seed=1).head[0].weight
    other = Predictor(backbone, ["y"], ["regression"], seed=2).head[0].weight
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_large_labels_with_small_differences_are_resolved() -> None:
    model = Predictor(Untrained("molsway-tiny")(), ["date"], ["regression"])
    labels = np.array([[20230101.0], [20230102.0], [20230105.0]])
    model.fit_scaler(labels)
    expected = (labels - labels.mean()) / labels.std()
    np.testing.assert_allclose(model.scale_labels(labels).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(model.to_label_units(model.scale_labels(labels)).numpy(), labels, atol=1e-3)
    with pytest.raises(BadInput, match="smaller unit"):
        model.fit_scaler(np.array([[1e-46], [3e-46]]))
