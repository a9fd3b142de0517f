"""Only bias terms and the head are trained."""

from typing import TYPE_CHECKING, ClassVar

from core.engine.spec import settings
from core.models.methods.method import Method

if TYPE_CHECKING:
    from torch import nn


@settings
class BitFit(Method):
    """All bias terms of the backbone are trained, those of layer norms among them, and the head.

    Ben Zaken et al. 2021 (arXiv 2106.10199).
    """

    kind: ClassVar[str] = "bitfit"
    name: ClassVar[str] = "BitFit"
    advised_rate: ClassVar[float] = 3e-3  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 0.3  # of the head, relative to it

    def __call__(self, predictor: "nn.Module") -> None:
        predictor.requires_grad_(False)
        for name, weight in predictor.backbone.named_parameters():
            weight.requires_grad_(name.endswith(".bias"))
        predictor.head.requires_grad_(True)

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: one for each output of a layer with a bias."""
        modules = [module for module in backbone.modules() if "bias" in dict(module.named_parameters(recurse=False))]
        sizes = ("out_features", "out_channels", "normalized_shape")
        shapes = (next(getattr(layer, size) for size in sizes if hasattr(layer, size)) for layer in modules)
        return sum(size if isinstance(size, int) else size[0] for size in shapes)
