"""Learned scales of keys, values and feed-forward activations."""

from typing import TYPE_CHECKING, Any, ClassVar

from core.engine.spec import settings
from core.models.methods import peft_adapters
from core.models.methods.method import Method
from core.models.methods.target_modules import matrix_shapes, path_pattern

if TYPE_CHECKING:
    from torch import nn


OUTPUTS, INPUTS = ("key", "value"), ("feed-forward out",)  # modules whose outputs, and whose inputs, are scaled


@settings
class IA3(Method):
    """(IA)³: the backbone is frozen; vectors that scale keys, values and feed-forward activations are trained.

    Liu et al. 2022 (arXiv 2205.05638), by `peft`. The vectors start at 1, so the model is unchanged before the
    first step. The smallest of the adapters; needs a higher learning rate than LoRA.
    """

    kind: ClassVar[str] = "ia3"
    name: ClassVar[str] = "(IA)³"
    advised_rate: ClassVar[float] = 1e-2  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 0.1  # of the head, relative to it

    def __call__(self, predictor: "nn.Module") -> None:
        peft_adapters.insert_adapter(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        from peft import IA3Config

        return IA3Config(
            target_modules=path_pattern(backbone, OUTPUTS + INPUTS),
            feedforward_modules=path_pattern(backbone, INPUTS),
            **peft_adapters.PEFT_SETTINGS,
        )

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: one per output of key and value, one per input of the last matrix."""
        return sum(b for _, b in matrix_shapes(backbone, OUTPUTS)) + sum(a for a, _ in matrix_shapes(backbone, INPUTS))
