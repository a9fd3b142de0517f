"""Checkpoints, from which an interrupted training resumes.

Weights, best weights, weight average, optimiser state and progress are written to one file.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from core.models.sealed_tensors import load_sealed, save_sealed


@dataclass
class Progress:
    """The progress of a training: the part of a checkpoint that is not tensors."""

    evaluations_done: int = 0
    best: float = math.inf  # validation loss
    best_evaluation: int = 0
    since_best: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def copy_state(model: nn.Module, moving: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """Copies of what training can change: trainable weights and buffers (including feature maps)."""
    state = {name: value for name, value in model.state_dict().items() if name in moving}
    state |= {name: value for name, value in model.named_buffers() if name in model.state_dict()}
    return {name: value.detach().clone() for name, value in state.items()}


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    moving: dict[str, nn.Parameter],
    best: dict[str, Tensor],
    average: dict[str, Tensor],
    progress: Progress,
) -> None:
    """Write checkpoint.safetensors, with its digest."""
    tensors = {f"model.{name}": value for name, value in copy_state(model, moving).items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for name, weight in moving.items():
        tensors |= {f"optimiser.{name}.{slot}": value for slot, value in optimiser.state[weight].items()}
    # progress in the same file, so that both are of the same step
    save_sealed(folder / "checkpoint.safetensors", tensors, json.dumps(progress.__dict__))


def load_checkpoint(
    folder: Path | None,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    moving: dict[str, nn.Parameter],
    best: dict[str, Tensor],
    average: dict[str, Tensor],
) -> Progress:
    """Restore a checkpoint and return its progress; a new `Progress` where there is none or it is damaged."""
    path = folder / "checkpoint.safetensors" if folder else None
    if path is None or not path.exists():
        return Progress()
    try:
        tensors, about = load_sealed(path)
        progress = Progress(**json.loads(about))
    except (TypeError, ValueError):  # changed, or truncated, such as by a power failure
        path.unlink()
        return Progress()
    model.load_state_dict(
        {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}, strict=False
    )
    device = next(iter(moving.values())).device
    best.update({name[5:]: value.to(device) for name, value in tensors.items() if name.startswith("best.")})
    for name, mean in average.items():
        mean.copy_(tensors[f"average.{name}"])
    for name, weight in moving.items():
        for slot in ("step", "exp_avg", "exp_avg_sq"):
            value = tensors[f"optimiser.{name}.{slot}"]
            optimiser.state[weight][slot] = value.to(device)
    return progress
