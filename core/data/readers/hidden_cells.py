"""Hidden rows and columns of a workbook: left out or read, by the user's choice."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.data.readers.decisions import Decision

if TYPE_CHECKING:
    from core.data.readers.raw_table import RawTable

OPTIONS = ("drop", "keep")


def choose_hidden(table: "RawTable", choice: str) -> tuple["RawTable", list[Decision]]:
    """The table for a choice, "" for none, and the decision; hidden rows are undecided without a choice.

    Rows that are left out are empty and have their reason, so that the others keep their numbers.
    """
    rows, columns = list(table.hidden_rows), list(table.hidden_columns)
    if not rows and not columns:
        return table, []
    if choice == "drop":
        frame = table.frame.drop(columns=columns)
        frame.iloc[rows] = ""
        reasons = {**table.reasons, **dict.fromkeys(rows, "the row is hidden in the sheet")}
        table = replace(table, frame=frame, reasons=reasons)
    if choice:
        return table, [_decide(choice, "as chosen")]
    if rows:
        reason = f"{len(rows):,} of {len(table.frame):,} rows are hidden (first row {rows[0] + 1} below the header)"
        return table, [_decide("", f"{reason}; drop leaves them out, keep reads them", undecided=True)]
    return table, []


def find_hidden_guesses(table: "RawTable", choice: str, guessed: Sequence[str]) -> list[Decision]:
    """An undecided choice if a column that nobody named is hidden."""
    names = [name for name in guessed if name in table.hidden_columns]
    if choice or not names:
        return []
    return [_decide("", f"column {names[0]!r} is hidden; drop leaves it out, keep reads it", undecided=True)]


def _decide(value: str, reason: str, undecided: bool = False) -> Decision:
    return Decision("hidden rows and columns", value, reason, "hidden", OPTIONS, undecided)
