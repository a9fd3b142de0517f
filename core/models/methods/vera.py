"""Learned scales of random low-rank matrices that all weight matrices share."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from core.engine.spec import settings
from core.models.methods import peft_adapters
from core.models.methods.method import Method
from core.models.methods.target_modules import TARGETS_HELP, TargetModule, matrix_shapes, path_pattern

if TYPE_CHECKING:
    from torch import nn


@settings
class VeRA(Method):
    """The backbone is frozen; each target matrix is updated by two shared random matrices, whose scales are trained.

    Kopiczko et al. 2023 (arXiv 2310.11454), by `peft`: W + diag(b)·B·diag(d)·A; b starts at 0, so the model is
    unchanged before the first step. Needs a higher learning rate than LoRA.
    """

    kind: ClassVar[str] = "vera"
    name: ClassVar[str] = "VeRA"
    advised_rate: ClassVar[float] = 1e-2  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 0.1  # of the head, relative to it

    rank: int = Field(default=256, ge=1, le=4096, description="rank r of the shared random matrices")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on the input of A")
    targets: tuple[TargetModule, ...] = Field(default=(), description=TARGETS_HELP)

    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the shared matrices")

    def __call__(self, predictor: "nn.Module") -> None:
        peft_adapters.insert_adapter(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        from peft import VeraConfig

        return VeraConfig(
            r=self.rank,
            vera_dropout=self.dropout,
            projection_prng_key=self.seed,
            save_projection=True,  # another version of torch may generate other numbers
            target_modules=path_pattern(backbone, self.targets),
            **peft_adapters.PEFT_SETTINGS,
        )

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: r + out per matrix."""
        return sum(self.rank + b for _, b in matrix_shapes(backbone, self.targets))
