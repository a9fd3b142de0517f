"""Exported networks: other programs' loaders read them, with equal results."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.engine.spec import BadInput
from core.models import export as portable
from core.models.backbones import Pretrained, Untrained
from core.models.method_check import apply_and_check
from core.models.methods import METHODS, Full
from core.models.predictor import Predictor

SMILES = ["CCO", "c1ccccc1O", "CC(=O)N", "ClCCBr"]
GOLDEN = Path(__file__).parents[1] / "golden" / "molformer"
grid = pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.kind)


def predictor(backbone: Any = Untrained("molsway-tiny")) -> Predictor:  # noqa: B008 (it is frozen)
    return Predictor(backbone(), ["logS"], ["regression"])


def perturbed_predictor(method: Any, backbone: Any = Untrained("molsway-tiny")) -> Predictor:  # noqa: B008
    model = predictor(backbone)
    apply_and_check(method, model, SMILES)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.02)
    model.fit_scaler(torch.tensor([[1.0], [2.0], [4.0]]).numpy())
    return model


@grid
@pytest.mark.filterwarnings("ignore:Unsupported layer type")  # of layer norms, from peft's own loader
def test_peft_loads_the_adapter_with_equal_embeddings(method: Any, tmp_path: Path) -> None:
    from peft import PeftModel

    ours = perturbed_predictor(method())
    if ours.adapter is None:
        with pytest.raises(BadInput, match="export it as merged"):
            portable.export_adapter(ours, tmp_path, "a fit")
        return
    portable.export_adapter(ours, tmp_path, "a fit")
    theirs = predictor()
    PeftModel.from_pretrained(theirs.backbone.model, str(tmp_path))
    batch = ours.encode(SMILES)
    with torch.no_grad():
        assert torch.equal(theirs.backbone.embed(batch), ours.backbone.embed(batch))
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"].startswith("molsway-tiny") and config["peft_type"]
    tensors = load_file(tmp_path / "head.safetensors")
    assert torch.equal(tensors["head.0.weight"], ours.head[0].weight) and float(tensors["centre"]) == pytest.approx(
        7 / 3
    )
    maps = {name: value for name, value in ours.backbone.state_dict().items() if name.endswith("feature_map.weight")}
    assert len(maps) == 3 and all(torch.equal(tensors[f"backbone.{name}"], value) for name, value in maps.items())
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 400_000  # the backbone has 1.4 MB
    assert "a fit" in (tmp_path / "README.md").read_text()


@grid
def test_a_merged_checkpoint_has_equal_embeddings(method: Any, tmp_path: Path) -> None:
    ours = perturbed_predictor(method())
    portable.export_merged(ours, tmp_path, "a fit")
    theirs = Pretrained(str(tmp_path))()
    batch = ours.encode(SMILES)
    with torch.no_grad():
        assert torch.allclose(theirs.embed(batch), ours.backbone.embed(batch), atol=2e-5, rtol=1e-4)


@grid
def test_a_merged_checkpoint_has_the_published_tensor_names(method: Any, tmp_path: Path) -> None:
    ours = perturbed_predictor(method(), Pretrained(str(GOLDEN)))
    portable.export_merged(ours, tmp_path, "a fit")
    theirs, published = load_file(tmp_path / "model.safetensors"), load_file(GOLDEN / "model.safetensors")
    body = {name.removeprefix("molformer."): value for name, value in published.items() if "lm_head" not in name}
    assert {name: value.shape for name, value in theirs.items()} == {name: value.shape for name, value in body.items()}
    config, wanted = (json.loads((folder / "config.json").read_text()) for folder in (tmp_path, GOLDEN))
    assert {name: config[name] for name in wanted} == wanted
    assert config["model_type"] == "molformer"  # by which the hub's loader knows the architecture


def test_predictions_follow_from_the_exported_folder(tmp_path: Path) -> None:
    """By the formula in its README."""
    ours = perturbed_predictor(Full())
    portable.export_merged(ours, tmp_path, "a fit")
    tensors, backbone = load_file(tmp_path / "head.safetensors"), Pretrained(str(tmp_path))()
    with torch.no_grad():
        x = backbone.embed(backbone.batch(SMILES))
        x = torch.relu(x @ tensors["head.0.weight"].T + tensors["head.0.bias"])
        outputs = x @ tensors["head.3.weight"].T + tensors["head.3.bias"]
    predictions = (outputs * tensors["spread"] + tensors["centre"]).clamp(tensors["least"], tensors["most"])
    assert torch.allclose(predictions, torch.from_numpy(ours.predict(SMILES)), atol=1e-6)
