"""Low-rank updates of frozen weight matrices."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.engine.spec import settings
from core.models.methods import peft_adapters
from core.models.methods.method import Method
from core.models.methods.target_modules import TARGETS_HELP, TargetModule, matrix_shapes, path_pattern

if TYPE_CHECKING:
    from torch import nn


@settings
class LoRA(Method):
    """The backbone is frozen; a low-rank update of each target matrix W is trained, W + (α/r)·B·A.

    Hu et al. 2021 (arXiv 2106.09685), by `peft`. B starts at 0, so the model is unchanged before the first step.
    """

    kind: ClassVar[str] = "lora"
    name: ClassVar[str] = "LoRA"
    advised_rate: ClassVar[float] = 1e-3  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 3.0  # of the head, relative to it
    use_dora: ClassVar[bool] = False  # whether row norms are learned separately

    rank: int = Field(default=8, ge=1, le=1024, description="rank r of the update")
    alpha: int = Field(default=16, ge=1, le=4096, description="α: the update is multiplied by α/r")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on the input of A")
    targets: tuple[TargetModule, ...] = Field(default=(), description=TARGETS_HELP)

    def __call__(self, predictor: "nn.Module") -> None:
        peft_adapters.insert_adapter(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        from peft import LoraConfig

        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            use_dora=self.use_dora,
            target_modules=path_pattern(backbone, self.targets),
            **peft_adapters.PEFT_SETTINGS,
        )

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: r (in + out) per matrix."""
        return sum(self.rank * (a + b) for a, b in matrix_shapes(backbone, self.targets))
