"""SD files: a molecule and its data items in each record, as the CTfile formats specify (Dalby et al. 1992,
doi:10.1021/ci00007a012; BIOVIA, "CTfile Formats").

A record ends with a line `$$$$`. A data item is a header line that begins with `>`, lines of its value, and a blank
line. A header names a field as `<NAME>` or `DTn`; numbers and registry numbers in it are passed over. RDKit reads the
molecules. Items are read here, because RDKit drops all items of a record after one that it does not understand.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from core.chem import molecules as chem
from core.data.readers.column_faults import ColumnFault
from core.data.readers.numbers import NUMBER

DELIMITER = "$$$$"
HEADER_LINES = 4  # of a molecule: name, program, comment, counts
OTHER = r"(?:\s++|DT\d++|\([^()]*\)|\d++|FROM\s++ARCHIVES)*"  # what a header may contain besides a name
HEADER = re.compile(rf">{OTHER}<(.*)>{OTHER}|>{OTHER}\b(DT\d+){OTHER}", re.IGNORECASE)
UNNAMED = "unnamed field"


@dataclass
class Record:
    """The lines of a molecule, its data items in order, and lines that belong to neither, each with the item before."""

    molecule: list[str]
    items: list[tuple[str, list[str]]] = field(default_factory=list)
    stray: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class SdTable:
    """The records of an SD file as a table; `reasons`: row → why its record is no molecule."""

    frame: pd.DataFrame
    reasons: dict[int, str]
    faults: dict[str, ColumnFault]
    notes: list[str]


def read_sdf(text: str, whole: bool = True) -> SdTable:
    """A row for each record: canonical SMILES ("" if it is no molecule), name, and fields as text.

    Lines of a value are joined by line ends. A field called SMILES or name gets ` (field)` after its name. A field that
    a record has twice keeps its first value there. With `whole=False` an incomplete last record is left out.
    """
    rows: list[dict[str, str]] = []
    reasons: dict[int, str] = {}
    collector = _FaultCollector()
    for lines, is_complete in split_records(text):
        if not is_complete and not whole:
            break
        record, row = parse_record(lines), len(rows)
        molecule = chem.read_molblock("\n".join(record.molecule)) if any(map(str.strip, lines)) else "it is empty"
        if isinstance(molecule, str):
            reasons[row] = molecule
            rows.append({"smiles": ""})
        else:
            rows.append({"smiles": chem.write_smiles(molecule)})
        if record.molecule and record.molecule[0].strip():
            rows[row]["name"] = record.molecule[0].strip()
        collector.add(row, record, rows[row])
        if not is_complete:
            collector.notes.append("the last record does not end with $$$$; the file may have been cut off")
    if rows and all(reason == "it is empty" for reason in reasons.values()) and len(reasons) == len(rows):
        rows = []
    frame = pd.DataFrame(rows, dtype=object).fillna("")
    notes = [f"{len(reasons)} records have no readable molecule"] if reasons else []
    return SdTable(frame, reasons, collector.faults(frame), [*notes, *collector.summary()])


def split_records(text: str) -> Iterator[tuple[list[str], bool]]:
    """The lines of each record, and whether its end is there; blank lines after the last record are none."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.rstrip() == DELIMITER:
            yield lines, True
            lines = []
        else:
            lines.append(line)
    if any(map(str.strip, lines)):
        yield lines, False


def parse_record(lines: Sequence[str]) -> Record:
    """The molecule and the data items of a record."""
    end = next((number for number, line in enumerate(lines) if line.startswith("M  END")), None)
    start = HEADER_LINES if end is None else end + 1
    start = next((number for number in range(start, len(lines)) if lines[number].startswith(">")), len(lines))
    stop = start if end is None else end + 1
    record = Record(list(lines[:stop]))
    record.stray += [("", line.strip()) for line in lines[stop:start] if line.strip()]
    value: list[str] | None = None  # of the item that is open
    for line in lines[start:]:
        if line.startswith(">") and (value is None or HEADER.fullmatch(line.rstrip())):
            value = []
            record.items.append((_field_name(line), value))
        elif not line.strip():
            value = None
        elif value is None:
            record.stray.append((record.items[-1][0], line.strip()))
        else:
            value.append(line.strip())
    return record


def _field_name(line: str) -> str:
    match = HEADER.fullmatch(line.rstrip())
    name = (match[1] or match[2] or "") if match else line[1:].strip().removeprefix("<").removesuffix(">")
    return name.strip() or UNNAMED


class _FaultCollector:
    """Puts items into rows, and collects what is wrong with them by column, the first example of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}
        self.is_text: set[str] = set()  # columns with several lines that are no numbers
        self.notes: list[str] = []

    def add(self, row: int, record: Record, cells: dict[str, str]) -> None:
        """Add the items of a record to the cells of its row."""
        for name, lines in record.items:
            column, value = _column(name), "\n".join(lines)
            if name == UNNAMED:
                self._count("unnamed", f"fields without a name, such as {value[:40]!r} in record {row + 1}")
            if cells.setdefault(column, value) != value:
                reason = f"record {row + 1} has it twice, with {cells[column][:40]!r} and {value[:40]!r}"
                self._fault(column, reason, lines)
            elif len(lines) > 1:
                text = " / ".join(lines)
                self._fault(column, f"in record {row + 1} it has {len(lines)} lines ({text[:60]!r}), not one", lines)
        for name, line in record.stray:
            self._count("stray", f"lines outside of the fields were skipped, such as {line[:40]!r} in record {row + 1}")
            if name and (not cells.get(_column(name)) or NUMBER.fullmatch(line)):
                reason = f"in record {row + 1} {line[:40]!r} follows the blank line that ends it"
                self._fault(_column(name), reason, [line])

    def _fault(self, column: str, reason: str, lines: list[str]) -> None:
        self.reasons.setdefault(column, reason)
        if not all(NUMBER.fullmatch(line) for line in lines):
            self.is_text.add(column)

    def _count(self, what: str, example: str) -> None:
        self.counts[what] += 1
        self.reasons.setdefault(what + "\n", example)  # no name of a column has a line end

    def faults(self, frame: pd.DataFrame) -> dict[str, ColumnFault]:
        """The faults of the columns."""
        reasons = {name: reason for name, reason in self.reasons.items() if name in frame}
        return {name: ColumnFault(reason, name not in self.is_text) for name, reason in reasons.items()}

    def summary(self) -> list[str]:
        """Notes on the file."""
        return [*self.notes, *(f"{count:,} {self.reasons[what + chr(10)]}" for what, count in self.counts.items())]


def _column(name: str) -> str:
    return f"{name} (field)" if name.lower() in ("smiles", "name") else name
