"""Orthogonal transforms of the inputs of frozen weight matrices."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.engine.spec import BadInput, settings
from core.models.methods import peft_adapters
from core.models.methods.method import Method
from core.models.methods.target_modules import TARGETS_HELP, TargetModule, matrix_shapes, path_pattern

if TYPE_CHECKING:
    from torch import nn


@settings
class OFT(Method):
    """The backbone is frozen; the inputs of each target matrix are rotated, block by block, by trained rotations.

    Qiu et al. 2023 (arXiv 2306.07280), by `peft`: angles between the neurons stay as pre-training left them.
    """

    kind: ClassVar[str] = "oft"
    name: ClassVar[str] = "OFT"
    advised_rate: ClassVar[float] = 1e-3  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 1.0  # of the head, relative to it

    block: int = Field(default=16, ge=2, le=1024, description="size of a rotated block; divides the width")
    targets: tuple[TargetModule, ...] = Field(default=(), description=TARGETS_HELP)

    def __call__(self, predictor: "nn.Module") -> None:
        peft_adapters.insert_adapter(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        from peft import OFTConfig

        for width in {a for a, _ in matrix_shapes(backbone, self.targets)}:
            if width % self.block:
                raise BadInput(
                    f"oft rotates blocks of {self.block} inputs, {backbone.name} has a matrix with {width}; choose a "
                    f"`block` that divides {width}"
                )
        return OFTConfig(
            oft_block_size=self.block,
            target_modules=path_pattern(backbone, self.targets),
            **peft_adapters.PEFT_SETTINGS,
        )

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: (block - 1) / 2 per input of a matrix."""
        return sum(a * (self.block - 1) // 2 for a, _ in matrix_shapes(backbone, self.targets))
