"""Streams SMILES from files of any length: `.smi`, `.txt`, `.csv`, `.tsv`, each also as `.gz`, and Parquet."""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import pandas as pd

from core.data.readers.columns import choose_smiles, guess_smiles
from core.engine.spec import BadInput

HEADER_ROWS = 200  # rows used to guess the column of SMILES
SUFFIXES = (".smi", ".txt", ".csv", ".tsv", ".parquet")


def file_digest(path: Path) -> str:
    """sha256 of a file in hex. Raises `BadInput` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give the path of a SMILES file") from None


def stream_kind(path: Path) -> tuple[str, bool]:
    """The suffix that selects the reader, and whether the file is gzipped. Raises `BadInput`."""
    packed = path.suffix.lower() == ".gz"
    suffix = path.with_suffix("").suffix.lower() if packed else path.suffix.lower()
    if suffix not in SUFFIXES or (packed and suffix == ".parquet"):
        raise BadInput(f"{path.name}: a corpus file ends in {', '.join(SUFFIXES)}, the first four also with .gz")
    return suffix, packed


def stream_smiles(path: Path) -> Iterator[str]:
    """The SMILES of a file in order, as written; empty cells are skipped. Raises `BadInput`.

    A `.smi` or `.txt` file has one SMILES per line, followed by a blank and a name; a table has a header line. Text is
    UTF-8; invalid bytes, such as in a name, are replaced.
    """
    suffix, packed = stream_kind(path)
    try:
        if suffix == ".parquet":
            yield from _parquet(path)
            return
        with gzip.open(path) if packed else path.open("rb") as file:
            if b"\0" in file.peek(4096)[:4096]:
                raise BadInput(f"{path.name} is not UTF-8 text; save it as UTF-8, or use the suffix of its format")
            with io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="") as lines:
                yield from _lines(lines, suffix, path.name)
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise BadInput(f"{path.name} cannot be read completely ({reason}); copy it again") from None


def _lines(lines: Iterator[str], suffix: str, name: str) -> Iterator[str]:
    if suffix in (".smi", ".txt"):
        for line in lines:
            if fields := line.split(maxsplit=1):
                yield fields[0]
        return
    header_line = next(lines, "")
    delimiter = "\t" if suffix == ".tsv" else ";" if ";" in header_line and "," not in header_line else ","
    rows = csv.reader(chain([header_line], lines), delimiter=delimiter)
    header = next(rows, [])
    first = list(islice(rows, HEADER_ROWS))
    column = _column(pd.DataFrame([row for row in first if len(row) == len(header)], columns=header), name)
    for row in chain(first, rows):
        if len(row) > column and row[column].strip():
            yield row[column].strip()


def _parquet(path: Path) -> Iterator[str]:
    from pyarrow import ArrowInvalid, parquet

    try:
        file = parquet.ParquetFile(path)
        start = next(file.iter_batches(HEADER_ROWS)).to_pandas()
        column = start.columns[_column(start, path.name)]
        for batch in file.iter_batches(columns=[column]):
            yield from (text for text in batch.column(0).to_pylist() if text)
    except (ArrowInvalid, StopIteration) as error:
        raise BadInput(f"{path.name} is no readable Parquet file ({error}); write it again") from None


def _column(start: pd.DataFrame, name: str) -> int:
    """The index of the column of SMILES. Raises `BadInput` if there is none."""
    start = start.astype(str)
    if not len(start) or guess_smiles(start) is None:
        raise BadInput(f"no column of {name} contains SMILES; add a header line with a column named smiles")
    return list(start.columns).index(choose_smiles(start, "", name))
