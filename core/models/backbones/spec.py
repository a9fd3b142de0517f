"""What every member of the backbone family declares of itself. Read without torch."""

import dataclasses
from typing import Any, ClassVar, Self


class BackboneSpec:
    """Where a backbone comes from; called, it gives the live one.

    A spec of a `Checkpoint` may stand in its place: it has the same `called`, `repeatable` and `with_seed`.
    """

    kind: ClassVar[str]
    repeatable: ClassVar[bool] = False  # whether its weights are drawn by chance, from its `seed`

    @property
    def called(self) -> str:
        """Its name in titles and tables."""
        raise NotImplementedError

    def with_digests(self) -> Self:
        """The same with the digest of its files, where it reads any."""
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def with_seed(self, seed: int) -> Self:
        """The same with weights drawn from another seed; itself where nothing is drawn."""
        return dataclasses.replace(self, seed=seed) if self.repeatable else self
