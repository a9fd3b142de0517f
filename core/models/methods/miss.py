"""Updates of frozen weight matrices by one small matrix, repeated."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.engine.spec import settings
from core.models.methods import peft_adapters
from core.models.methods.method import Method
from core.models.methods.target_modules import TARGETS_HELP, TargetModule, matrix_shapes, path_pattern

if TYPE_CHECKING:
    from torch import nn


@settings
class MiSS(Method):
    """The backbone is frozen; the update of each target matrix is one small matrix, repeated along its inputs.

    Kang & Yin 2024 (arXiv 2409.15371), by `peft`: half the weights of LoRA at the same rank. It starts at 0.
    """

    kind: ClassVar[str] = "miss"
    name: ClassVar[str] = "MiSS"
    advised_rate: ClassVar[float] = 1e-3  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 1.0  # of the head, relative to it

    rank: int = Field(default=8, ge=1, le=1024, description="rank r of the update")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on the input")
    targets: tuple[TargetModule, ...] = Field(default=(), description=TARGETS_HELP)

    def __call__(self, predictor: "nn.Module") -> None:
        peft_adapters.insert_adapter(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        from peft import MissConfig

        return MissConfig(
            r=self.rank,
            miss_dropout=self.dropout,
            target_modules=path_pattern(backbone, self.targets),
            **peft_adapters.PEFT_SETTINGS,
        )

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: r per output of a matrix."""
        return sum(self.rank * b for _, b in matrix_shapes(backbone, self.targets))
