"""Arms of a selection study: none of the pool, all of it, or what a sampler selects."""

import dataclasses
from typing import Any

from core.engine.spec import BadInput, Family
from core.selection import SAMPLERS
from core.selection.sampler import Sampler

Arm = str | Sampler  # a name in `ARMS`, or a sampler with other settings

ARMS_WITHOUT_SAMPLER = {"none": "no molecules of the pool: the reference", "all": "the whole pool"}
FORMER_ARMS = {"greedy by slopes": "greedy, all weights", "clusters": "kmeans", "far apart": "maxmin"}


class Arms(Family):
    """All named arms: `{name: sampler with its defaults}`, and `none` and `all`, which have no sampler.

    A sampler's name is its kind or the name of a variant. Other settings are given as an object; the study sets `count`
    and the seed of a random sampler.
    """

    def __init__(self) -> None:
        super().__init__("arm")
        self.update(dict.fromkeys(ARMS_WITHOUT_SAMPLER))
        for kind, sampler in SAMPLERS.items():
            variants = {name: sampler(**variant.settings) for name, variant in sampler.variants.items()}
            self.update(({} if sampler() in variants.values() else {kind: sampler()}) | variants)

    def read(self, value: Any) -> Arm:
        """The name of an arm if it has one, else its sampler. Raises `BadInput` for an unknown arm."""
        if isinstance(value, str):
            value = FORMER_ARMS.get(value, value)
            if value in self:
                return value
        try:
            sampler = SAMPLERS.read(value)
        except BadInput:
            if not isinstance(value, str):
                raise
            names = ", ".join(map(repr, self))
            raise BadInput(f"there is no arm {value!r}; there are {names}, or a sampler as an object") from None
        for name in ("count", "seed") if sampler.uses_seed else ("count",):
            if (number := getattr(sampler, name)) != getattr(type(sampler)(), name):
                raise BadInput(f"an arm's {name!r} is set by the study, got {number} for {sampler.kind}; leave it out")
        return next((name for name, default in self.items() if default == sampler), sampler)

    def key_of(self, value: Arm) -> str:
        return value if isinstance(value, str) else value.title

    def default(self, key: str) -> Arm:
        return key

    def name_of(self, key: str) -> str:
        return key if key in ARMS_WITHOUT_SAMPLER else self[key].title

    def describe(self, title: str) -> str:
        """What an arm of this title adds to the training set, in a phrase; empty if no sampler has that title."""
        if title in ARMS_WITHOUT_SAMPLER:
            return ARMS_WITHOUT_SAMPLER[title]
        for sampler in SAMPLERS.values():
            if title in sampler.variants:
                return sampler.variants[title].about
            if title.partition(" (")[0] == sampler.name:
                return SAMPLERS.describe(sampler.kind)
        return ""


ARMS = Arms()


def arm_title(arm: Arm) -> str:
    """The name of an arm in tables and figures."""
    return ARMS.name_of(arm) if isinstance(arm, str) else arm.title


def build_sampler(arm: Arm, count: int, seed: int) -> Sampler:
    """The sampler of an arm that selects `count` molecules; a random sampler uses the `seed`."""
    sampler = ARMS[arm] if isinstance(arm, str) else arm
    return dataclasses.replace(sampler, count=count, **({"seed": seed} if sampler.uses_seed else {}))
