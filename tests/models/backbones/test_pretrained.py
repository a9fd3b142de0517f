"""Sources of backbones: folders, bundled checkpoints, the hub, random weights, and their errors."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.engine.spec import BadInput
from core.models import backbones
from core.models.backbones import BACKBONES, SIZES, Pretrained, Untrained, pretrained, weights
from core.models.backbones.molformer.backbone import Backbone

SMILES = ["CCO", "c1ccccc1C(=O)O", "C", "N[C@@H](C)C(=O)O"]


def test_settings_need_no_torch() -> None:
    code = "import sys, core.models.backbones; sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'huggingface_hub')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_family_reads_its_members() -> None:
    assert BACKBONES.read({"kind": "untrained", "name": "molsway-tiny", "seed": 4}) == Untrained("molsway-tiny", 4)
    assert BACKBONES.read("pretrained") == Pretrained("molsway-mini")
    with pytest.raises(BadInput, match="molsway-huge"):
        Untrained("molsway-huge")


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return Untrained("molsway-tiny", seed=3)()


def test_an_untrained_backbone_embeds(tiny: Backbone) -> None:
    assert tiny.name == "molsway-tiny (random weights)" and not tiny.training
    assert (tiny.width, tiny.depth) == (128, 3) and tiny.counts()["parameters"] == 436_992
    batch = tiny.batch(np.array(SMILES, dtype=object))
    assert batch["input_ids"].shape == (4, max(tiny.lengths(SMILES))) and batch["input_ids"].dtype == torch.int64
    with torch.no_grad():
        together = tiny.embed(batch)
        single = torch.cat([tiny.embed(tiny.batch([one])) for one in SMILES])
        assert tiny.embed(tiny.batch([])).shape == (0, 128)
    assert together.shape == (4, 128) and torch.allclose(together, single, atol=1e-6)
    assert tiny.lengths(SMILES).tolist() == [5, 16, 3, 13]
    assert len(tiny.tokenizer) == tiny.model.config.vocab_size


def test_sizes_match_their_descriptions() -> None:
    with torch.device("meta"):
        counts = {name: Untrained(name)().counts()["parameters"] for name in SIZES}
        whole = Untrained("molsway-mini")(mlm_head=True).counts()["parameters"]
    assert (
        counts == {"molsway-mini": 4_210_240, "molsway-tiny": 436_992, "molformer-xl": 44_375_040}
        and whole == 4_411_840
    )


def test_check_lists_lost_tokens_by_row(tiny: Backbone) -> None:
    faults = tiny.check(["CCO", "CuC", "[Zz]C", "C" * 300])
    assert [row for row, _ in faults] == [1, 2, 3]
    assert "'u'" in faults[0][1] and "[Zz]" in faults[1][1] and "302 tokens" in faults[2][1]


def test_a_saved_backbone_keeps_its_name(tmp_path: Path) -> None:
    first = Untrained("molsway-tiny", seed=5)(mlm_head=True)
    first.save(tmp_path / "saved")
    again = backbones.load_backbone(tmp_path / "saved", mlm_head=True)
    assert again.name == first.name and not again.training
    for (name, one), two in zip(first.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
    headless = Pretrained(str(tmp_path / "saved"))()
    assert headless.counts()["parameters"] == 436_992
    with pytest.raises(BadInput, match="no masked-LM head"):
        headless.model.mlm_logits(**headless.batch(["C"]))
    with pytest.raises(BadInput, match="give the folder"):
        backbones.load_backbone(tmp_path / "saved" / "config.json")


def test_half_precision_is_half_as_large_and_loads_as_float32(tmp_path: Path) -> None:
    first = Untrained("molsway-tiny", seed=5)(mlm_head=True)
    first.save(tmp_path / "whole")
    first.save(tmp_path / "half", half=True)
    stored = load_file(tmp_path / "half" / weights.WEIGHTS_FILE)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}, "feature maps as well"
    sizes = [(tmp_path / name / weights.WEIGHTS_FILE).stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.52 * sizes[1]
    kinds = [json.loads((tmp_path / name / "config.json").read_text())["torch_dtype"] for name in ("half", "whole")]
    assert kinds == ["float16", "float32"]
    again = backbones.load_backbone(tmp_path / "half", mlm_head=True)
    for (name, one), two in zip(first.state_dict().items(), again.state_dict().values(), strict=True):
        assert two.dtype == torch.float32 and torch.equal(one.half().float(), two), name
    assert first.model.LayerNorm.weight.dtype == torch.float32, "the live one stays as it is"
    with torch.no_grad():
        embedded = [body.embed(body.batch(SMILES)) for body in (first, again)]
    assert torch.allclose(*embedded, atol=0.02) and not torch.equal(*embedded)


def test_a_backbone_without_a_name_is_named_after_its_folder(model_folder: Path) -> None:
    assert Pretrained(str(model_folder))().name == "small"


def test_a_bundled_checkpoint_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(pretrained, "SHIPPED", {})
    with pytest.raises(BadInput, match=r"no trained weights.*use `untrained`"):
        Pretrained()()
    Untrained("molsway-tiny")().save(tmp_path / "molsway-mini")
    assert Pretrained()().name == "molsway-mini"


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="give molsway-mini, molformer-xl or the path of a folder"):
        Pretrained("molformer-xxl")()
    with pytest.raises(BadInput, match=r"config.json cannot be read"):
        Pretrained(str(tmp_path))()


def fake_hub(folder: Path):
    """A stand-in for the hub: three files of a small model in a snapshot folder."""
    Untrained("molsway-tiny")(mlm_head=True).save(folder)
    asked = []

    def fetch(repo_id: str, filename: str, revision: str) -> str:
        asked.append((repo_id, filename, revision))
        return str(folder / filename)

    return fetch, asked


def test_a_download_is_pinned_and_its_digest_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, asked = fake_hub(tmp_path)
    with pytest.raises(BadInput, match=r"is not the published model\.safetensors") as caught:
        pretrained.download(fetch)
    assert pretrained.DIGEST in str(caught.value) and "delete it" in str(caught.value)
    assert {revision for _, _, revision in asked} == {"361063d0ad524ef77cf39b08469f6be770dc550f"}
    assert sorted(name for _, name, _ in asked) == ["config.json", "model.safetensors", "tokenizer.json"], "no code"
    monkeypatch.setattr(pretrained, "DIGEST", weights.file_digest(tmp_path / "model.safetensors"))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    backbone = Pretrained("molformer-xl")()
    assert backbone.name == "molformer-xl" and backbone.width == 128


def test_offline_errors_name_the_files_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadInput) as caught:
        Pretrained("molformer-xl")()
    text = str(caught.value)
    assert "\n" not in text and "the hub cannot be reached" in text and pretrained.REVISION in text
    assert "config.json, tokenizer.json, model.safetensors" in text and "checkpoints/molformer-xl" in text


def test_files_copied_by_hand_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(pretrained, "SHIPPED", {})
    Untrained("molsway-tiny")().save(tmp_path / "molformer-xl")
    with pytest.raises(BadInput, match="is not the published"):
        Pretrained("molformer-xl")()
