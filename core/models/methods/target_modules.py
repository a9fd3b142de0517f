"""Places in a backbone that a method can change, by the names a chemist reads."""

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


def path_pattern(backbone: "nn.Module", places: Sequence[str]) -> str:
    """A regular expression that fits the whole path of every module at these places of a backbone, and no other.

    A suffix would not do: "output.dense" ends two paths in a layer of MoLFormer, "dense" three. No place stands for
    those that the backbone names itself. Raises `BadInput` where it has no such place.
    """
    places = tuple(places) or backbone.default_targets
    if absent := [place for place in places if place not in backbone.target_patterns]:
        raise BadInput(
            f"{backbone.name} has no {', '.join(map(repr, absent))}; it has {', '.join(map(repr, backbone.target_patterns))}"
        )
    found = "|".join(f"(?:{backbone.target_patterns[place]})" for place in places)
    if not any(re.fullmatch(found, path) for path, _ in backbone.model.named_modules()):
        raise BadInput(f"{backbone.name} has nothing at {', '.join(map(repr, places))}; take another method, or `full`")
    return found


def target_modules(backbone: "nn.Module", places: Sequence[str]) -> Iterator["nn.Module"]:
    """The modules at these places, bottom to top."""
    wanted = re.compile(path_pattern(backbone, places))
    return (module for path, module in backbone.model.named_modules() if wanted.fullmatch(path))


def matrix_shapes(backbone: "nn.Module", places: Sequence[str]) -> list[tuple[int, int]]:
    """Numbers that enter and leave each of the matrices at these places."""
    return [(module.in_features, module.out_features) for module in target_modules(backbone, places)]
