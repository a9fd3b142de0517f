"""Chooses the library for float32 matrix products on CPUs: MKL or oneDNN.

MKL is slow on processors not by Intel; oneDNN is twice as fast there, to the same digits. torch uses oneDNN only if it
may round to bfloat16. oneDNN really rounds on processors with AMX, so those keep MKL.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

ROW_MULTIPLE = 64  # row counts that vary are padded to a multiple: oneDNN compiles for every shape
ROUNDING_ERROR = 1e-5  # error, in standard deviations of a product, above which it was not computed in float32


def choose_backend(capabilities: dict[str, Any] | None = None) -> str:
    """Choose the faster library and return its name, "MKL" or "oneDNN"; `capabilities`: default this processor's."""
    able = torch.cpu.get_capabilities() if capabilities is None else capabilities
    is_intel = "intel" in str(able.get("cpu_name", "intel")).lower()
    if is_intel or able.get("amx_bf16") or not able.get("avx512_bf16"):
        return "MKL"
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    if product_error() < ROUNDING_ERROR:
        return "oneDNN"
    torch.backends.mkldnn.matmul.fp32_precision = before
    return "MKL"


@contextlib.contextmanager
def default_backend() -> Iterator[None]:
    """A context with torch's own choice of library, for comparison in benchmarks."""
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "none"
    try:
        yield
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


def product_error() -> float:
    """The largest error of a float32 product with the present library, in standard deviations of the product."""
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(128, 512, generator=generator), torch.randn(512, 128, generator=generator)
    true = first.double() @ second.double()
    return float(((first @ second).double() - true).abs().max() / true.std())
