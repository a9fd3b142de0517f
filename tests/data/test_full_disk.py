"""A full disk below `--out`: it is named, nothing useless stays, and what stays is said and resumed."""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from core.data import annotated_table
from core.data.annotated_table import Annotation, annotate_table
from core.data.dataset import Dataset
from core.data.readers import import_file
from core.engine.files import StoreFull
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput

ROWS = 90


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotated_table, "SHARD", 30)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("smiles,note\n" + "".join(f"{'C' * (k % 9 + 1)},{k:060}\n" for k in range(ROWS)))
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk" / "x.csv"


def annotate(table: Path, out: Path) -> dict[str, Any]:
    def columns(chunk: Dataset, report: Report) -> dict[str, np.ndarray]:
        return {"size": np.array([float(len(smiles)) for smiles in chunk.smiles])}

    return annotate_table(table, out, Annotation(columns, product="abc"), SILENT_REPORT)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def fail(error: OSError, after: int = 0) -> Any:
    """A function that raises after some calls of another, which it replaces."""

    def patch(monkeypatch: pytest.MonkeyPatch, where: Any, what: str) -> None:
        original, calls = getattr(where, what), []

        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) > after:
                raise error
            return original(*arguments, **options)

        monkeypatch.setattr(where, what, call)

    return patch


NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("where", "what", "after"),
    [
        (Path, "write_text", 0),
        (parquet, "write_table", 0),
        (filelock.FileLock, "acquire", 0),
        (Path, "mkdir", 0),
    ],
)
def test_nothing_stays_if_no_row_is_saved(
    table: Path, out: Path, monkeypatch: pytest.MonkeyPatch, where: Any, what: str, after: int
) -> None:
    with monkeypatch.context() as patch:
        fail(NO_SPACE, after)(patch, where, what)
        with pytest.raises(
            StoreFull, match=r"the disk of .*/disk is full: [\d,]+ MB free; .*--out; nothing is left there"
        ):
            annotate(table, out)
    assert names(out.parent) == set()
    assert annotate(table, out)["rows"] == ROWS and names(out.parent) == {"x.csv"}


@pytest.mark.parametrize(
    ("where", "what", "after", "rows"),
    [(parquet, "write_table", 2, 60), (pd.DataFrame, "to_csv", 1, 90), (Path, "replace", 4, 90)],
)
def test_saved_rows_are_named_and_resumed(
    table: Path, out: Path, monkeypatch: pytest.MonkeyPatch, where: Any, what: str, after: int, rows: int
) -> None:
    with monkeypatch.context() as patch:
        fail(NO_SPACE, after)(patch, where, what)
        words = rf"the disk of .*/disk is full.*; {rows} of 90 rows are saved in .*\.x\.csv\.shards: the same command"
        with pytest.raises(StoreFull, match=words) as caught:
            annotate(table, out)
    assert "cache" not in str(caught.value) and not any("draft" in name for name in names(out.parent))
    answer = annotate(table, out)
    assert answer["resumed_rows"] == rows and names(out.parent) == {"x.csv"} and len(pd.read_csv(out)) == ROWS


@pytest.fixture
def file_limit() -> Iterator[Any]:
    """Sets the largest size of a file that this process may write, in bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_limit_of_the_system_is_no_full_disk(table: Path, out: Path, file_limit: Any, suffix: str) -> None:
    out = out.with_suffix(suffix)
    file_limit(300)
    with pytest.raises(StoreFull, match=r"a file in .*/disk has reached the largest size.*; nothing is left there"):
        annotate(table, out)
    file_limit(resource.RLIM_INFINITY)
    assert names(out.parent) == set()
    file_limit(4500)  # shards are smaller, the output is not
    if suffix == ".csv":
        with pytest.raises(StoreFull, match="90 of 90 rows are saved"):
            annotate(table, out)
        file_limit(resource.RLIM_INFINITY)
    assert annotate(table, out)["rows"] == ROWS


def test_shards_of_before_survive_a_disk_without_room_for_a_lock(
    table: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail(NO_SPACE, 2)(patch, parquet, "write_table")
        with pytest.raises(StoreFull):
            annotate(table, out)
    with monkeypatch.context() as patch:
        fail(NO_SPACE)(patch, filelock.FileLock, "acquire")
        with pytest.raises(StoreFull):
            annotate(table, out)
    assert annotate(table, out)["resumed_rows"] == 60


def test_other_errors_of_writing_name_the_place(table: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fail(OSError(errno.EIO, "Input/output error"), 1)(patch, parquet, "write_table")
        with pytest.raises(
            BadInput, match=r"/disk cannot be read or written \(Input/output error\); choose another --out; 30"
        ):
            annotate(table, out)


def test_an_import_names_the_disk_of_the_cache(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        fail(NO_SPACE)(patch, os, "fsync")
        with pytest.raises(StoreFull, match=r"the disk of .*/files is full: .*--cache; nothing was lost"):
            import_file(table, table.name, tmp_path / "files")
    assert names(tmp_path / "files") == set()
