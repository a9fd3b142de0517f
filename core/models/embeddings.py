"""Embeddings by a backbone that does not move: computed once, read in every epoch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.engine.report import SILENT_REPORT, Report
from core.models.predictor import Predictor

MAX_BYTES = 2_000_000_000  # of embeddings that are kept; beyond, the backbone reads the molecules in each epoch


def is_frozen(predictor: Predictor) -> bool:
    """Whether every pass of the backbone over a molecule gives the same: no weight of it moves, no dropout thins it."""
    moves = any(weight.requires_grad for weight in predictor.backbone.parameters())
    thins = any(isinstance(module, nn.Dropout) and module.p > 0 for module in predictor.backbone.modules())
    return not moves and not thins


def fits_in_memory(predictor: Predictor, molecules: int) -> bool:
    """Whether the embeddings of so many molecules are few enough to keep."""
    return 4 * molecules * predictor.backbone.width <= MAX_BYTES


def embed_molecules(
    predictor: Predictor,
    smiles: Sequence[str],
    precision: str = "float32",
    size: int = 128,
    report: Report = SILENT_REPORT,
) -> Tensor:
    """Embeddings (n, h) of molecules, on the device of the weights, in evaluation mode and the given arithmetic."""
    return embed_by_backbone(predictor.backbone, smiles, precision, size, report)


@torch.no_grad()
def embed_by_backbone(
    backbone: Any, smiles: Sequence[str], precision: str = "float32", size: int = 128, report: Report = SILENT_REPORT
) -> Tensor:
    """What a backbone makes of molecules (n, h), as `embed_molecules`."""
    backbone.eval()
    device = next(backbone.parameters()).device
    found, done = torch.empty(len(smiles), backbone.width, device=device), 0
    order = np.argsort(-backbone.lengths(smiles), kind="stable")  # memory runs out at once or never
    for rows in (order[start : start + size] for start in range(0, len(order), size)):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            found[torch.from_numpy(rows)] = backbone.embed(backbone.batch([smiles[row] for row in rows])).float()
        done += len(rows)
        report(done / len(smiles), f"embedded {done:,} of {len(smiles):,}")
    return found
