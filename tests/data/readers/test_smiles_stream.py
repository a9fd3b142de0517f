"""Streaming SMILES files of each kind, and errors for unreadable ones."""

import gzip
import hashlib
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest

from core.data.readers import smiles_stream
from core.data.readers.smiles_stream import file_digest, stream_smiles
from core.engine.spec import BadInput

SMILES = ["CCO", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O"]
CSV = "id,smiles,y\n" + "".join(f"{number},{smiles},0.5\n" for number, smiles in enumerate(SMILES))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.smi", "CCO ethanol and more\nc1ccccc1O\tphenol\n\n  CC(=O)Nc1ccc(O)cc1\nC[C@H](N)C(=O)O alanine"),
        ("a.txt", "\r\n".join(SMILES)),
        ("a.SMI", "\ufeff" + "\n".join(SMILES)),
        ("a.csv", CSV),
        ("a.csv", "\ufeff" + CSV.replace("\n", "\r\n")),
        ("a.csv", CSV.replace(",", ";")),
        ("a.csv", CSV.replace("0,CCO,", '0,"CCO",').replace("2,CC", "7\n2, CC") + "9,,1\n\n"),
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.smi", "\n".join(f"{smiles} n\xe9e" for smiles in SMILES).encode("latin-1")),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_each_kind_of_text_file(tmp_path: Path, name: str, text: str | bytes, packed: bool) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(data) if packed else data)
    assert list(stream_smiles(path)) == SMILES


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"y": range(6), "smiles": [*SMILES, None, ""]}).to_parquet(path)
    assert list(stream_smiles(path)) == SMILES


@pytest.mark.parametrize(("name", "text"), [("a.smi", ""), ("a.txt", "\n \n"), ("a.smi.gz", "")])
def test_empty_file_yields_nothing(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert list(stream_smiles(path)) == []


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", b"", "no column of a.csv contains SMILES; add a header line"),
        ("a.csv", b"smiles,y\n", "no column of a.csv contains SMILES"),
        ("a.tsv", b"name\ty\nethanol\t1\nphenol\t2\n", "no column of a.tsv contains SMILES"),
        ("a.sdf", b"CCO", "a corpus file ends in .smi, .txt, .csv"),
        ("a", b"CCO", "a corpus file ends in .smi"),
        ("a.gz", b"CCO", "a corpus file ends in .smi"),
        ("a.smi", "CCO\nCCN\n".encode("utf-16"), "a.smi is not UTF-8 text; save it as UTF-8"),
        ("a.csv", "smiles\nCCO\n".encode("utf-16-le"), "a.csv is not UTF-8 text"),
        ("a.smi", b"\x89PNG\r\n\x1a\n\x00\x00\x00\r", "a.smi is not UTF-8 text"),
        ("a.smi.gz", b"CCO\n", "cannot be read completely"),
        ("a.smi.gz", gzip.compress(b"CCO\n" * 1000, mtime=0)[:-20], "cannot be read completely"),
        ("a.smi.gz", gzip.compress(b"CCO\n" * 1000, mtime=0)[:14] + b"\xff" * 30, "cannot be read completely"),
        ("a.parquet", b"PAR1 or not", "no readable Parquet file"),
        ("a.parquet.gz", b"", "the first four also with .gz"),
    ],
)
def test_unreadable_files_are_refused_with_advice(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(BadInput, match=words) as caught:
        list(stream_smiles(path))
    assert "\n" not in str(caught.value)


def test_parquet_without_rows_or_molecules_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for frame in (pd.DataFrame({"smiles": pd.Series([], dtype=str)}), pd.DataFrame({"y": [1.0, 2.0]})):
        frame.to_parquet(path)
        with pytest.raises(BadInput, match=r"a\.parquet"):
            list(stream_smiles(path))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    for read in (file_digest, lambda path: next(stream_smiles(path))):
        with pytest.raises(BadInput, match=r"cannot be read.*No such file"):
            read(tmp_path / "no.smi")


@pytest.mark.parametrize(("suffix", "head"), [(".smi", 0), (".csv", 1), (".tsv", 1)])
def test_long_file_is_read_lazily(suffix: str, head: int) -> None:
    lines_read = []

    def lines():
        yield from ["smiles\n"] * head
        for number in range(100_000):
            lines_read.append(number)
            yield "C" * (number % 9 + 1) + "\n"

    smiles = list(islice(smiles_stream._lines(lines(), suffix, "long"), 1000))
    assert smiles == ["C" * (number % 9 + 1) for number in range(1000)], (
        "none is lost where the look at the columns ends"
    )
    assert len(lines_read) <= 1001


def test_long_parquet_file_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.parquet"
    monkeypatch.setattr(smiles_stream, "HEADER_ROWS", 20)
    pd.DataFrame({"smiles": ["CCO"] * 1000 + ["CCN"]}).to_parquet(path, row_group_size=100)
    assert list(stream_smiles(path)) == ["CCO"] * 1000 + ["CCN"]


def test_digest_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.smi"
    path.write_bytes(b"CCO\n")
    assert file_digest(path) == hashlib.sha256(b"CCO\n").hexdigest()
