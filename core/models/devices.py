"""The device of tensors: the accelerator if there is one, and copies to it."""

import torch
from torch import Tensor

from core.models import matmul

# On CUDA the tokens of a batch are padded to a multiple, so that shapes repeat (`core.training.cuda_graphs`).
LENGTH_MULTIPLE = 8

matmul.choose_backend()  # here, since all code that uses tensors imports this module before the first product


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to `device`; to CUDA asynchronously, from page-locked memory."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
