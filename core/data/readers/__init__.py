"""Readers of molecule tables: CSV and similar text, Excel, Parquet, SDF, SMI. Cells are read as they are, not cleaned.

A cell of a text file stays text. How a table is read is decided by what it proves (`decisions`), or by the user.
"""

from core.data.readers.columns import (
    TargetColumn,
    choose_smiles,
    decide_smiles,
    decide_targets,
    guess_smiles,
    guess_targets,
    name_columns,
    require_column,
)
from core.data.readers.decisions import Decision, Reading, Undecided, require_decided
from core.data.readers.files import MAX_BYTES, MAX_COLUMNS, MAX_ROWS, import_file, split_sheet, table_suffix
from core.data.readers.inspection import TableInspection, inspect_table
from core.data.readers.labels import Labels, read_labels
from core.data.readers.long_table import LongTable, read_long_table
from core.data.readers.numbers import MarkEvidence, NumberMarks, NumericText, decide_marks, parse_numbers
from core.data.readers.raw_table import RawTable, peek_table, read_table

__all__ = [
    "MAX_BYTES",
    "MAX_COLUMNS",
    "MAX_ROWS",
    "Decision",
    "Labels",
    "LongTable",
    "MarkEvidence",
    "NumberMarks",
    "NumericText",
    "RawTable",
    "Reading",
    "TableInspection",
    "TargetColumn",
    "Undecided",
    "choose_smiles",
    "decide_marks",
    "decide_smiles",
    "decide_targets",
    "guess_smiles",
    "guess_targets",
    "import_file",
    "inspect_table",
    "name_columns",
    "parse_numbers",
    "peek_table",
    "read_labels",
    "read_long_table",
    "read_table",
    "require_column",
    "require_decided",
    "split_sheet",
    "table_suffix",
]
