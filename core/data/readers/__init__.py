"""Readers of molecule tables: CSV and similar text, Excel, Parquet, SDF, SMI. Cells are read as they are, not cleaned.

A cell of a text file stays text. Every guess that a user should know of is listed in `RawTable.notes`.
"""

from core.data.readers.columns import guess_smiles, guess_targets, parse_numbers
from core.data.readers.files import MAX_BYTES, MAX_COLUMNS, MAX_ROWS, import_file, split_sheet, table_suffix
from core.data.readers.long_table import LongTable, read_long_table
from core.data.readers.raw_table import RawTable, peek_table, read_table

__all__ = [
    "MAX_BYTES",
    "MAX_COLUMNS",
    "MAX_ROWS",
    "LongTable",
    "RawTable",
    "guess_smiles",
    "guess_targets",
    "import_file",
    "parse_numbers",
    "peek_table",
    "read_long_table",
    "read_table",
    "split_sheet",
    "table_suffix",
]
