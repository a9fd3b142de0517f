"""Updates of frozen weight matrices as a few Fourier coefficients."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.engine.spec import BadInput, settings
from core.models.methods import peft_adapters
from core.models.methods.method import Method
from core.models.methods.target_modules import TARGETS_HELP, TargetModule, matrix_shapes, path_pattern

if TYPE_CHECKING:
    from torch import nn


@settings
class FourierFT(Method):
    """The backbone is frozen; a few Fourier coefficients per weight matrix are trained, at random frequencies.

    Gao et al. 2024 (arXiv 2405.03003), by `peft`. The coefficients start at 0, so the model is unchanged before the
    first step.
    """

    kind: ClassVar[str] = "fourierft"
    name: ClassVar[str] = "FourierFT"
    advised_rate: ClassVar[float] = 1e-2  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 0.1  # of the head, relative to it
    is_steady: ClassVar[bool] = False  # `peft` copies the frequencies from the CPU at every pass

    coefficients: int = Field(default=256, ge=1, le=1_000_000, description="Fourier coefficients per weight matrix")
    scale: float = Field(default=100.0, gt=0, description="factor by which the update is multiplied")
    targets: tuple[TargetModule, ...] = Field(default=(), description=TARGETS_HELP)

    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the frequencies")

    def __call__(self, predictor: "nn.Module") -> None:
        peft_adapters.insert_adapter(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        from peft import FourierFTConfig

        smallest = min(a * b for a, b in matrix_shapes(backbone, self.targets))
        if self.coefficients > smallest:
            raise BadInput(
                f"fourierft wants at most {smallest} coefficients for {backbone.name}, got {self.coefficients}; lower "
                "`coefficients`"
            )
        return FourierFTConfig(
            n_frequency=self.coefficients,
            scaling=self.scale,
            random_loc_seed=self.seed,
            init_weights=True,  # coefficients of 0
            target_modules=path_pattern(backbone, self.targets),
            **peft_adapters.PEFT_SETTINGS,
        )

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: the coefficients."""
        return self.coefficients * len(matrix_shapes(backbone, self.targets))
