"""Only the layers next to the head, and the head, are trained."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from core.engine.spec import BadInput, settings
from core.models.methods.method import Method

if TYPE_CHECKING:
    from torch import nn


@settings
class LastLayers(Method):
    """The top layers of the backbone, the modules above them and the head are trained; the layers below are frozen."""

    kind: ClassVar[str] = "last-layers"
    name: ClassVar[str] = "last layers"
    advised_rate: ClassVar[float] = 3e-4  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 3.0  # of the head, relative to it

    layers: int = Field(default=2, ge=1, le=1000, description="number of layers to train, from the top")

    def __call__(self, predictor: "nn.Module") -> None:
        predictor.requires_grad_(False)
        for part in (*self.trained_modules(predictor.backbone), predictor.head):
            part.requires_grad_(True)

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: those of the top layers and of the modules above them."""
        return sum(weight.numel() for part in self.trained_modules(backbone) for weight in part.parameters())

    def trained_modules(self, backbone: "nn.Module") -> "Iterator[nn.Module]":
        """The trained modules of the backbone. Raises `BadInput` where it has fewer layers."""
        if self.layers > backbone.depth:
            raise BadInput(
                f"last-layers wants at most {backbone.depth} layers of {backbone.name}, got {self.layers}; "
                "lower `layers`, or use the method `full`"
            )
        yield from (*backbone.layers[-self.layers :], backbone.final_modules)
