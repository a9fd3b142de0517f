"""Excerpt: some rows, drawn by a seed, of tables too large to be read whole."""

import dataclasses
import fnmatch
import glob
import hashlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.data.cleaning import TableContext, clean_table
from core.data.dataset import Dataset
from core.data.readers import guess_smiles, read_long_table
from core.data.readers.smiles_stream import file_digest
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings

ROWS_IN_MEMORY = 5000  # rows that are in memory at a time


@settings
class FileSample(Spec[Dataset]):
    """So many rows of a CSV or Parquet file of any length, or of several, read a shard at a time where they lie.

    They are not copied into the cache; `file_digest` is of their bytes, and is looked at again when they are read. Columns
    of lists, such as labels of atoms, are passed over.
    """

    kind: ClassVar[str] = "file-sample"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 1.0

    path: str = Field(description="a file, or several by a pattern with *")
    targets: str = Field(description="the columns with labels, by a pattern such as assayID-*")
    smiles: str = Field(default="", description="the column with SMILES; empty: found by name and content")
    rows: int = Field(default=10_000, ge=1, le=10_000_000, description="rows to draw; all where there are fewer")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the draw")
    digest: str = Field(
        default="", pattern="^([0-9a-f]{64})?$", description="sha256 of the files' own, set when asked for"
    )

    @property
    def title(self) -> str:
        return f"{self.rows:,} rows of {Path(self.path).name}"

    @property
    def files(self) -> list[Path]:
        """The files that are meant, by name. Raises `BadInput` where there is none."""
        found = sorted(Path(one) for one in glob.glob(str(Path(self.path).expanduser())))
        if not found:
            raise BadInput(f"there is no file {self.path}; give the path of a CSV or Parquet file, or a pattern with *")
        return found

    def with_digests(self) -> "FileSample":
        """The same with the digest of its files: a recipe then follows the bytes."""
        if self.digest:
            return self
        whole = hashlib.sha256("".join(file_digest(one) for one in self.files).encode())
        return dataclasses.replace(self, path=str(Path(self.path).expanduser().resolve()), digest=whole.hexdigest())

    def make(self, report: Report) -> Dataset:
        files, frames = self.files, []
        tables = [
            read_long_table(one, ROWS_IN_MEMORY, report.part(0.3 * place / len(files), 0.3 * (place + 1) / len(files)))
            for place, one in enumerate(files)
        ]
        whole = hashlib.sha256("".join(one.digest for one in tables).encode()).hexdigest()
        if self.digest and whole != self.digest:
            raise BadInput(
                f"{self.path} has changed since this recipe was made; leave `file_digest` empty to read it anew"
            )
        total = sum(one.rows for one in tables)
        wanted = np.sort(np.random.default_rng([self.seed, 15]).permutation(total)[: self.rows])
        smiles = self.smiles or guess_smiles(tables[0].first.astype(str)) or ""
        names = fnmatch.filter([str(name) for name in tables[0].first.columns if name != smiles], self.targets)
        if smiles not in tables[0].first or not names:
            shown = ", ".join(str(name) for name in tables[0].first.columns[:8])
            raise BadInput(
                f"{files[0].name} has no column {smiles or 'of SMILES'!r}, or none like {self.targets!r}: {shown} …"
            )
        first = 0
        for path, table in zip(files, tables, strict=True):
            if missing := [name for name in (smiles, *names) if name not in table.first]:
                raise BadInput(f"{path.name} has no column {missing[0]!r}, {files[0].name} has; give files of one kind")
            for frame in table.shards(0):
                mine = wanted[(first <= wanted) & (wanted < first + len(frame))] - first
                frames.append(frame.iloc[mine][[smiles, *names]])
                first += len(frame)
                report(0.3 + 0.4 * first / total, f"drawing rows, {first:,} of {total:,}")
        drawn = pd.concat(frames, ignore_index=True)
        return clean_table(
            [str(one) for one in drawn[smiles]],
            drawn[names].astype(object).where(drawn[names].notna(), ""),
            names,
            context=TableContext(
                {"row": wanted + 1},
                provenance={
                    "source": self.path,
                    "files": [one.name for one in files],
                    "sha256": whole,
                    "rows": total,
                    "drawn": len(wanted),
                    "seed": self.seed,
                },
            ),
            report=report.part(0.7, 1),
        )
