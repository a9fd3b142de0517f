"""A corpus prepared for pre-training: token ids, scaled descriptors, measured labels. Does not import torch."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from core.chem import molecules as chem
from core.chem.descriptors import Scaling
from core.engine.spec import BadInput

# Lengths of batches are multiples of this: a CPU compiles its bfloat16 products again for every shape.
LENGTH_MULTIPLE = 4
LONG_ENTRIES = ("scaling", "tasks", "kinds")  # entries of the record with a value per descriptor or label
ARRAYS = ("tokens", "starts", "properties", "labels", "label_rows")


@dataclass(frozen=True, eq=False)
class Corpus:
    """Molecules of a corpus, each with k = `n_randomised_smiles` SMILES, the canonical one first.

    `molecules`: one row per molecule (smiles, key). `vocabulary`: tokens in order of ids. Memory-mapped arrays:
    `tokens` uint16, all SMILES concatenated without `<bos>` and `<eos>`; `starts` int64 (n · k + 1);
    `properties` float16 (n, p), scaled; `labels` float16 (m, t), NaN where unmeasured; `label_rows` int32 (n,), the
    row of `labels` of a molecule or −1. `record`: counts, digests, the scaling, tasks and kinds.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ("molecules",)

    molecules: pd.DataFrame
    vocabulary: tuple[str, ...]
    arrays: dict[str, np.ndarray]
    record: dict[str, Any]
    folder: Path

    def __len__(self) -> int:
        return len(self.arrays["label_rows"])

    @property
    def n_randomised_smiles(self) -> int:
        return self.record["spellings"]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each measured label: "regression" or "binary"."""
        return tuple(self.record["kinds"])

    @property
    def scaling(self) -> Scaling:
        return Scaling.from_json(self.record["scaling"])

    def lengths(self) -> np.ndarray:
        """Number of tokens (n, k) of each SMILES, the canonical one first, with `<bos>` and `<eos>`."""
        return np.diff(self.arrays["starts"]).reshape(-1, self.n_randomised_smiles) + 2

    def pad_batch(self, rows: np.ndarray, spelling: np.ndarray, ends: tuple[int, int, int]) -> tuple[np.ndarray, ...]:
        """Token ids and mask, int64 (b, longest, rounded up), of molecules `rows` (b,); `spelling` (b,): which SMILES.

        `ends`: ids of `<bos>`, `<eos>` and `<pad>`.
        """
        starts, tokens = self.arrays["starts"], self.arrays["tokens"]
        entries = rows * self.n_randomised_smiles + spelling
        first, last = starts[entries], starts[entries + 1]
        lengths = last - first
        longest = -(-(int(lengths.max()) + 2) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        ids = np.full((len(rows), longest), ends[2], np.int64)
        mask = np.zeros_like(ids)
        for row, (a, b) in enumerate(zip(first, last, strict=True)):
            ids[row, 0], ids[row, b - a + 1] = ends[:2]
            ids[row, 1 : b - a + 1] = tokens[a:b]
            mask[row, : b - a + 2] = 1
        return ids, mask

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """Measured labels float32 (b, t), NaN where unmeasured."""
        labels, label_rows = self.arrays["labels"], self.arrays["label_rows"][rows]
        values = np.full((len(rows), labels.shape[1]), np.nan, np.float32)
        values[label_rows >= 0] = labels[label_rows[label_rows >= 0]]
        return values

    def summary(self) -> dict[str, Any]:
        """The record without its long lists."""
        short = {name: value for name, value in self.record.items() if name not in LONG_ENTRIES}
        return short | {"descriptors": len(self.record["scaling"]["names"]), "labels": len(self.record["kinds"])}

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        return f"{summary['molecules']:,} molecules"

    def save(self, folder: Path) -> None:
        self.molecules.to_parquet(folder / "molecules.parquet")
        (folder / "vocabulary.json").write_text(json.dumps(self.vocabulary, ensure_ascii=False), encoding="utf-8")
        (folder / "record.json").write_text(json.dumps(self.record, indent=1))
        for name in ARRAYS:
            source = self.folder / f"{name}.npy"
            if source.is_file() and source.parent != folder:
                shutil.copyfile(source, folder / source.name)
            elif not source.is_file():
                np.save(folder / source.name, self.arrays[name], allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> "Corpus":
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
        return cls(
            molecules=pd.read_parquet(folder / "molecules.parquet"),
            vocabulary=tuple(json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))),
            arrays=arrays,
            record=json.loads((folder / "record.json").read_text()),
            folder=folder,
        )


def molecule_key(smiles: str) -> int:
    """The first 8 bytes of the sha256 of a molecule's stereo-free SMILES. Raises `BadInput`."""
    return hash_name(chem.stereo_free_smiles(smiles))


def hash_name(name: str) -> int:
    """The first 8 bytes of the sha256 of a name, as an integer."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


KEY_BYTES = 5  # of a key that a checkpoint stores: about one false match in two million molecules


def write_keys(keys: Iterable[int], path: Path) -> None:
    """Write the shortened keys of a corpus, sorted: enough to look up whether it contains a molecule."""
    from safetensors.numpy import save_file

    short_keys = np.unique(shorten_keys(np.fromiter(keys, np.uint64)))
    columns = short_keys.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - KEY_BYTES :]
    save_file({"keys": np.ascontiguousarray(columns)}, path)


def read_keys(path: Path) -> np.ndarray:
    """The shortened keys uint64 (n,), sorted, that `write_keys` wrote. Raises `BadInput`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        columns = load_file(path)["keys"]
        if columns.dtype != np.uint8 or columns.ndim != 2 or columns.shape[1] != KEY_BYTES:
            raise ValueError(f"it must have {KEY_BYTES} bytes per molecule")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BadInput(f"{path} holds no readable list of molecules ({error}); copy the checkpoint again") from None
    wide = np.zeros((len(columns), 8), np.uint8)
    wide[:, 8 - KEY_BYTES :] = columns
    return np.sort(wide.view(">u8").ravel().astype(np.uint64))


def shorten_keys(keys: np.ndarray) -> np.ndarray:
    """The first `KEY_BYTES` bytes of keys uint64 (n,), by which they are compared."""
    return keys >> np.uint64(8 * (8 - KEY_BYTES))


def contains_molecules(smiles: Sequence[str], keys: np.ndarray) -> np.ndarray:
    """bool (n,): whether each molecule (ignoring stereo) is in `keys`, shortened and sorted. Raises `BadInput`."""
    wanted = shorten_keys(np.array([molecule_key(molecule) for molecule in smiles], np.uint64))
    positions = np.searchsorted(keys, wanted).clip(max=max(len(keys) - 1, 0))
    return keys[positions] == wanted if len(keys) else np.zeros(len(wanted), bool)
