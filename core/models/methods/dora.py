"""Low-rank changes of the direction of frozen weight matrices, and their lengths by themselves."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.engine.spec import settings
from core.models.methods import peft_adapters
from core.models.methods.lora import low_rank
from core.models.methods.method import Method
from core.models.methods.target_modules import OWN, Target, shapes

if TYPE_CHECKING:
    from torch import nn


@settings
class DoRA(Method):
    """As LoRA, but a low-rank change turns the rows of each target matrix, and their lengths are trained beside it.

    Liu et al. 2024 (arXiv 2402.09353), by `peft`: m · (W + (α/r)·B·A) / ‖W + (α/r)·B·A‖, a length m for each output.
    Its gradient takes the lengths ‖…‖ for constant, as the paper says: a slope that influence takes of it is off by
    a per cent or so.
    """

    kind: ClassVar[str] = "dora"
    name: ClassVar[str] = "DoRA"
    rate: ClassVar[float] = 1e-3  # advice for the learning rate at a width of 256
    head_rate: ClassVar[float] = 3.0  # and for the head's, times this

    rank: int = Field(default=8, ge=1, le=1024, description="rank r of a change")
    alpha: int = Field(default=16, ge=1, le=4096, description="α: a change counts α/r times")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on what enters A")
    targets: tuple[Target, ...] = Field(default=(), description=OWN)

    def __call__(self, predictor: "nn.Module") -> None:
        peft_adapters.put(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        return low_rank(self, backbone, use_dora=True)

    def count(self, backbone: "nn.Module") -> int:
        """Weights of the backbone's that move: r (in + out) + out a matrix."""
        return sum(self.rank * (a + b) + b for a, b in shapes(backbone, self.targets))
