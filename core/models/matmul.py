"""Which of torch's two libraries multiplies a processor's float32 matrices.

MKL is slow on processors that are not Intel's: oneDNN is there twice as fast, to the same digits. torch asks oneDNN
where it is told that it may round to bfloat16; oneDNN then does so on processors with AMX, which are left alone here.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

ROW_MULTIPLE = (
    64  # rows that are of another number each time are filled up to a multiple: oneDNN compiles for every shape
)
ROUNDING_ERROR = 1e-5  # error, in standard deviations of a product, from which it was not worked out in float32


def choose_backend(capabilities: dict[str, Any] | None = None) -> str:
    """Take the quicker one and say which, "MKL" or "oneDNN"; `capabilities` are by default this processor's."""
    able = torch.cpu.get_capabilities() if capabilities is None else capabilities
    theirs = "intel" in str(able.get("cpu_name", "intel")).lower()
    if theirs or able.get("amx_bf16") or not able.get("avx512_bf16"):
        return "MKL"
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    if product_error() < ROUNDING_ERROR:
        return "oneDNN"
    torch.backends.mkldnn.matmul.fp32_precision = before
    return "MKL"


@contextlib.contextmanager
def default_backend() -> Iterator[None]:
    """Meanwhile by the library that torch takes by itself: for what is measured beside ours."""
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "none"
    try:
        yield
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


def product_error() -> float:
    """The largest error of a float32 product as it is worked out now, in standard deviations of the product."""
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(128, 512, generator=generator), torch.randn(512, 128, generator=generator)
    true = first.double() @ second.double()
    return float(((first @ second).double() - true).abs().max() / true.std())
