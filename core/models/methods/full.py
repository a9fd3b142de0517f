"""All weights are trained."""

from typing import TYPE_CHECKING, ClassVar

from core.engine.spec import settings
from core.models.methods.method import Method

if TYPE_CHECKING:
    from torch import nn


@settings
class Full(Method):
    """All weights of backbone and head are trained: the most capacity, the most memory."""

    kind: ClassVar[str] = "full"
    name: ClassVar[str] = "full"
    advised_rate: ClassVar[float] = 3e-4  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 3.0  # of the head, relative to it

    def __call__(self, predictor: "nn.Module") -> None:
        """Make all weights trainable."""
        predictor.requires_grad_(True)

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: all."""
        return sum(weight.numel() for weight in backbone.parameters())
