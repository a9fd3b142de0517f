"""Molecules: a table to be predicted, in which a row needs no label."""

from typing import ClassVar

from core.engine.spec import iterate_fields, settings
from core.experiments.data.load import Load


@settings
class Molecules(Load):
    """A table as `load` reads it, but rows without any label stay: they are what is to be predicted."""

    kind: ClassVar[str] = "molecules"
    labels_wanted: ClassVar[bool] = False

    @classmethod
    def of(cls, table: Load) -> "Molecules":
        """The same table, with its rows that have no label."""
        return cls(**dict(iterate_fields(table)))
