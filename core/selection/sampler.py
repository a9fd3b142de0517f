"""Interface of samplers: what each declares, and its title."""

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
    """Settings of a sampler that have their own name."""

    settings: Mapping[str, Any]
    about: str  # what it selects, in a phrase


class Sampler:
    """Selects rows of a pool: called as `sampler(pool, scores)`, it gives row numbers, in the order of selection.

    `needs` is a class variable, or a property where it depends on the settings: "scores" of this pool; "labels" of the
    pool; or scores that have the "features" of the last layer, are by the "dual" solver, have "intervals", or are
    averaged over "several models".
    """

    kind: ClassVar[str]
    name: ClassVar[str]  # for titles and tables; a variant has its own
    needs: ClassVar[frozenset[Need]] = frozenset()
    uses_seed: ClassVar[bool] = False  # whether its `seed` changes the selection
    variants: ClassVar[Mapping[str, Variant]] = {}

    count: int

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        raise NotImplementedError

    def cross_fit(self, pool: "Dataset", scores: Scores) -> "CrossFit | None":
        """Predicted loss of the selection, cross-fitted on target molecules not used for it; None if not supported."""
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that differ from their defaults, except the count and the seed of a random draw."""
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
        """Name of the variant, or of the sampler with its changed settings: `k-means (clusters 10)`."""
        changed = self.settings
        if (
            variant := next((name for name, candidate in self.variants.items() if candidate.settings == changed), None)
        ) is not None:
            return variant
        words = (_phrase(name.replace("_", " "), value) for name, value in changed.items())
        return f"{self.name} ({', '.join(words)})" if changed else self.name


def _phrase(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"not {name}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
