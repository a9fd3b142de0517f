"""Tables of molecules as they come: CSV and its kin, workbooks, Parquet, SDF, SMI. Read as they are, not cleaned.

A cell of a text file stays text. Nothing is found out silently: what is worth saying is in `RawTable.notes`.
"""

from core.data.readers.columns import guess_smiles, guess_targets, numbers
from core.data.readers.files import MOST_BYTES, MOST_COLUMNS, MOST_ROWS, import_file, parted, suffix_of
from core.data.readers.long_table import LongTable, read_long_table
from core.data.readers.raw_table import RawTable, peek, read_table

__all__ = [
    "MOST_BYTES",
    "MOST_COLUMNS",
    "MOST_ROWS",
    "LongTable",
    "RawTable",
    "guess_smiles",
    "guess_targets",
    "import_file",
    "numbers",
    "parted",
    "peek",
    "read_long_table",
    "read_table",
    "suffix_of",
]
