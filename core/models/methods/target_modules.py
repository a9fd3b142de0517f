"""The modules of a backbone that a method can change, by names that all backbones share."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from core.engine.spec import BadInput

if TYPE_CHECKING:
    from torch import nn

TargetModule = Literal[
    "query", "key", "value", "attention output", "feed-forward in", "feed-forward out", "message in", "message out"
]
TARGETS_HELP = "weight matrices to adapt; empty: the backbone's default, those of attention or of message passing"


def path_pattern(backbone: "nn.Module", targets: Sequence[str]) -> str:
    """A regular expression that matches the full path of every module of these `targets` in a backbone, and no other.

    A suffix is not enough: "output.dense" ends two paths in a layer of MoLFormer, "dense" three. Empty `targets` mean
    `default_targets` of the backbone. Raises `BadInput` where it has no such module.
    """
    targets = tuple(targets) or backbone.default_targets
    if absent := [target for target in targets if target not in backbone.target_patterns]:
        raise BadInput(
            f"{backbone.name} has no {', '.join(map(repr, absent))}; it has "
            f"{', '.join(map(repr, backbone.target_patterns))}"
        )
    pattern = "|".join(f"(?:{backbone.target_patterns[target]})" for target in targets)
    if not any(re.fullmatch(pattern, path) for path, _ in backbone.model.named_modules()):
        raise BadInput(
            f"{backbone.name} has nothing at {', '.join(map(repr, targets))}; take another method, or `full`"
        )
    return pattern


def target_modules(backbone: "nn.Module", targets: Sequence[str]) -> Iterator["nn.Module"]:
    """The modules of these `targets`, bottom to top."""
    wanted = re.compile(path_pattern(backbone, targets))
    return (module for path, module in backbone.model.named_modules() if wanted.fullmatch(path))


def matrix_shapes(backbone: "nn.Module", targets: Sequence[str]) -> list[tuple[int, int]]:
    """(inputs, outputs) of each weight matrix of these `targets`."""
    return [(module.in_features, module.out_features) for module in target_modules(backbone, targets)]
