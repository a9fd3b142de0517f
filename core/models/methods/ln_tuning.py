"""Only layer norms and the head are trained."""

from typing import TYPE_CHECKING, Any, ClassVar

from core.engine.spec import settings
from core.models.methods import peft_adapters
from core.models.methods.method import Method
from core.models.methods.target_modules import path_pattern, target_modules

if TYPE_CHECKING:
    from torch import nn


TARGETS = ("layer norm",)


@settings
class LayerNorms(Method):
    """The gains and biases of all layer norms are trained, and the head.

    Zhao et al. 2023 (arXiv 2312.11420), by `peft`.
    """

    kind: ClassVar[str] = "ln-tuning"
    name: ClassVar[str] = "layer-norm"
    advised_rate: ClassVar[float] = 3e-3  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float] = 0.3  # of the head, relative to it

    def __call__(self, predictor: "nn.Module") -> None:
        peft_adapters.insert_adapter(predictor, self.config(predictor.backbone), self)

    def config(self, backbone: "nn.Module") -> Any:
        from peft import LNTuningConfig

        return LNTuningConfig(target_modules=path_pattern(backbone, TARGETS), **peft_adapters.PEFT_SETTINGS)

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Trainable weights of the backbone: a gain and a bias per output of a layer norm."""
        return sum(2 * norm.normalized_shape[0] for norm in target_modules(backbone, TARGETS))
