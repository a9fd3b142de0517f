"""Molecules: a table to predict, whose rows need no label."""

from typing import ClassVar

from core.engine.spec import iterate_fields, settings
from core.experiments.data.load import Load


@settings
class Molecules(Load):
    """A table as `load` reads it, including the rows without a label."""

    kind: ClassVar[str] = "molecules"
    labels_wanted: ClassVar[bool] = False

    @classmethod
    def of(cls, table: Load) -> "Molecules":
        """The same table, including the rows without a label."""
        return cls(**dict(iterate_fields(table)))
