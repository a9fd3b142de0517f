"""Sets the dropout of all modules of a model."""

from torch import nn


def set_dropout(model: nn.Module, share: float) -> None:
    """Set the dropout probability of every dropout module in `model`; the configuration is not changed."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
