"""Adapters by `peft`: inserting one into a backbone, its weights, removing and merging it."""

import copy
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

BASE_LAYER = ".base_layer."  # in the path of the original module inside an adapted one
PEFT_SETTINGS = {"task_type": "FEATURE_EXTRACTION"}  # a backbone returns embeddings; the head is not part of it


def insert_adapter(predictor: "nn.Module", config: Any, method: Any) -> None:
    """Freeze the backbone, insert the adapter of a `peft` configuration, and make adapter and head trainable."""
    predictor.requires_grad_(False)
    wrap_with_peft(predictor.backbone, config)
    predictor.adapter = method
    predictor.head.requires_grad_(True)


def wrap_with_peft(backbone: "nn.Module", config: Any) -> Any:
    """The `PeftModel` around a backbone's model, which is changed in place."""
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unsupported layer type")  # layer norms; `method_check` covers them
        return get_peft_model(backbone.model, config)


def adapted_modules(backbone: "nn.Module") -> "Iterator[tuple[str, nn.Module]]":
    """The adapted modules with their paths."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return ((path, module) for path, module in backbone.named_modules() if isinstance(module, BaseTunerLayer))


def adapter_weights(backbone: "nn.Module") -> "dict[str, Tensor]":
    """The tensors of an adapter by name, shared ones once; empty without an adapter."""
    weights, identities = {}, set()
    for path, module in adapted_modules(backbone):
        for name, value in module.state_dict(prefix=f"{path}.").items():
            identity = (value.data_ptr(), tuple(value.shape)) if value.device.type != "meta" else name
            if BASE_LAYER not in name and identity not in identities:
                weights[name] = value
                identities.add(identity)
    return weights


def copy_without_adapter(backbone: "nn.Module") -> "nn.Module":
    """A copy of the backbone without its adapter."""
    return _remove_adapters(copy.deepcopy(backbone))


def copy_with_adapter_merged(backbone: "nn.Module") -> "nn.Module":
    """A copy of the backbone with its adapter merged into the weights: the same function, up to rounding."""
    merged = copy.deepcopy(backbone)
    for _, module in adapted_modules(merged):
        module.merge()
    return _remove_adapters(merged)


def _remove_adapters(backbone: "nn.Module") -> "nn.Module":
    """The backbone with every adapted module replaced by its base layer."""
    for path, module in list(adapted_modules(backbone)):
        parent, _, child = path.rpartition(".")
        setattr(backbone.get_submodule(parent), child, module.get_base_layer())
    if hasattr(backbone.model, "peft_config"):  # `peft` sets it on the wrapped model
        del backbone.model.peft_config
    return backbone
