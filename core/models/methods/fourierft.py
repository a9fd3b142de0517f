"""Changes of frozen weight matrices as a few waves."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.engine.spec import BadInput, settings
from core.models.methods import peft_adapters
from core.models.methods.method import Method
from core.models.methods.target_modules import OWN, Target, pattern, shapes

if TYPE_CHECKING:
    from torch import nn


@settings
class FourierFT(Method):
    """The backbone is frozen; the change of each target matrix is a sum of random waves whose heights are trained.

    Gao et al. 2024 (arXiv 2405.03003), by `peft`. The heights begin at 0, so that nothing changes before the first
    step.
    """

    kind: ClassVar[str] = "fourierft"
    name: ClassVar[str] = "FourierFT"
    rate: ClassVar[float] = 1e-2  # advice for the learning rate at a width of 256
    head_rate: ClassVar[float] = 0.1  # and for the head's, times this
    is_steady: ClassVar[bool] = False  # `peft` brings the places of the waves from the CPU at every pass

    waves: int = Field(default=256, ge=1, le=1_000_000, description="waves that make up a change")
    scale: float = Field(default=100.0, gt=0, description="a change counts so many times")
    targets: tuple[Target, ...] = Field(default=(), description=OWN)

    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the choice of waves")

    def __call__(self, predictor: "nn.Module") -> None:
        peft_adapters.put(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        from peft import FourierFTConfig

        smallest = min(a * b for a, b in shapes(backbone, self.targets))
        if self.waves > smallest:
            raise BadInput(f"fourierft wants at most {smallest} waves for {backbone.name}, got {self.waves}")
        return FourierFTConfig(
            n_frequency=self.waves,
            scaling=self.scale,
            random_loc_seed=self.seed,
            init_weights=True,  # heights of 0
            target_modules=pattern(backbone, self.targets),
            **peft_adapters.WORDS,
        )

    def count(self, backbone: "nn.Module") -> int:
        """Weights of the backbone's that move: the heights."""
        return self.waves * len(shapes(backbone, self.targets))
