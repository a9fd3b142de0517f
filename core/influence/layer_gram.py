"""Per-cell gradients of the weights of single layers, from the layer's input and the gradient at its output.

Goodfellow 2015, arXiv 1510.01799.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(eq=False)
class LayerRecord:
    """Input (c, l, …) and output gradient of a layer for some cells, for each time the layer was used."""

    uses: list[tuple[Tensor, Tensor]]


@dataclass(eq=False)
class LayerRows(ABC):
    """A module whose per-cell weight gradients (rows) follow from its input and the gradient at its output."""

    module: nn.Module
    names: dict[str, str]  # of its weights in the view: name in the module → name in the view
    bytes: int = field(default=0)  # estimated size of its inputs and output gradients over all batches

    @property
    def size(self) -> int:
        """Number of its weights in the view."""
        return sum(self.module.get_parameter(name).numel() for name in self.names)

    @abstractmethod
    def columns(self, records: list[LayerRecord], max_columns: int) -> Iterator[Tensor]:
        """Blocks of columns (cells, up to about `max_columns`); a block is valid until the next one is requested."""

    def gram(self, records: list[LayerRecord]) -> Tensor | None:
        """Gram matrix of these weights, float64 (cells, cells), where it is cheaper than the columns; else None."""
        return None


class LinearRows(LayerRows):
    """y = W x + b: the row of W is Σ δ xᵀ over the positions of a molecule, that of b is Σ δ."""

    def columns(self, records: list[LayerRecord], max_columns: int) -> Iterator[Tensor]:
        if "weight" in self.names:
            outputs, inputs = self.module.weight.shape
            step = max(1, min(outputs, max_columns // inputs))
            cells = [len(record.uses[0][0]) for record in records]
            buffer = records[0].uses[0][1].new_empty(sum(cells) * step * inputs)  # reused, because allocation is slow
            for start in range(0, outputs, step):
                width = min(step, outputs - start)
                block = buffer[: sum(cells) * width * inputs].view(-1, width, inputs)
                for record, rows in zip(records, block.split(cells), strict=True):
                    for use, (a, s) in enumerate(record.uses):
                        slopes = s[..., start : start + width].mT
                        if use:
                            rows += torch.bmm(slopes, a)
                        else:
                            torch.bmm(slopes, a, out=rows)
                yield block.flatten(1)
        if "bias" in self.names:
            yield torch.cat([sum(s.sum(1) for _, s in record.uses) for record in records])

    def gram(self, records: list[LayerRecord]) -> Tensor | None:
        """⟨δ, δ′⟩ ⟨x, x′⟩ + ⟨δ, δ′⟩ for a layer used at one position of each molecule, such as in a head."""
        if any(len(record.uses) != 1 or record.uses[0][0].shape[1] != 1 for record in records):
            return None
        inputs, slopes = (torch.cat([record.uses[0][k][:, 0] for record in records]).double() for k in (0, 1))
        product = slopes @ slopes.T
        return sum(product * (inputs @ inputs.T) if name == "weight" else product for name in self.names)


class NormRows(LayerRows):
    """y = w ⊙ x̂ + b over the last dimension: the row of w is Σ δ ⊙ x̂, that of b is Σ δ."""

    def columns(self, records: list[LayerRecord], max_columns: int) -> Iterator[Tensor]:
        if "weight" in self.names:
            shape, least = self.module.normalized_shape, self.module.eps
            yield torch.cat(
                [
                    sum((s * functional.layer_norm(a.to(s), shape, eps=least)).sum(1) for a, s in record.uses)
                    for record in records
                ]
            )
        if "bias" in self.names:
            yield torch.cat([sum(s.sum(1) for _, s in record.uses) for record in records])


class EmbeddingRows(LayerRows):
    """y = W[index]: the row of W has at each index the sum of the gradients at its positions; padding has none."""

    def columns(self, records: list[LayerRecord], max_columns: int) -> Iterator[Tensor]:
        vocabulary, width = self.module.weight.shape
        step = max(1, min(width, max_columns // vocabulary))
        for start in range(0, width, step):
            yield torch.cat([self._rows(record, vocabulary, start, step) for record in records])

    def _rows(self, record: LayerRecord, vocabulary: int, start: int, step: int) -> Tensor:
        first = record.uses[0][1][..., start : start + step]
        rows = first.new_zeros(len(first), vocabulary, first.shape[-1])
        for numbers, slopes in record.uses:
            masked = slopes[..., start : start + step]
            if self.module.padding_idx is not None:
                masked = masked * (numbers != self.module.padding_idx)[..., None]
            rows.scatter_add_(1, numbers[..., None].expand(masked.shape), masked)
        return rows.flatten(1)


# By class name, because torch_geometric has its own Linear. `core.influence.gram` checks on each model that a module
# behaves like its name.
KINDS: dict[str, type[LayerRows]] = {"Linear": LinearRows, "LayerNorm": NormRows, "Embedding": EmbeddingRows}
