"""What every sampler declares of itself."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from core.results.scores import Scores

if TYPE_CHECKING:
    from core.data.dataset import Dataset
    from core.influence.forward_selection import CrossFit

Need = Literal["scores", "labels", "features", "dual", "intervals", "several models"]


class Variant(NamedTuple):
    """Settings of a sampler that have a name of their own."""

    settings: Mapping[str, Any]
    about: str  # what it selects, in a phrase


class Sampler:
    """Selects rows of a pool: called as `sampler(pool, scores)`, it gives row numbers, in the order of selection.

    `needs`, a class variable or a property where it follows from the settings: "scores" of this pool, "labels" of the
    pool, or scores of a certain make: with the "features" of the last layer, by the "dual" solver, with "intervals", or
    averaged over "several models".
    """

    kind: ClassVar[str]
    name: ClassVar[str]  # in a title or a table; a variant has its own
    needs: ClassVar[frozenset[Need]] = frozenset()
    uses_seed: ClassVar[bool] = False  # whether it has a `seed`, and another one selects other molecules
    variants: ClassVar[Mapping[str, Variant]] = {}

    count: int

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        raise NotImplementedError

    def cross_fit(self, pool: "Dataset", scores: Scores) -> "CrossFit | None":
        """What the selection promises, checked on target molecules that had no part in it; None where there is none."""
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that differ from their defaults, apart from how many molecules and which draw."""
        fixed = {"count", "seed"} if self.uses_seed else {"count"}
        fields = [field for field in dataclasses.fields(self) if field.name not in fixed]
        defaults = type(self)()
        return {
            field.name: value
            for field in fields
            if (value := getattr(self, field.name)) != getattr(defaults, field.name)
        }

    @property
    def title(self) -> str:
        """The name of the variant, or the sampler's with the settings that differ: `k-means (clusters 10)`."""
        mine = self.settings
        if (variant := next((name for name, one in self.variants.items() if one.settings == mine), None)) is not None:
            return variant
        words = (_phrase(name.replace("_", " "), value) for name, value in mine.items())
        return f"{self.name} ({', '.join(words)})" if mine else self.name


def _phrase(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"not {name}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
