"""Low-rank changes beside frozen weight matrices."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.engine.spec import settings
from core.models.methods import peft_adapters
from core.models.methods.method import Method
from core.models.methods.target_modules import OWN, Target, pattern, shapes

if TYPE_CHECKING:
    from torch import nn


@settings
class LoRA(Method):
    """The backbone is frozen; beside each target matrix W a product of two thin ones is trained, W + (α/r)·B·A.

    Hu et al. 2021 (arXiv 2106.09685), by `peft`. B begins at 0, so that nothing changes before the first step.
    """

    kind: ClassVar[str] = "lora"
    name: ClassVar[str] = "LoRA"
    rate: ClassVar[float] = 1e-3  # advice for the learning rate at a width of 256
    head_rate: ClassVar[float] = 3.0  # and for the head's, times this

    rank: int = Field(default=8, ge=1, le=1024, description="rank r of a change")
    alpha: int = Field(default=16, ge=1, le=4096, description="α: a change counts α/r times")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on what enters A")
    targets: tuple[Target, ...] = Field(default=(), description=OWN)

    def __call__(self, predictor: "nn.Module") -> None:
        peft_adapters.put(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        return low_rank(self, backbone)

    def count(self, backbone: "nn.Module") -> int:
        """Weights of the backbone's that move: r (in + out) a matrix."""
        return sum(self.rank * (a + b) for a, b in shapes(backbone, self.targets))


def low_rank(method: Any, backbone: "nn.Module", **more: Any) -> Any:
    """The configuration of `peft` for a method with a rank, an α, a dropout and targets."""
    from peft import LoraConfig

    return LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=pattern(backbone, method.targets),
        **more,
        **peft_adapters.WORDS,
    )
