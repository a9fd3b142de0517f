"""One training from backbone to record: the part that all kinds of training share."""

import contextlib
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from core.chem import molecules as chem
from core.engine import memory
from core.engine.meter import Meter
from core.engine.report import Report
from core.engine.spec import BadInput
from core.models.backbones import pretraining_history
from core.models.devices import best_device
from core.training.checkpoints import Progress
from core.training.cuda_graphs import TrainStep
from core.training.loop import DrawRows, count_parameters, resolve_precision, train
from core.training.optimisation import Optimisation, Plan


class Session:
    """Device, plan, progress and cost of one training.

    `load()` loads the backbone; memory and energy are measured from then until the last step. `train` sets `plan`,
    `progress` and `usage`.
    """

    plan: Plan
    progress: Progress
    usage: dict[str, Any]  # memory and energy

    def __init__(self, spec: Optimisation, load: Callable[[], Any], report: Report) -> None:
        report(0, "loading the backbone")
        self.spec, self.meter = spec, Meter()
        self.backbone = load()
        self.device = best_device()
        self.precision = resolve_precision(spec.precision, self.device, self.backbone.width)

    def randomise(self, smiles: Sequence[str], count: int) -> tuple[list[list[str]], np.ndarray]:
        """k = `count` SMILES variants of each molecule (one for graphs), and their lengths (n, k)."""
        variants = randomise_smiles(smiles, count if self.backbone.reads_smiles else 1, self.spec.seed)
        return variants, np.stack([self.backbone.lengths(variant) for variant in variants], 1)

    def train(
        self,
        model: nn.Module,
        lengths: np.ndarray,
        train_step: TrainStep,
        evaluate: Callable[[], dict[str, float]],
        report: Report,
        draw: DrawRows | None = None,
        **overrides: Any,
    ) -> None:
        """Run the loop on `model`; `overrides` replace settings of the spec. See `loop.train`.

        Raises `BadInput` when memory runs out, with the settings to change.
        """
        self.plan = self.spec.build_plan(len(lengths), self.backbone.width, self.precision, **overrides)
        with explain_shortage(model, int(lengths.max()), self.plan.batch_size):
            self.progress = train(model, lengths, train_step, evaluate, self.plan, report, draw)
        self.usage = self.meter.reading()

    @property
    def best(self) -> dict[str, float]:
        """The point of the learning curve with the lowest validation loss, whose weights the model has."""
        return self.progress.curve[self.progress.best_evaluation - 1]

    def record(self, model: nn.Module) -> dict[str, Any]:
        """The record of the training of `model`: sizes, best step, settings and cost."""
        return {
            "backbone": self.backbone.name,
            **count_parameters(model),
            "seconds": self.progress.seconds,
            "best_epoch": self.best["epoch"],
            "best_step": self.best["step"],
            "steps": self.progress.curve[-1]["step"],
            "learning_rate": self.plan.learning_rate,
            "precision": self.plan.precision,
            **self.usage,
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else platform.processor() or "cpu",
            "seed": self.spec.seed,
        }

    def save_backbone(
        self, folder: Path, name: str, start: Any, smiles: Sequence[str], digest: str, labels: int = 0
    ) -> None:
        """Write the backbone under its new `name`, with its card. See `pretraining_history.write_history`."""
        self.backbone.name = name
        self.backbone.save(folder / "backbone")
        pretraining_history.write_history(folder / "backbone", self.spec.key, name, smiles, digest, start, labels)


@contextlib.contextmanager
def explain_shortage(model: nn.Module, longest: int, batch_size: int) -> Iterator[None]:
    """Turn an out-of-memory error into a `BadInput` with the settings to change."""
    try:
        yield
    except Exception as error:
        if not memory.is_out_of_memory(error):
            raise
        moving = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        raise BadInput(
            f"not enough memory for batches of {batch_size:,} molecules of up to {longest:,} "
            f"tokens with {moving:,} trainable weights; lower `batch_size` (to {max(1, batch_size // 2):,}, say), "
            "use a method with fewer trainable weights, or a smaller backbone"
        ) from None


def randomise_smiles(smiles: Sequence[str], count: int, seed: int) -> list[list[str]]:
    """`count` lists of SMILES of the molecules: as given, then randomised (Bjerrum 2017, arXiv 1703.07076)."""
    others = [chem.randomised_smiles(chem.parse(one), count - 1, seed + row) for row, one in enumerate(smiles)]
    return [list(smiles), *(list(variant) for variant in zip(*others, strict=True))]
