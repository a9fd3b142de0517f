"""Weights on disk: exact, or an error that names the wrong tensors."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.engine.spec import BadInput
from core.models.backbones import weights
from core.models.backbones.molformer import model as molformer


def load_error(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        molformer.load_molformer(folder)
    assert "\n" not in str(caught.value) and (caught.value.__suppress_context__ or not caught.value.__context__)
    return str(caught.value)


def rewrite(folder: Path, change) -> None:
    tensors = load_file(folder / weights.WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, folder / weights.WEIGHTS_FILE)


def test_save_and_load_are_exact(small_model, golden: Path, tmp_path: Path) -> None:
    model, tokenizer = small_model
    model.redraws_features = True
    model.train()(torch.full((1, 4), 5), torch.ones(1, 4, dtype=torch.long))  # redraws the feature maps
    model.save(tmp_path)
    tokenizer.save(tmp_path)
    again, same = molformer.load_molformer(tmp_path)
    assert load_file(tmp_path / weights.WEIGHTS_FILE).keys() == load_file(golden / weights.WEIGHTS_FILE).keys()
    for (name, one), two in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
    maps = "encoder.layer.0.attention.self.feature_map.weight"
    assert not torch.equal(again.state_dict()[maps], load_file(golden / weights.WEIGHTS_FILE)["molformer." + maps])
    assert same.get_vocab() == tokenizer.get_vocab() and again.config == model.config and not again.training


def test_an_encoder_without_token_head_loads(model_folder: Path, inputs, outputs) -> None:
    tensors = {
        name.removeprefix("molformer."): value
        for name, value in load_file(model_folder / weights.WEIGHTS_FILE).items()
        if "lm_head" not in name
    }
    save_file(tensors, model_folder / weights.WEIGHTS_FILE)
    model, _ = molformer.load_molformer(model_folder)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    with torch.no_grad():
        assert (model.pool(model(ids, mask), mask) - outputs["pooled.f32"]).abs().max() < 2e-5
    with pytest.raises(BadInput, match="no masked-LM head"):
        model.mlm_logits(ids, mask)
    model.save(model_folder)
    assert load_file(model_folder / weights.WEIGHTS_FILE).keys() == tensors.keys()


def test_the_token_head_can_be_dropped(golden: Path) -> None:
    model, _ = molformer.load_molformer(golden, mlm_head=False)
    assert not any(name.startswith("lm_head") for name in model.state_dict()) and len(model.state_dict()) == 54


def test_every_mismatched_tensor_is_named(model_folder: Path) -> None:
    layer = "molformer.encoder.layer.{}.attention.self.query.bias"

    def change(tensors: dict[str, torch.Tensor]) -> None:
        for number in (0, 2):
            del tensors[layer.format(number)]
        del tensors["molformer.LayerNorm.bias"]
        tensors["classifier.weight"] = torch.zeros(3)
        tensors["lm_head.decoder.weight"] = torch.zeros(41, 64)
        tensors["lm_head.transform.dense.bias"] = torch.zeros(64, dtype=torch.int32)
        tensors["molformer.LayerNorm.weight"][5] = float("nan")

    rewrite(model_folder, change)
    text = load_error(model_folder)
    assert "3 missing: molformer.LayerNorm.bias, molformer.encoder.layer.0,2.attention.self.query.bias" in text
    assert "1 not expected: classifier.weight" in text
    assert "lm_head.decoder.weight is (41, 64), wanted (40, 64)" in text
    assert "lm_head.transform.dense.bias holds torch.int32" in text
    assert "molformer.LayerNorm.weight has values that are not finite" in text


@pytest.mark.parametrize("drop", ["lm_head.", "molformer."])
def test_missing_tensors_are_refused(model_folder: Path, drop: str) -> None:
    tensors = {
        name: value
        for name, value in load_file(model_folder / weights.WEIGHTS_FILE).items()
        if not name.startswith(drop)
    }
    save_file(tensors, model_folder / weights.WEIGHTS_FILE)
    assert "missing: " + drop in load_error(model_folder)


def test_a_foreign_file_is_refused(model_folder: Path) -> None:
    save_file({"bert.encoder.weight": torch.zeros(2)}, model_folder / weights.WEIGHTS_FILE)
    text = load_error(model_folder)
    assert "0 of 54 tensors match" in text and "not expected: bert.encoder.weight" in text


@pytest.mark.parametrize("bytes_left", [0, 5, 100, 200_000, 350_463])
def test_a_truncated_file_is_refused(model_folder: Path, bytes_left: int) -> None:
    path = model_folder / weights.WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:bytes_left])
    text = load_error(model_folder)
    assert f"{bytes_left:,} bytes" in text and "copy it again" in text
    if bytes_left > 10_000:
        assert "its header says 350,464 bytes" in text


def test_a_random_file_is_refused(model_folder: Path) -> None:
    (model_folder / weights.WEIGHTS_FILE).write_bytes(b"\xff" * 5000)
    assert "5,000 bytes" in load_error(model_folder)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.safetensors", None, "has no model.safetensors"),
        ("config.json", None, "a backbone is a folder with"),
        ("config.json", "{", "is no JSON"),
        ("config.json", "[]", "expected an object"),
        ("tokenizer.json", None, "it is not there"),
        ("tokenizer.json", "{}", "cannot be read"),
    ],
)
def test_absent_or_damaged_files_are_named(model_folder: Path, name: str, content: str | None, words: str) -> None:
    if content is None:
        (model_folder / name).unlink()
    else:
        (model_folder / name).write_text(content)
    text = load_error(model_folder)
    assert words in text and str(model_folder) in text


def test_a_tokenizer_of_another_model_is_refused(model_folder: Path) -> None:
    config = json.loads((model_folder / "config.json").read_text())
    (model_folder / "config.json").write_text(json.dumps(config | {"vocab_size": 39}))
    assert "tokenizer.json (40 tokens" in load_error(model_folder)


def test_half_precision_loads_as_float32(model_folder: Path) -> None:
    rewrite(model_folder, lambda tensors: tensors.update({name: value.bfloat16() for name, value in tensors.items()}))
    model, _ = molformer.load_molformer(model_folder)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
