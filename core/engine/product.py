"""The protocol of products: save, load, summary, and the headline for lists."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

NO_HEADLINE = "–"


class Product(Protocol):
    """What a spec yields. The engine and the lists of runs use nothing else of a product.

    A list needs only the summary of a run in `made.json`: `headline` is static, and no file of the product is read.
    `headline_keys` are the keys of the summary that it needs, dotted where they are nested.
    """

    headline_keys: ClassVar[tuple[str, ...]]

    def save(self, folder: Path) -> None:
        """Write the product into an empty folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a product from its folder."""
        ...

    def summary(self) -> dict[str, Any]:
        """Its main numbers: JSON values, numpy numbers and arrays."""
        ...

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        """Its main number for lists, from a summary with `headline_keys`; "" for none."""
        ...


def headline_of(product: type[Product] | None, summary: Mapping[str, Any]) -> str:
    """The headline of a run; "–" for an unknown kind, and for a summary without the keys.

    Summaries of earlier versions may lack keys or have them under other names.
    """
    if product is None or not all(_has_key(summary, key) for key in product.headline_keys):
        return NO_HEADLINE
    return product.headline(summary) or NO_HEADLINE


def _has_key(summary: Mapping[str, Any], key: str) -> bool:
    value: Any = summary
    for name in key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value is not None
