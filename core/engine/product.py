"""What every product declares: how it is saved and read, its summary, and the one line that a list shows of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

NO_HEADLINE = "–"


class Product(Protocol):
    """What a spec yields. The engine and the lists of runs ask a product for nothing else.

    A list shows a run by its summary alone, as `made.json` holds it: `headline` is asked of the class, and no file of
    the product is read. `headline_keys` are the keys of the summary that it needs, dotted where they are nested.
    """

    headline_keys: ClassVar[tuple[str, ...]]

    def save(self, folder: Path) -> None:
        """Write all of it into an empty folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` has written."""
        ...

    def summary(self) -> dict[str, Any]:
        """Its numbers, plain JSON but for numpy's numbers and arrays."""
        ...

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        """Its main number as a list shows it, from a summary with `headline_keys`; "" where it has none."""
        ...


def headline_of(product: type[Product] | None, summary: Mapping[str, Any]) -> str:
    """The headline of a run by its product's class; "–" for an unknown kind, and for a summary without the keys.

    The latter is that of an earlier version, which did not know them or called them otherwise.
    """
    if product is None or not all(_holds(summary, key) for key in product.headline_keys):
        return NO_HEADLINE
    return product.headline(summary) or NO_HEADLINE


def _holds(summary: Mapping[str, Any], key: str) -> bool:
    value: Any = summary
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value is not None
