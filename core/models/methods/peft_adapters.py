"""What `peft` puts into a backbone: its weights by themselves, and the backbone without it or with it merged in."""

import copy
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

BASE_LAYER = ".base_layer."  # in the path of what an adapted module was before
PEFT_SETTINGS = {"task_type": "FEATURE_EXTRACTION"}  # a backbone gives embeddings; the head is ours


def insert_adapter(predictor: "nn.Module", config: Any, method: Any) -> None:
    """Freeze the backbone, put the adapter of a `peft` configuration into it, and let it and the head move."""
    predictor.requires_grad_(False)
    wrap_with_peft(predictor.backbone, config)
    predictor.adapter = method
    predictor.head.requires_grad_(True)


def wrap_with_peft(backbone: "nn.Module", config: Any) -> Any:
    """The `PeftModel` around a backbone's model, which is changed in place."""
    from peft import get_peft_model

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unsupported layer type")  # layer norms; the proof of a method looks at them
        return get_peft_model(backbone.model, config)


def adapted_modules(backbone: "nn.Module") -> "Iterator[tuple[str, nn.Module]]":
    """Modules that an adapter has taken the place of, with their paths."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return ((path, module) for path, module in backbone.named_modules() if isinstance(module, BaseTunerLayer))


def adapter_weights(backbone: "nn.Module") -> "dict[str, Tensor]":
    """An adapter's tensors by name; none where there is no adapter. What several modules share is there once."""
    found, seen = {}, set()
    for path, module in adapted_modules(backbone):
        for name, value in module.state_dict(prefix=f"{path}.").items():
            place = (value.data_ptr(), tuple(value.shape)) if value.device.type != "meta" else name
            if BASE_LAYER not in name and place not in seen:
                found[name] = value
                seen.add(place)
    return found


def copy_without_adapter(backbone: "nn.Module") -> "nn.Module":
    """A copy of the backbone as it was before an adapter was put into it."""
    return _remove_adapters(copy.deepcopy(backbone))


def copy_with_adapter_merged(backbone: "nn.Module") -> "nn.Module":
    """A copy of the backbone whose own weights do what it does with its adapter, to rounding."""
    whole = copy.deepcopy(backbone)
    for _, module in adapted_modules(whole):
        module.merge()
    return _remove_adapters(whole)


def _remove_adapters(backbone: "nn.Module") -> "nn.Module":
    """The backbone with every adapted module replaced by what it was around."""
    for path, module in list(adapted_modules(backbone)):
        parent, _, child = path.rpartition(".")
        setattr(backbone.get_submodule(parent), child, module.get_base_layer())
    if hasattr(backbone.model, "peft_config"):  # `peft` hangs it on the model of whoever calls it
        del backbone.model.peft_config
    return backbone
