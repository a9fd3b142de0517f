"""Finished shards of a long table, stored in a folder next to the output and joined to one file at the end."""

import contextlib
import heapq
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np
import pandas as pd

from core.data.readers.long_table import to_exact_frame
from core.engine.files import StoreFull, failed_file, raise_if_disk_full
from core.engine.report import Report
from core.engine.spec import BadInput

if TYPE_CHECKING:
    import pyarrow

OUR_FILES = re.compile(r"work\.json|\d+\.parquet|draft|lock")
ADVICE = "free some or choose another --out"


class FinishedShards:
    """The first `done` shards, complete and in order. Iterating yields them as Arrow tables.

    Each is a Parquet file of old and new columns; its metadata lists the new ones.
    """

    def __init__(self, folder: Path, size: int, rows: int) -> None:
        self.folder, self.size, self.rows, self.done = folder, size, rows, 0
        while self.done * size < rows and self._is_whole(self.done):
            self.done += 1

    @property
    def done_rows(self) -> int:
        """The number of rows in the finished shards."""
        return min(self.done * self.size, self.rows)

    def append(self, frame: pd.DataFrame, new_columns: list[str], smiles: str) -> None:
        """Write the next shard atomically; `new_columns`: names of the new columns, `smiles`: the SMILES column."""
        import pyarrow
        from pyarrow import parquet

        metadata = {"new": json.dumps(new_columns), "smiles": json.dumps(smiles)}
        table = pyarrow.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(metadata)
        draft = self.folder / "draft"
        with self.explain_failed_write():
            try:
                parquet.write_table(table, draft)
                draft.replace(self._path(self.done))
            finally:
                draft.unlink(missing_ok=True)
        self.done += 1

    @contextlib.contextmanager
    def explain_failed_write(self) -> Iterator[None]:
        """Raises `BadInput` for a file that cannot be written, with what is left behind."""
        try:
            with raise_if_disk_full(self.folder.parent, ADVICE):
                yield
        except StoreFull as error:
            raise StoreFull(f"{error}; {self._describe_rest()}") from error
        except OSError as error:
            if not error.errno:  # not of the operating system
                raise
            raise BadInput(
                f"{failed_file(error) or self.folder.parent} cannot be read or written ({error.strerror}); choose "
                f"another --out; {self._describe_rest()}"
            ) from error

    def _describe_rest(self) -> str:
        if not self.done:
            return "nothing is left there"
        return (
            f"{self.done_rows:,} of {self.rows:,} rows are saved in {self.folder}: the same command resumes after "
            "them, or delete that folder"
        )

    def __iter__(self) -> "Iterator[pyarrow.Table]":
        from pyarrow import parquet

        for index in range(self.done):
            yield parquet.read_table(self._path(index))

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06}.parquet"

    def _is_whole(self, index: int) -> bool:
        from pyarrow import ArrowException, parquet

        try:
            return parquet.read_metadata(self._path(index)).num_rows == min(self.size, self.rows - index * self.size)
        except (OSError, ArrowException):  # missing, or truncated by a crash
            return False


@contextlib.contextmanager
def open_shards(out: Path, work: dict[str, Any], size: int, rows: int, report: Report) -> Iterator[FinishedShards]:
    """The finished shards of this work in `.<name of out>.shards`; shards of other work are removed.

    An empty folder is removed at the end, as after `join_shards`. Raises `BadInput` if another process uses it.
    """
    folder = out.with_name(f".{out.name}.shards")
    work = json.loads(json.dumps(work))
    if folder.is_dir() and (
        foreign_files := [path.name for path in folder.iterdir() if not OUR_FILES.fullmatch(path.name)]
    ):
        raise BadInput(
            f"{folder} holds {foreign_files[0]!r}, which is no file of a run; move it, or choose another --out"
        )
    shards = None
    with _lock(folder, out):
        try:
            with raise_if_disk_full(out.parent, f"{ADVICE}; nothing is left there"):
                _claim(folder, work, report)
            shards = FinishedShards(folder, size, rows)
            if shards.done:
                report(0, f"resuming after row {shards.done_rows:,} of {rows:,}, from {folder}", stays=True)
            yield shards
        finally:
            if not shards or not shards.done:
                shutil.rmtree(folder)


def _lock(folder: Path, out: Path) -> Any:
    """The lock of a folder, which is made; a new one does not stay if it cannot be locked. Raises `BadInput`."""
    is_new = not folder.exists()
    try:
        with raise_if_disk_full(out.parent, f"{ADVICE}; nothing is left there"):
            folder.mkdir(exist_ok=True)
            return filelock.FileLock(folder / "lock").acquire(blocking=False)
    except filelock.Timeout:
        raise BadInput(f"another process is writing {out}; wait for it, or choose another --out") from None
    except (OSError, StoreFull):
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _claim(folder: Path, work: dict[str, Any], report: Report) -> None:
    """Note in the folder which work it belongs to; shards of other work are removed."""
    if _read_work(folder) == work:
        return
    if any(folder.glob("*.parquet")):
        report(0, f"{folder} belongs to other work (another table, key or setting) and is replaced", stays=True)
    for path in [path for path in folder.iterdir() if path.name != "lock"]:
        path.unlink()
    (folder / "draft").write_text(json.dumps(work, indent=1))
    (folder / "draft").replace(folder / "work.json")


def _read_work(folder: Path) -> Any:
    try:
        return json.loads((folder / "work.json").read_text())
    except (OSError, ValueError):
        return None


def join_shards(shards: FinishedShards, out: Path, top: int, report: Report) -> dict[str, Any]:
    """Join the shards to the output (CSV or Parquet), atomically, and remove them; returns a summary of the output.

    `top`: how many of the most helpful and most harmful molecules are listed, if there are scores.
    """
    summary = OutputSummary(top)
    draft = shards.folder / "draft"
    try:
        with shards.explain_failed_write(), contextlib.ExitStack() as stack:
            write = None
            for number, table in enumerate(shards, 1):
                summary.add(table)
                if write is None:
                    write = stack.enter_context(_csv(draft) if out.suffix == ".csv" else _parquet(draft, table.schema))
                write(table)
                report(number / shards.done, f"writing {out.name}: {summary.counts['rows']:,} of {shards.rows:,} rows")
            stack.close()
            draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    shards.done = 0  # the output contains them now
    return summary.answer()


@contextlib.contextmanager
def _csv(path: Path) -> Iterator[Any]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield lambda table: to_exact_frame(table).to_csv(file, index=False, header=file.tell() == 0)


@contextlib.contextmanager
def _parquet(path: Path, schema: "pyarrow.Schema") -> Iterator[Any]:
    from pyarrow import parquet

    with parquet.ParquetWriter(path, schema.remove_metadata()) as file:
        yield lambda table: file.write_table(table.replace_schema_metadata(None))


class OutputSummary:
    """Counts and extreme scores of an output, added up shard by shard; at most twice `top` rows are in memory.

    Rows count from 1, without the header. `unlabelled`: rows with a molecule and without any label.
    """

    def __init__(self, top: int) -> None:
        self.top, self.new = top, []
        self.counts = {"rows": 0, "unusable": 0, "with_caution": 0}
        self.helpful: list[tuple[float, int, str]] = []  # ΔL, row, SMILES
        self.harmful: list[tuple[float, int, str]] = []  # −ΔL, row, SMILES

    def add(self, table: "pyarrow.Table") -> None:
        """Add the rows of a shard."""
        metadata = {name.decode(): json.loads(value) for name, value in table.schema.metadata.items()}
        self.new, rows_before = metadata["new"], self.counts["rows"]
        usable = table["unusable"].to_numpy() == ""
        self._count("rows", np.ones(len(table), bool))
        self._count("unusable", ~usable)
        self._count("with_caution", table["caution"].to_numpy() != "")
        if labels := [name for name in self.new if name.split(":")[0] == "label"]:
            self._count("unlabelled", usable & np.all([np.isnan(table[name].to_numpy()) for name in labels], 0))
        if "delta_loss" in self.new:
            delta, smiles = table["delta_loss"].to_numpy(), table[metadata["smiles"]]
            scored_rows = np.flatnonzero(~np.isnan(delta))
            for sign, ranking in ((1, self.helpful), (-1, self.harmful)):
                extreme_rows = scored_rows[np.argsort(sign * delta[scored_rows], kind="stable")[: self.top]]
                entries = [
                    (sign * float(delta[k]), rows_before + int(k) + 1, smiles[int(k)].as_py()) for k in extreme_rows
                ]
                ranking[:] = heapq.nsmallest(self.top, ranking + entries)

    def _count(self, name: str, rows: np.ndarray) -> None:
        self.counts[name] = self.counts.get(name, 0) + int(rows.sum())

    def answer(self) -> dict[str, Any]:
        """The summary as plain JSON."""
        summary: dict[str, Any] = {**self.counts, "columns": sorted(self.new)}
        if "delta_loss" in self.new:
            for name, sign, ranking in (("most_helpful", 1, self.helpful), ("most_harmful", -1, self.harmful)):
                summary[name] = [
                    {"row": row, "smiles": text, "delta_loss": sign * value} for value, row, text in ranking
                ]
        return summary
