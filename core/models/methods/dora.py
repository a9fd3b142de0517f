"""LoRA with separately learned row norms."""

from typing import TYPE_CHECKING, ClassVar

from core.engine.spec import settings
from core.models.methods.lora import LoRA
from core.models.methods.target_modules import matrix_shapes

if TYPE_CHECKING:
    from torch import nn


@settings
class DoRA(LoRA):
    """LoRA with separately learned row norms: the low-rank update sets the direction of each row, a norm its length.

    Liu et al. 2024 (arXiv 2402.09353), by `peft`: m · (W + (α/r)·B·A) / ‖W + (α/r)·B·A‖, with a norm m per output. The
    norm ‖…‖ is treated as constant in the gradient, as in the paper: directional derivatives for influence are off by
    about 1 %.
    """

    kind: ClassVar[str] = "dora"
    name: ClassVar[str] = "DoRA"
    use_dora: ClassVar[bool] = True

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: r (in + out) + out per matrix."""
        return super().count_trainable(backbone) + sum(b for _, b in matrix_shapes(backbone, self.targets))
