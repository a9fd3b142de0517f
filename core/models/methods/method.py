"""The interface of fine-tuning methods."""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn


class Method:
    """A fine-tuning method: calling it with a predictor makes some of the weights trainable and freezes the others.

    A method with an adapter also has `config(backbone)`, the configuration of `peft`.
    """

    kind: ClassVar[str]
    name: ClassVar[str]  # as in the literature
    advised_rate: ClassVar[float]  # suggested learning rate at width 256
    head_lr_multiplier: ClassVar[float]  # of the head, relative to it
    is_steady: ClassVar[bool] = True  # whether a training step can be a CUDA graph (`core.training.cuda_graphs`)

    def __call__(self, predictor: "nn.Module") -> None:
        raise NotImplementedError

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Number of trainable weights of the backbone, by a formula."""
        raise NotImplementedError

    def first_steps(self, predictor: "nn.Module") -> tuple[tuple[str, float], ...]:
        """Name prefixes of weights and the share of the steps from which they are trained; the first match counts.

        Empty: all of them from the first step.
        """
        return ()
