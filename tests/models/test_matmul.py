"""The library of matrix products: the faster one if it is as exact, else torch's own choice."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from core.models import matmul
from core.models.matmul import ROUNDING_ERROR, choose_backend, default_backend, product_error

ROOT = Path(__file__).parents[2]
AMD = {"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}


@pytest.fixture(autouse=True)
def restore_backend() -> Iterator[None]:
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "none"
    yield
    torch.backends.mkldnn.matmul.fp32_precision = before


@pytest.mark.parametrize(
    "capabilities",
    [{}, {"cpu_name": "Intel Xeon", "avx512_bf16": True}, AMD | {"amx_bf16": True}, AMD | {"avx512_bf16": False}],
)
def test_other_processors_keep_mkl(capabilities: dict[str, Any]) -> None:
    assert choose_backend(capabilities) == "MKL" and torch.backends.mkldnn.matmul.fp32_precision == "none"


def test_products_are_exact() -> None:
    assert product_error() < ROUNDING_ERROR
    assert choose_backend() in ("MKL", "oneDNN") and product_error() < ROUNDING_ERROR


def test_a_rounding_library_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul, "product_error", lambda: 1e-3)
    assert choose_backend(AMD) == "MKL" and torch.backends.mkldnn.matmul.fp32_precision == "none"
    monkeypatch.setattr(matmul, "product_error", lambda: 1e-6)
    assert choose_backend(AMD) == "oneDNN" and torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    with default_backend():
        assert torch.backends.mkldnn.matmul.fp32_precision == "none"
    assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"


def test_the_backend_is_chosen_at_import() -> None:
    code = (
        "import torch\nmatmul = torch.backends.mkldnn.matmul\nfirst = matmul.fp32_precision\n"
        "import core.models.predictor\nfound = matmul.fp32_precision\nprint(first, found, core.models.matmul.choose_backend())"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert output.split() in (["none", "none", "MKL"], ["none", "bf16", "oneDNN"])
