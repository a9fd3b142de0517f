"""Only the head is trained."""

from typing import TYPE_CHECKING, ClassVar

from core.engine.spec import settings
from core.models.methods.method import Method

if TYPE_CHECKING:
    from torch import nn


@settings
class Head(Method):
    """The backbone is frozen, only the head is trained: the cheapest, and the control for every adapter."""

    kind: ClassVar[str] = "head"
    name: ClassVar[str] = "head"
    advised_rate: ClassVar[float] = 3e-4  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 3.0  # of the head, relative to it

    def __call__(self, predictor: "nn.Module") -> None:
        predictor.requires_grad_(False)
        predictor.head.requires_grad_(True)

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: none."""
        return 0
