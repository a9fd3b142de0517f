"""Numbers of the published modelling code for a small random model (tests/golden/molformer/README.md)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.models.backbones.molformer import model as molformer
from core.models.backbones.molformer.model import Molformer
from core.models.backbones.molformer.tokenizer import MolformerTokenizer


@pytest.fixture(scope="session")
def golden() -> Path:
    return Path(__file__).parents[2] / "golden" / "molformer"


@pytest.fixture
def small_model(golden: Path) -> tuple[Molformer, MolformerTokenizer]:
    return molformer.load_molformer(golden)


@pytest.fixture(scope="session")
def inputs(golden: Path) -> dict[str, torch.Tensor]:
    return load_file(golden / "inputs.safetensors")


@pytest.fixture(scope="session")
def outputs(golden: Path) -> dict[str, torch.Tensor]:
    return load_file(golden / "outputs.safetensors")


@pytest.fixture
def model_folder(golden: Path, tmp_path: Path) -> Path:
    """A folder with the small model, to damage."""
    folder = tmp_path / "small"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes((golden / name).read_bytes())
    return folder
