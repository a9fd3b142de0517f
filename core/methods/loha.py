"""Changes of frozen weight matrices as the product, place by place, of two low-rank ones."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.methods import adapters
from core.methods.places import ATTENTION, Target, pattern, shapes
from core.spec import settings

if TYPE_CHECKING:
    from torch import nn


@settings
class LoHa:
    """The backbone is frozen; each target matrix W becomes W + (α/r)·(B₁A₁ ∘ B₂A₂), of rank up to r².

    Hyeon-Woo et al. 2021 (FedPara, arXiv 2108.06098), by `peft`.
    """

    kind: ClassVar[str] = "loha"
    name: ClassVar[str] = "LoHa"
    rate: ClassVar[float] = 1e-3  # advice for the learning rate at a width of 256

    rank: int = Field(default=4, ge=1, le=1024, description="rank r of each of the two products")
    alpha: int = Field(default=8, ge=1, le=4096, description="α: a change counts α/r times")
    targets: tuple[Target, ...] = Field(default=ATTENTION, min_length=1, description="matrices of a layer")

    def __call__(self, predictor: "nn.Module") -> None:
        adapters.put(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        from peft import LoHaConfig

        return LoHaConfig(
            r=self.rank, alpha=self.alpha, target_modules=pattern(backbone, self.targets), **adapters.WORDS
        )

    def count(self, backbone: "nn.Module") -> int:
        """Weights of the backbone's that move: 2 r (in + out) a matrix."""
        return sum(2 * self.rank * (a + b) for a, b in shapes(backbone, self.targets))
