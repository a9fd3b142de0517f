"""What every fine-tuning method declares of itself."""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import nn


class Method:
    """A fine-tuning method: called with a predictor, it marks the weights that move.

    A method that puts weights of its own into the backbone also has `config(backbone)`, the configuration of `peft`.
    """

    kind: ClassVar[str]
    name: ClassVar[str]  # as the literature writes it
    advised_rate: ClassVar[float]  # advice for the learning rate at a width of 256
    head_lr_multiplier: ClassVar[float]  # and for the head's, times this
    is_steady: ClassVar[bool] = True  # whether a training step can be recorded on CUDA (`core.training.cuda_graphs`)

    def __call__(self, predictor: "nn.Module") -> None:
        raise NotImplementedError

    def count_trainable(self, backbone: "nn.Module") -> int:
        """Weights of the backbone that move, by a formula."""
        raise NotImplementedError

    def first_steps(self, predictor: "nn.Module") -> tuple[tuple[str, float], ...]:
        """How names of weights begin, and the share of the steps from which these move; the first that fits counts.

        Empty: all of them from the first step.
        """
        return ()
