"""FileSample: random rows of files that are too large for memory."""

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
from core.data.readers import Reading, decide_smiles, read_labels, read_long_table, require_decided
from core.data.readers.column_faults import find_faults
from core.data.readers.smiles_stream import file_digest
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings

ROWS_IN_MEMORY = 5000  # rows in memory at a time


@settings
class FileSample(Spec[Dataset]):
    """Random rows of one or several CSV or Parquet files of any size, read in shards.

    The files are not copied into the cache; their `digest` is checked when they are read. Columns of lists, such as
    labels of atoms, are skipped.
    """

    kind: ClassVar[str] = "file-sample"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 1.0

    path: str = Field(description="a file, or a pattern with * for several files")
    targets: str = Field(description="pattern of the label columns, such as assayID-*")
    smiles: str = Field(default="", description="the SMILES column; empty: recognised by name and content")
    rows: int = Field(default=10_000, ge=1, le=10_000_000, description="rows to sample; all if there are fewer")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the sample")
    digest: str = Field(
        default="",
        pattern="^([0-9a-f]{64})?$",
        description="SHA-256 of the digests of the files; set when the spec is submitted",
    )

    @property
    def title(self) -> str:
        return f"{self.rows:,} rows of {Path(self.path).name}"

    @property
    def files(self) -> list[Path]:
        """Files that match `path`, sorted. Raises `BadInput` where there is none."""
        paths = sorted(Path(path) for path in glob.glob(str(Path(self.path).expanduser())))
        if not paths:
            raise BadInput(f"there is no file {self.path}; give the path of a CSV or Parquet file, or a pattern with *")
        return paths

    def with_digests(self) -> "FileSample":
        """The same with the digest of its files, so that its key follows their content."""
        if self.digest:
            return self
        combined = hashlib.sha256("".join(file_digest(path) for path in self.files).encode())
        return dataclasses.replace(self, path=str(Path(self.path).expanduser().resolve()), digest=combined.hexdigest())

    def make(self, report: Report) -> Dataset:
        files, frames = self.files, []
        tables = [
            read_long_table(one, ROWS_IN_MEMORY, report.part(0.3 * index / len(files), 0.3 * (index + 1) / len(files)))
            for index, one in enumerate(files)
        ]
        digest = hashlib.sha256("".join(one.digest for one in tables).encode()).hexdigest()
        if self.digest and digest != self.digest:
            raise BadInput(
                f"{self.path} has changed since this spec was made; leave `digest` empty to read the new content"
            )
        total = sum(one.rows for one in tables)
        selected = np.sort(np.random.default_rng([self.seed, 15]).permutation(total)[: self.rows])
        smiles = self.smiles
        if not smiles:
            decision = decide_smiles(tables[0].first.astype(str))
            require_decided(files[0].name, [decision])
            smiles = decision.value
        names = fnmatch.filter([str(name) for name in tables[0].first.columns if name != smiles], self.targets)
        if smiles not in tables[0].first or not names:
            available = ", ".join(str(name) for name in tables[0].first.columns[:8])
            raise BadInput(
                f"{files[0].name} has no column {smiles or 'of SMILES'!r}, or none like {self.targets!r}; "
                f"it has {available}"
            )
        offset = 0
        for path, table in zip(files, tables, strict=True):
            if missing := [name for name in (smiles, *names) if name not in table.first]:
                raise BadInput(
                    f"{path.name} has no column {missing[0]!r}, but {files[0].name} has; "
                    "give files with the same columns"
                )
            if table.whole.hidden_rows:
                raise BadInput(f"{path.name} has {len(table.whole.hidden_rows):,} hidden rows; show or delete them")
            require_decided(path.name, find_faults(table.first, table.whole.faults, smiles, names))
            for frame in table.shards(0):
                rows = selected[(offset <= selected) & (selected < offset + len(frame))] - offset
                frames.append(frame.iloc[rows][[smiles, *names]])
                offset += len(frame)
                report(0.3 + 0.4 * offset / total, f"sampling rows, {offset:,} of {total:,}")
        sample = pd.concat(frames, ignore_index=True)
        columns = [read_labels(sample[name], name, Reading(labels="numbers")) for name in names]
        require_decided(files[0].name, [one for labels in columns for one in labels.decisions])
        return clean_table(
            [str(one) for one in sample[smiles]],
            sample[names].astype(object).where(sample[names].notna(), ""),
            names,
            context=TableContext(
                {"row": selected + 1},
                provenance={
                    "source": self.path,
                    "files": [one.name for one in files],
                    "sha256": digest,
                    "rows": total,
                    "drawn": len(selected),
                    "seed": self.seed,
                },
                labels=columns,
            ),
            report=report.part(0.7, 1),
        )
