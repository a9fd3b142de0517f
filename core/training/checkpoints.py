"""Checkpoints, from which an interrupted training resumes.

Weights, best weights, weight average, optimiser state and progress are written to one file.
"""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


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
    """Write checkpoint.safetensors, first as a draft, so that a crash leaves the previous one intact."""
    tensors = {f"model.{name}": value for name, value in copy_state(model, moving).items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for name, weight in moving.items():
        tensors |= {f"optimiser.{name}.{slot}": value for slot, value in optimiser.state[weight].items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    about = {"progress": json.dumps(progress.__dict__)}
    draft = folder / "checkpoint.draft"
    save_file(tensors, draft, metadata=about)  # progress in the same file, so that both are of the same step
    os.replace(draft, folder / "checkpoint.safetensors")


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
        with safe_open(path, "pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
        tensors = load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):  # truncated, such as by a power failure
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
