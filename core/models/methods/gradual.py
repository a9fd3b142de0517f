"""Gradual unfreezing: the head first, then layer by layer from the top, finally all weights."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from core.engine.spec import settings
from core.models.methods.method import Method

if TYPE_CHECKING:
    from torch import nn


@settings
class Gradual(Method):
    """The backbone is unfrozen layer by layer from the top, so that an untrained head does not overwrite pre-training.

    Howard & Ruder 2018 (arXiv 1801.06146). The head is trained from the first step. By `unfrozen_by` all layers are
    trained, the embedding below them last.
    """

    kind: ClassVar[str] = "gradual"
    name: ClassVar[str] = "gradual unfreezing"
    advised_rate: ClassVar[float] = 3e-4  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 3.0  # of the head, relative to it

    unfrozen_by: float = Field(
        default=0.5, gt=0, le=1, description="share of the steps after which all weights are trained"
    )

    def __call__(self, predictor: "nn.Module") -> None:
        predictor.requires_grad_(True)

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: all."""
        return sum(weight.numel() for weight in backbone.parameters())

    def first_steps(self, predictor: "nn.Module") -> tuple[tuple[str, float], ...]:
        """Name prefixes of weights and the share of the steps from which they are trained: top layers first."""
        backbone = predictor.backbone
        stages = {id(module): 1 for module in (backbone.final_modules, *backbone.final_modules.children())}
        stages |= {id(layer): 1 + index for index, layer in enumerate(reversed(list(backbone.layers)))}
        last = backbone.depth + 1
        shares = [("head.", 0.0)]
        for name, module in predictor.named_modules():
            if id(module) in stages:
                shares.append((f"{name}.", self.unfrozen_by * stages[id(module)] / last))
        return (*shares, ("", self.unfrozen_by))
