"""Arms of a selection study: none of the pool, all of it, or what a sampler selects."""

import dataclasses
from typing import Any

from core.engine.spec import BadInput, Family
from core.selection import SAMPLERS
from core.selection.sampler import Sampler

Arm = str | Sampler  # a word of `ARMS`, or a sampler with settings that no word stands for

WHOLE = {"none": "nothing of the pool: the reference", "all": "the whole pool"}  # arms that select nothing
FORMER = {"greedy by slopes": "greedy, all weights", "clusters": "kmeans", "far apart": "maxmin"}  # words of old


class Arms(Family):
    """Every arm that has a word: `{word: sampler with its defaults}`, and the two that select nothing.

    A sampler's word is its kind or the name of a variant. Other settings are given as an object; `count`, and the seed
    of a sampler that draws, are the study's.
    """

    def __init__(self) -> None:
        super().__init__("arm")
        self.update(dict.fromkeys(WHOLE))
        for kind, sampler in SAMPLERS.items():
            variants = {word: sampler(**variant.settings) for word, variant in sampler.variants.items()}
            self.update(({} if sampler() in variants.values() else {kind: sampler()}) | variants)

    def read(self, value: Any) -> Arm:
        """The word of an arm where it has one, else its sampler. Raises `BadInput`."""
        if isinstance(value, str):
            value = FORMER.get(value, value)
            if value in self:
                return value
        try:
            sampler = SAMPLERS.read(value)
        except BadInput:
            if not isinstance(value, str):
                raise
            words = ", ".join(map(repr, self))
            raise BadInput(f"there is no arm {value!r}; there are {words}, or a sampler's object") from None
        for name in ("count", "seed") if sampler.uses_seed else ("count",):
            if (number := getattr(sampler, name)) != getattr(type(sampler)(), name):
                raise BadInput(f"an arm's {name!r} is set by the study, got {number} for {sampler.kind}; leave it out")
        return next((word for word, one in self.items() if one == sampler), sampler)

    def key_of(self, value: Arm) -> str:
        return value if isinstance(value, str) else value.title

    def default(self, key: str) -> Arm:
        return key

    def name_of(self, key: str) -> str:
        return key if key in WHOLE else self[key].title

    def describe(self, title: str) -> str:
        """What an arm of this title adds to the training part, in a phrase; empty where no sampler has that name."""
        if title in WHOLE:
            return WHOLE[title]
        for sampler in SAMPLERS.values():
            if title in sampler.variants:
                return sampler.variants[title].about
            if title.partition(" (")[0] == sampler.name:
                return SAMPLERS.describe(sampler.kind)
        return ""


ARMS = Arms()


def title_of(arm: Arm) -> str:
    """What an arm is called in tables and figures."""
    return ARMS.name_of(arm) if isinstance(arm, str) else arm.title


def sampler_of(arm: Arm, count: int, seed: int) -> Sampler:
    """The sampler of an arm that selects `count` molecules; one that draws does so by the `seed`."""
    sampler = ARMS[arm] if isinstance(arm, str) else arm
    return dataclasses.replace(sampler, count=count, **({"seed": seed} if sampler.uses_seed else {}))
