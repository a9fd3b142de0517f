"""What `peft` has put into a backbone: its weights by themselves, and the backbone without it."""

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

MARK = "lora_"  # in the name of each of an adapter's weights


def weights(backbone: "nn.Module") -> "dict[str, Tensor]":
    """An adapter's weights by name; none where there is no adapter."""
    return {name: value for name, value in backbone.state_dict().items() if MARK in name}


def without(backbone: "nn.Module") -> "nn.Module":
    """A copy of the backbone as it was before an adapter was put into it."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    plain = copy.deepcopy(backbone)
    adapted = [(name, module) for name, module in plain.named_modules() if isinstance(module, BaseTunerLayer)]
    for name, module in adapted:
        parent, _, child = name.rpartition(".")
        setattr(plain.get_submodule(parent), child, module.get_base_layer())
    return plain
