"""Where tensors live: the accelerator if there is one, and how what was made on the CPU comes there."""

import torch
from torch import Tensor

from core.models import matmul as multiplying

LENGTH_MULTIPLE = 8  # tokens of a batch on CUDA are filled up to a multiple: shapes are fewer, and come again (`core.training.cuda_graphs`)

multiplying.choose_backend()  # before anything is multiplied: whatever works with tensors asks here where they live


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on `device`. CUDA is not waited for: it takes the copy from page-locked memory in its turn."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
