"""What a layer does to the rows of its weights: they follow from what enters it and from the slopes at its output.

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
    """Of some cells, for each time a layer was used: what entered it (c, l, …) and the slopes at its output."""

    uses: list[tuple[Tensor, Tensor]]


@dataclass(eq=False)
class LayerRows(ABC):
    """A module whose weights' rows follow from its input and the slopes at its output."""

    module: nn.Module
    names: dict[str, str]  # of its weights among the wanted ones: name in the module → name in the view
    bytes: int = field(default=0)

    @property
    def size(self) -> int:
        """How many of its weights are wanted."""
        return sum(self.module.get_parameter(name).numel() for name in self.names)

    @abstractmethod
    def columns(self, records: list[LayerRecord], most: int) -> Iterator[Tensor]:
        """The columns (cells, some) of these weights, at most about `most` at a time, each until the next is taken."""

    def gram(self, records: list[LayerRecord]) -> Tensor | None:
        """Their Gram matrix, float64 (cells, cells), where it can be had for less than the columns."""
        return None


class LinearRows(LayerRows):
    """y = W x + b: the row of W is Σ δ xᵀ over the places of a molecule, that of b is Σ δ."""

    def columns(self, records: list[LayerRecord], most: int) -> Iterator[Tensor]:
        if "weight" in self.names:
            outputs, inputs = self.module.weight.shape
            step = max(1, min(outputs, most // inputs))
            cells = [len(record.uses[0][0]) for record in records]
            held = records[0].uses[0][1].new_empty(sum(cells) * step * inputs)  # one for all: new memory takes long
            for start in range(0, outputs, step):
                many = min(step, outputs - start)
                block = held[: sum(cells) * many * inputs].view(-1, many, inputs)
                for record, mine in zip(records, block.split(cells), strict=True):
                    for use, (a, s) in enumerate(record.uses):
                        slopes = s[..., start : start + many].mT
                        if use:
                            mine += torch.bmm(slopes, a)
                        else:
                            torch.bmm(slopes, a, out=mine)
                yield block.flatten(1)
        if "bias" in self.names:
            yield torch.cat([sum(s.sum(1) for _, s in record.uses) for record in records])

    def gram(self, records: list[LayerRecord]) -> Tensor | None:
        """Of a layer that meets each molecule at one place, such as a head's: ⟨δ, δ′⟩ ⟨x, x′⟩ + ⟨δ, δ′⟩."""
        if any(len(record.uses) != 1 or record.uses[0][0].shape[1] != 1 for record in records):
            return None
        entered, slopes = (torch.cat([record.uses[0][k][:, 0] for record in records]).double() for k in (0, 1))
        found = slopes @ slopes.T
        return sum(found * (entered @ entered.T) if name == "weight" else found for name in self.names)


class NormRows(LayerRows):
    """y = w ⊙ x̂ + b over the last dimension: the row of w is Σ δ ⊙ x̂, that of b is Σ δ."""

    def columns(self, records: list[LayerRecord], most: int) -> Iterator[Tensor]:
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
    """y = W[number]: the row of W has at each number the sum of the slopes where it stands; that of padding is none."""

    def columns(self, records: list[LayerRecord], most: int) -> Iterator[Tensor]:
        words, width = self.module.weight.shape
        step = max(1, min(width, most // words))
        for start in range(0, width, step):
            yield torch.cat([self._rows(record, words, start, step) for record in records])

    def _rows(self, record: LayerRecord, words: int, start: int, step: int) -> Tensor:
        first = record.uses[0][1][..., start : start + step]
        found = first.new_zeros(len(first), words, first.shape[-1])
        for numbers, slopes in record.uses:
            given = slopes[..., start : start + step]
            if self.module.padding_idx is not None:
                given = given * (numbers != self.module.padding_idx)[..., None]
            found.scatter_add_(1, numbers[..., None].expand(given.shape), given)
        return found.flatten(1)


# By class name, since torch_geometric has a Linear of its own; whether a module does what its name says is tried on
# each fit (`core.influence.gram`).
KINDS: dict[str, type[LayerRows]] = {"Linear": LinearRows, "LayerNorm": NormRows, "Embedding": EmbeddingRows}
