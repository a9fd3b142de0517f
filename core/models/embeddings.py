"""Embeddings by a frozen backbone: computed once, used in every epoch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.engine.report import SILENT_REPORT, Report
from core.models.predictor import Predictor

MAX_BYTES = 2_000_000_000  # of cached embeddings; beyond, the backbone embeds the molecules in each epoch


def is_frozen(predictor: Predictor) -> bool:
    """Whether the embedding of a molecule never changes: no trainable weight and no dropout in the backbone."""
    moves = any(weight.requires_grad for weight in predictor.backbone.parameters())
    drops = any(isinstance(module, nn.Dropout) and module.p > 0 for module in predictor.backbone.modules())
    return not moves and not drops


def fits_in_memory(predictor: Predictor, molecules: int) -> bool:
    """Whether the embeddings of `molecules` molecules take at most `MAX_BYTES`."""
    return 4 * molecules * predictor.backbone.width <= MAX_BYTES


def embed_molecules(
    predictor: Predictor,
    smiles: Sequence[str],
    precision: str = "float32",
    size: int = 128,
    report: Report = SILENT_REPORT,
) -> Tensor:
    """Embeddings (n, h) of molecules, on the device of the weights, in evaluation mode.

    `precision`: "float32" or "bfloat16" (autocast); `size`: molecules per batch.
    """
    return embed_by_backbone(predictor.backbone, smiles, precision, size, report)


@torch.no_grad()
def embed_by_backbone(
    backbone: Any, smiles: Sequence[str], precision: str = "float32", size: int = 128, report: Report = SILENT_REPORT
) -> Tensor:
    """Embeddings (n, h) of molecules by a backbone, as `embed_molecules`."""
    backbone.eval()
    device = next(backbone.parameters()).device
    embeddings, done = torch.empty(len(smiles), backbone.width, device=device), 0
    order = np.argsort(-backbone.lengths(smiles), kind="stable")  # longest first: too little memory shows at once
    for rows in (order[start : start + size] for start in range(0, len(order), size)):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            embeddings[torch.from_numpy(rows)] = backbone.embed(backbone.batch([smiles[row] for row in rows])).float()
        done += len(rows)
        report(done / len(smiles), f"embedded {done:,} of {len(smiles):,}")
    return embeddings
