"""How a table is read: the settings that a user can give, and the decisions that were made, each with its reason.

Where a table can be read in two ways, it is read in the way that it proves. What nothing proves is undecided: the page
asks, the command line refuses and names the option that decides.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from core.engine.spec import BadInput

Delimiter = Literal["", "comma", "semicolon", "tab", "pipe", "blank"]


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """Settings of `Load` that decide how a file is read; an empty one is decided by what the file proves."""

    delimiter: Annotated[
        Delimiter, Field(description="mark between the cells of a text file; empty: as the file shows")
    ] = ""
    header: Annotated[
        int, Field(ge=0, le=10_000, description="line of the header of a text file, from 1; 0: as the file shows")
    ] = 0
    decimal: Annotated[
        Literal["", "point", "comma"],
        Field(
            description="decimal mark of numbers written as text, while the other mark separates thousands; empty: as "
            "each column proves"
        ),
    ] = ""
    missing: Annotated[
        tuple[str, ...],
        Field(description="label cells that mean 'not measured', such as -999, besides empty ones; `none` if none do"),
    ] = ()
    labels: Annotated[
        Literal["", "numbers", "classes"],
        Field(description="what the label columns hold; empty: two values are two classes, many values are numbers"),
    ] = ""
    classes: Annotated[
        tuple[str, ...],
        Field(
            description="values of the label column that are classes, in order: with two the first is 0 and the second "
            "1, with more each becomes a task of 0 and 1"
        ),
    ] = ()
    hidden: Annotated[
        Literal["", "drop", "keep"],
        Field(
            description="hidden rows and columns of a workbook: drop leaves them out, keep reads them like any other"
        ),
    ] = ""
    merge_all: Annotated[
        bool, Field(description="merge the rows of each molecule even if most rows vanish and their labels differ")
    ] = False


AS_PROVEN = Reading()


@dataclass(frozen=True)
class Decision:
    """One thing that was decided about a table.

    `field`: the setting of `Reading` (or of `Load`) that decides it, "" where there is none; `options`: its values.
    """

    subject: str
    value: str  # "" if undecided
    reason: str
    field: str = ""
    options: tuple[str, ...] = ()
    undecided: bool = False

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "subject": self.subject,
            "value": self.value,
            "reason": self.reason,
            "field": self.field,
            "options": list(self.options),
            "undecided": self.undecided,
        }


class Undecided(BadInput):
    """A table that can be read in more than one way; `decisions` are those that a user has to make."""

    def __init__(self, name: str, decisions: Iterable[Decision]) -> None:
        self.decisions = tuple(decisions)
        first, *others = self.decisions
        choices = " or ".join(f"--read {first.field}={option}" for option in first.options[:4])
        more = f" (and {len(others)} more)" if others else ""
        advice = f"; decide it with {choices} (in a spec: the field {first.field!r} of load)" if first.options else ""
        ways = "can be read in two ways" if first.options else "cannot be read as it is"
        super().__init__(f"{name!r} {ways}: {first.subject}: {first.reason}{more}{advice}")


def require_decided(name: str, decisions: Iterable[Decision]) -> None:
    """Raises `Undecided` for decisions that nothing proves."""
    undecided = [decision for decision in decisions if decision.undecided]
    if undecided:
        raise Undecided(name, undecided)
