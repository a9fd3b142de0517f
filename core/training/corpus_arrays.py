"""Builds the arrays of a corpus: tokens, scaled descriptors, and the labels of labelled tables."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from core.chem import descriptors as properties
from core.chem import molecules as chem
from core.chem.descriptors import Scaling
from core.data.dataset import Dataset
from core.engine.report import Report
from core.models.backbones.molformer.vocabulary import TOKEN_REGEX, UNK

SCALING_SAMPLE = 100_000  # about this many molecules set the scaling of the descriptors


def build_arrays(
    report: Report, folder: Path, blocks: Sequence[Path], vocabulary: Sequence[str], n: int, seed: int
) -> tuple[pd.DataFrame, dict[str, np.ndarray], Scaling]:
    """Molecules (columns smiles, key), their arrays as in `Corpus` without the labels, and the descriptor scaling.

    `blocks`: Parquet files of smiles, key, spellings (SMILES variants) and quick descriptors, `n` molecules in total.
    Descriptors are written to `folder / "properties.npy"` block by block.
    """
    token_ids = {token: index for index, token in enumerate(vocabulary)}
    unknown, columns = token_ids[UNK], list(properties.descriptor_names(quick=True))
    generator = np.random.default_rng(seed)
    share = min(1.0, SCALING_SAMPLE / n)
    sample = [pd.read_parquet(block, columns=columns).sample(frac=share, random_state=generator) for block in blocks]
    scaling = Scaling.of(pd.concat(sample).to_numpy(np.float32), columns)
    descriptors = np.lib.format.open_memmap(folder / "properties.npy", "w+", np.float16, shape=(n, len(scaling.names)))
    texts, starts, molecules, row = [], [np.zeros(1, np.int64)], [], 0
    for done, block in enumerate(blocks):
        report(done / len(blocks), f"tokenising {n:,} molecules")
        frame = pd.read_parquet(block)
        if not len(frame):
            continue
        descriptors[row : row + len(frame)] = scaling(frame[columns].to_numpy(), columns)
        row += len(frame)
        molecules.append(frame[["smiles", "key"]])
        rows = [
            [token_ids.get(t, unknown) for t in TOKEN_REGEX.findall(s)] for s in chain.from_iterable(frame["spellings"])
        ]
        starts.append(starts[-1][-1] + np.cumsum([len(tokens) for tokens in rows]))
        texts.append(np.fromiter(chain.from_iterable(rows), np.uint16))
    descriptors.flush()
    arrays = {"tokens": np.concatenate(texts), "starts": np.concatenate(starts), "properties": descriptors}
    return pd.concat(molecules, ignore_index=True), arrays, scaling


class CorpusLabels(NamedTuple):
    """The labels of those molecules that have any."""

    values: np.ndarray  # float16 (m, t), NaN where unmeasured
    rows: np.ndarray  # int32 (n,): the row of each molecule in `values`, or −1
    tasks: list[str]
    kinds: list[str]  # "regression" or "binary"
    tables: list[dict[str, Any]]  # a record of each labelled table


def collect_labels(names: Sequence[str], labelled: Sequence[Dataset], stereo: bool) -> CorpusLabels:
    """The labels of tables for molecules `names` (n,), as SMILES.

    Regression labels are scaled like descriptors; constant tasks are left out. Without `stereo`, stereoisomers are one
    molecule, with the label of the last one in a table.
    """
    row_of = {name: row for row, name in enumerate(names)}
    tasks, kinds, tables, cells = [], [], [], []
    for table in labelled:
        own_names = [smiles if stereo else chem.stereo_free_smiles(smiles) for smiles in table.smiles]
        rows = np.array([row_of.get(name, -1) for name in own_names])
        targets = table.targets.astype(np.float32).copy()
        for column, (task, kind) in enumerate(zip(table.tasks, table.kinds, strict=True)):
            values = targets[rows >= 0, column]
            if np.isnan(values).all() or np.nanmax(values) == np.nanmin(values):
                continue
            if kind == "regression":
                values = Scaling.of(values[:, None], (task,))(values[:, None], (task,))[:, 0]
            cells.append((len(tasks), rows[rows >= 0], values))
            tasks.append(task)
            kinds.append(kind)
        tables.append(
            {
                "source": table.provenance.get("source", ""),
                "digest": table.digest,
                "molecules": len(table),
                "in corpus": int((rows >= 0).sum()),
                "tasks": len(table.tasks),
            }
        )
    labelled_rows = np.unique(np.concatenate([rows for _, rows, _ in cells])) if cells else np.empty(0, int)
    label_rows = np.full(len(row_of), -1, np.int32)
    label_rows[labelled_rows] = np.arange(len(labelled_rows))
    labels = np.full((len(labelled_rows), len(tasks)), np.nan, np.float16)
    for task, rows, values in cells:
        measured = ~np.isnan(values)
        labels[label_rows[rows[measured]], task] = values[measured]
    return CorpusLabels(labels, label_rows, tasks, kinds, tables)


def digest_names(names: Iterable[str]) -> str:
    """sha256 (hex) over the sorted names, one per line."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
