"""Batches of a corpus for a `PretrainingLoss`: built on the CPU, or on CUDA if the corpus fits into its memory."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.corpus import Corpus
from core.models.devices import LENGTH_MULTIPLE, to_device
from core.training.pretraining_loss import Batch

SPECIAL_TOKENS = ("<bos>", "<eos>", "<pad>")
MEMORY_SHARE = 0.5  # largest share of the free CUDA memory for a corpus


def build_batch_reader(
    corpus: Corpus, tokenizer: Any, device: torch.device, with_properties: bool, with_labels: bool
) -> Callable[..., Batch]:
    """A function `(rows, variant_index, generator) → Batch` of molecules (b,) and their SMILES variants (b,).

    `with_properties`, `with_labels`: whether the batch has descriptors and measured labels; else they are None. A
    corpus that fits is copied to CUDA once, since building a batch on the CPU (1,024 molecules: 5 ms) would make it
    wait.
    """
    token_ids = tokenizer.get_vocab()
    numbers = np.array([token_ids.get(token, tokenizer.unk_token_id) for token in corpus.vocabulary])
    with_labels = with_labels and bool(corpus.kinds)
    if (
        device.type == "cuda"
        and device_bytes(corpus, with_properties, with_labels) < MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]
    ):
        return OnDeviceCorpus(corpus, numbers, device, with_properties, with_labels)
    ends = tuple(corpus.vocabulary.index(token) for token in SPECIAL_TOKENS)

    def read(rows: np.ndarray, variant_index: np.ndarray, generator: torch.Generator) -> Batch:
        ids, mask = corpus.pad_batch(rows, variant_index, ends)
        arrays = [numbers[ids], mask]
        arrays += [np.asarray(corpus.arrays["properties"][rows], np.float32) if with_properties else None]
        arrays += [corpus.labels(rows) if with_labels else None]
        ids, mask, targets, labels = (
            None if array is None else to_device(torch.from_numpy(array), device) for array in arrays
        )
        return Batch(ids, mask, generator, targets, labels)

    return read


def device_bytes(corpus: Corpus, with_properties: bool, with_labels: bool) -> int:
    """Bytes of a corpus in an `OnDeviceCorpus`."""
    names = ["properties"] * with_properties + ["labels", "label_rows"] * with_labels
    return 4 * len(corpus.arrays["tokens"]) + sum(corpus.arrays[name].nbytes for name in names)


class OnDeviceCorpus:
    """A corpus on a device: a batch copies only its row numbers. See `build_batch_reader`."""

    def __init__(
        self, corpus: Corpus, numbers: np.ndarray, device: torch.device, with_properties: bool, with_labels: bool
    ) -> None:
        arrays = corpus.arrays
        self.device, self.n_randomised_smiles, self.starts = (
            device,
            corpus.n_randomised_smiles,
            np.asarray(arrays["starts"]),
        )
        self.ends = [int(numbers[corpus.vocabulary.index(token)]) for token in SPECIAL_TOKENS]
        self.tokens = self._to_device(numbers.astype(np.int32)[arrays["tokens"]])
        self.targets = self._to_device(arrays["properties"]) if with_properties else None
        self.labels = self._to_device(arrays["labels"]) if with_labels else None
        self.label_rows = self._to_device(arrays["label_rows"]) if with_labels else None

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)  # a copy: torch warns of read-only memory maps

    def __call__(self, rows: np.ndarray, variant_index: np.ndarray, generator: torch.Generator) -> Batch:
        index = rows * self.n_randomised_smiles + variant_index
        first = self.starts[index]
        lengths = self.starts[index + 1] - first
        longest = -(-(int(lengths.max()) + 2) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        first, lengths, rows = to_device(torch.from_numpy(np.stack([first, lengths, rows])), self.device)
        column = torch.arange(longest, device=self.device)
        inside = (first[:, None] + column - 1).clamp(0, len(self.tokens) - 1)
        begin, end, padding = self.ends
        ids = self.tokens[inside].long().masked_fill(column == 0, begin)
        ids = torch.where(column > lengths[:, None], torch.where(column == lengths[:, None] + 1, end, padding), ids)
        mask = (column < lengths[:, None] + 2).long()
        targets = None if self.targets is None else self.targets[rows].float()
        return Batch(ids, mask, generator, targets, self._measured_labels(rows))

    def _measured_labels(self, rows: Tensor) -> Tensor | None:
        """Measured labels (b, t), NaN where unmeasured."""
        if self.labels is None:
            return None
        index = self.label_rows[rows]
        return self.labels[index.clamp(min=0)].float().masked_fill((index < 0)[:, None], float("nan"))
