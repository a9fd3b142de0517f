"""Dropout of a whole model at once."""

from torch import nn


def set_dropout(model: nn.Module, share: float) -> None:
    """Dropout of this share everywhere in `model`, whatever its configuration says (which stays as it is)."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
