"""The base class of backbone specs. Needs no torch."""

import dataclasses
from typing import Any, ClassVar, Self


class BackboneSpec:
    """The source of a backbone; calling it loads or builds the backbone.

    A spec of a `Checkpoint` can replace it: it has the same `called`, `repeatable` and `with_seed`.
    """

    kind: ClassVar[str]
    repeatable: ClassVar[bool] = False  # whether its weights are random, from its `seed`

    @property
    def called(self) -> str:
        """Its name in titles and tables."""
        raise NotImplementedError

    def with_digests(self) -> Self:
        """The same with the digest of its files, if it reads files."""
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def with_seed(self, seed: int) -> Self:
        """The same with random weights of another seed; itself where the weights are not random."""
        return dataclasses.replace(self, seed=seed) if self.repeatable else self
