"""Batches of a corpus as an `Objective` wants them: laid together on the CPU, or on CUDA that holds all of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.corpus import Corpus
from core.models.devices import LENGTH_MULTIPLE, to_device
from core.training.pretraining_loss import Batch

SPECIAL_TOKENS = ("<bos>", "<eos>", "<pad>")
MEMORY_SHARE = 0.5  # of the free memory of an accelerator that a corpus may take


def build_batch_reader(
    corpus: Corpus, tokenizer: Any, device: torch.device, described: bool, measured: bool
) -> Callable[..., Batch]:
    """What an `Objective` wants of molecules `rows` (b,), each in its `spelling` (b,), with a generator passed through.

    `described`, `measured`: whether descriptors and measured labels are wanted; else they are None. A corpus that CUDA
    has the memory for is laid there whole, once: it would wait while the CPU lays a batch together (1,024: 5 ms).
    """
    known = tokenizer.get_vocab()
    numbers = np.array([known.get(token, tokenizer.unk_token_id) for token in corpus.vocabulary])
    measured = measured and bool(corpus.kinds)
    if (
        device.type == "cuda"
        and device_bytes(corpus, described, measured) < MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]
    ):
        return OnDeviceCorpus(corpus, numbers, device, described, measured)
    ends = tuple(corpus.vocabulary.index(token) for token in SPECIAL_TOKENS)

    def read(rows: np.ndarray, spelling: np.ndarray, generator: torch.Generator) -> Batch:
        ids, mask = corpus.pad_batch(rows, spelling, ends)
        arrays = [numbers[ids], mask]
        arrays += [np.asarray(corpus.arrays["properties"][rows], np.float32) if described else None]
        arrays += [corpus.labels(rows) if measured else None]
        ids, mask, targets, labels = (
            None if array is None else to_device(torch.from_numpy(array), device) for array in arrays
        )
        return Batch(ids, mask, generator, targets, labels)

    return read


def device_bytes(corpus: Corpus, described: bool, measured: bool) -> int:
    """Bytes of a corpus as `OnDeviceCorpus` holds it."""
    names = ["properties"] * described + ["labels", "label_rows"] * measured
    return 4 * len(corpus.arrays["tokens"]) + sum(corpus.arrays[name].nbytes for name in names)


class OnDeviceCorpus:
    """A corpus on a device: of a batch only its row numbers travel. See `build_batch_reader`."""

    def __init__(
        self, corpus: Corpus, numbers: np.ndarray, device: torch.device, described: bool, measured: bool
    ) -> None:
        arrays = corpus.arrays
        self.device, self.n_randomised_smiles, self.starts = (
            device,
            corpus.n_randomised_smiles,
            np.asarray(arrays["starts"]),
        )
        self.ends = [int(numbers[corpus.vocabulary.index(token)]) for token in SPECIAL_TOKENS]
        self.tokens = self._to_device(numbers.astype(np.int32)[arrays["tokens"]])
        self.targets = self._to_device(arrays["properties"]) if described else None
        self.labels = self._to_device(arrays["labels"]) if measured else None
        self.label_rows = self._to_device(arrays["label_rows"]) if measured else None

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)  # a copy: a memory-mapped array may not be written

    def __call__(self, rows: np.ndarray, spelling: np.ndarray, generator: torch.Generator) -> Batch:
        places = rows * self.n_randomised_smiles + spelling
        first = self.starts[places]
        lengths = self.starts[places + 1] - first
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
        """Measured labels (b, t), NaN where there is none."""
        if self.labels is None:
            return None
        places = self.label_rows[rows]
        return self.labels[places.clamp(min=0)].float().masked_fill((places < 0)[:, None], float("nan"))
