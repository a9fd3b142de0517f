"""The dual of a Gauss–Newton curvature: rows for the measured cells, and their Gram matrix, without holding the rows.

C = AᵀA + λI, where A (cells, d) has the row √(ℓ″ / N) ∂f/∂θ for each of the N measured training cells. A itself would
be cells × d numbers; K = AAᵀ is summed layer by layer (`core.influence.layer_gram`), a block of columns at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp
from torch.utils._pytree import tree_leaves, tree_map

from core.engine import memory
from core.engine.report import SILENT_REPORT, Report
from core.influence.layer_gram import KINDS, LayerRecord, LayerRows
from core.influence.view import FactorBatches, Parameters, ParameterView, require_grad, unflatten, vjp
from core.models.matmul import ROW_MULTIPLE

MIN_BLOCK_BYTES = (
    1 << 30
)  # bytes for a block of columns, and the least for what enters and leaves the layers of one pass
MEMORY_DIVISOR, MAX_BYTES = (
    4,
    8 << 30,
)  # of the free memory a quarter, at most 8 GB, for that: a layer more saves a part of a pass
STRIP = 512  # rows of a Gram matrix that are multiplied at a time
MAX_FORWARD_MODE = 16  # numbers for each of which a forward-mode pass is quicker than a backward pass for every cell
LAYER_TOLERANCE = 1e-3  # of the gradient's norm: how near the sum of a layer's rows must come to it to be believed


@dataclass(eq=False)
class GradientRows:
    """A row factor × ∂f/∂θ for each cell that has a factor; in the order of the batches, in a batch task by task.

    The cells of `batches` are the curvature's own; those `further_batches` them are further ones, of which the Gram matrix alone
    knows.
    """

    view: ParameterView
    batches: FactorBatches
    further_batches: FactorBatches = field(default_factory=list)
    check_cancelled: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        self._cells = [_measured(factors) for _, factors in [*self.batches, *self.further_batches]]
        self._own = sum(len(rows) for cells in self._cells[: len(self.batches)] for rows in cells)

    def __len__(self) -> int:
        return self._own

    @property
    def all(self) -> int:
        """The own cells and those beside them."""
        return sum(len(rows) for cells in self._cells for rows in cells)

    @torch.no_grad()
    def times(self, vector: Tensor) -> Tensor:
        """A v (cells,) of a vector (d,)."""
        direction = unflatten(vector, self.view.params)
        own = zip(self.batches, self._cells, strict=False)
        return torch.cat([self._directional(direction, batch, cells) for batch, cells in own])

    def _directional(self, direction: Parameters, batch: tuple[Any, Tensor], cells: list[Tensor]) -> Tensor:
        """Of a batch's cells their rows times a direction (cells,)."""
        inputs, factors = batch
        self.check_cancelled()
        _, slopes = jvp(lambda given: self.view.predict(given, inputs), (self.view.params,), (direction,))
        return torch.cat([(factors * slopes)[rows, task] for task, rows in enumerate(cells)])

    def transpose_times(self, weights: Tensor) -> Tensor:
        """Aᵀ w (d,) of numbers for the cells (cells,)."""
        total, place = torch.zeros(self.view.d, dtype=weights.dtype, device=weights.device), 0
        for (inputs, factors), cells in zip(self.batches, self._cells, strict=False):
            self.check_cancelled()
            leaves = require_grad(self.view.params)
            outputs = self.view.predict(leaves, inputs)
            given = torch.zeros_like(outputs)
            for task, rows in enumerate(cells):
                given[rows, task] = factors[rows, task] * weights[place : place + len(rows)].to(given)
                place += len(rows)
            total += vjp(outputs, leaves, given).to(total)
        return total

    def gram(self, report: Report = SILENT_REPORT, room: int | None = None) -> Tensor:
        """AAᵀ of the own cells and those beside them, float64 (all, all); `room`: bytes for what is held meanwhile."""
        layers, rest = self._layers()
        held = room or min(
            MAX_BYTES, max(MIN_BLOCK_BYTES, memory.free_bytes(str(self.view.binary.device)) // MEMORY_DIVISOR)
        )
        room = min(held, MIN_BLOCK_BYTES)
        total = torch.zeros(self.all, self.all, dtype=torch.float64, device=self.view.binary.device)
        work, done = self.view.d, 0
        for group in self._groups(layers, held):
            for layer, records in zip(group, self._record_layers(group), strict=True):
                if (whole := layer.gram(records)) is not None:
                    total += whole
                    done += layer.size
                    report(done / work, f"{done:,} of {work:,} columns of the Gram matrix", step=done)
                    continue
                for columns in layer.columns(records, max(1, room // (8 * self.all))):
                    self.check_cancelled()
                    _add(total, columns)
                    done += columns.shape[1]
                    report(done / work, f"{done:,} of {work:,} columns of the Gram matrix", step=done)
        few = sum(self.view.params[name].numel() for name in rest) <= MAX_FORWARD_MODE
        for names in self._chunks(rest, room):
            columns = self._by_forward_mode(names) if few else self._by_backward_pass(names, report)
            _add(total, columns)
            done += columns.shape[1]
            report(done / work, f"{done:,} of {work:,} columns of the Gram matrix", step=done)
        return total.tril() + total.tril(-1).T

    def _layers(self) -> tuple[list[LayerRows], list[str]]:
        """Layers whose rows follow from what enters and leaves them, tried on the first batch; names of the others."""
        wanted, layers = set(self.view.params), []
        for path, module in self.view.owner.named_modules():
            kind = KINDS.get(type(module).__name__)
            prefix = f"{path}." if path else ""
            own = {name: f"{prefix}{name}" for name, _ in module.named_parameters(recurse=False)}
            own = {name: full for name, full in own.items() if full in wanted}
            if kind is not None and own:
                layers.append(kind(module, own))
        first = GradientRows(
            self.view, [*self.batches, *self.further_batches][:1], check_cancelled=self.check_cancelled
        )
        weights = torch.randn(len(first), generator=torch.Generator().manual_seed(0))  # whose row is whose shows, too
        weights = weights.to(next(iter(self.view.params.values())))
        whole = first.transpose_times(weights)
        share = self._share()
        summed, kept = unflatten(whole, self.view.params), []
        for layer, records in zip(layers, first._record_layers(layers), strict=True):
            if records:
                true = torch.cat([summed[full].reshape(-1) for full in layer.names.values()])
                found = torch.cat([weights @ columns for columns in layer.columns(records, self.view.d)])
                layer.bytes = round(sum(a.nbytes + s.nbytes for one in records for a, s in one.uses) * share)
                if float((found - true).norm()) <= LAYER_TOLERANCE * float(true.norm()):
                    kept.append(layer)
        covered = {full for layer in kept for full in layer.names.values()}
        return kept, [name for name in self.view.params if name not in covered]

    def _share(self) -> float:
        """How many times as much as the first batch enters the network in all."""
        sizes = [
            sum(leaf.numel() for leaf in tree_leaves(given)) for given, _ in [*self.batches, *self.further_batches]
        ]
        return sum(sizes) / sizes[0]

    def _groups(self, layers: Iterable[LayerRows], room: int) -> Iterator[list[LayerRows]]:
        """Layers that fit into the memory together."""
        group: list[LayerRows] = []
        for layer in layers:
            if group and sum(one.bytes for one in group) + layer.bytes > room:
                yield group
                group = []
            group.append(layer)
        if group:
            yield group

    def _chunks(self, names: Iterable[str], room: int) -> Iterator[list[str]]:
        """Names of weights whose rows fit into the memory together."""
        most, chunk, size = max(1, room // (4 * self.all)), [], 0
        for name in names:
            if chunk and size + self.view.params[name].numel() > most:
                yield chunk
                chunk, size = [], 0
            chunk.append(name)
            size += self.view.params[name].numel()
        if chunk:
            yield chunk

    def _record_layers(self, layers: list[LayerRows]) -> list[list[LayerRecord]]:
        """For each layer what entered it and the slopes at its output, by one forward and one backward pass a task."""
        found: list[list[LayerRecord]] = [[] for _ in layers]
        for (inputs, factors), cells in zip([*self.batches, *self.further_batches], self._cells, strict=True):
            self.check_cancelled()
            met: list[list[tuple[Tensor, Tensor]]] = [[] for _ in layers]
            hooks = [
                layer.module.register_forward_hook(lambda _, given, out, seen=seen: seen.append((given[0], out)))
                for layer, seen in zip(layers, met, strict=True)
            ]
            try:
                outputs = self.view.predict(require_grad(self.view.params), inputs)
            finally:
                for hook in hooks:
                    hook.remove()
            masks = [leaf for leaf in tree_leaves(inputs) if leaf.dtype is torch.bool and leaf.dim() == 2]
            ends = [out for uses in met for _, out in uses]
            for task, rows in enumerate(cells):
                if not len(rows) or not ends:
                    continue
                summed = (outputs[rows, task] * factors[rows, task]).sum()
                slopes = iter(torch.autograd.grad(summed, ends, retain_graph=True, materialize_grads=True))
                for place, uses in enumerate(met):
                    pairs = [(given.detach(), next(slopes)) for given, _ in uses]
                    laid = [_by_molecule(pair, len(outputs), masks) for pair in pairs]
                    if pairs and all(laid):
                        found[place].append(
                            LayerRecord([(_each(given)[rows], _each(slope)[rows]) for given, slope in laid])
                        )
        return found

    @torch.no_grad()
    def _by_forward_mode(self, names: Iterable[str]) -> Tensor:
        """The columns of a few weights (cells, d of them), by a forward-mode pass for each."""
        found, whole = [], {name: torch.zeros_like(value) for name, value in self.view.params.items()}
        cells = [*self.batches, *self.further_batches]
        for name in names:
            for place in range(whole[name].numel()):
                direction = whole | {name: torch.zeros_like(whole[name])}
                direction[name].view(-1)[place] = 1.0
                found.append(
                    torch.cat([self._directional(direction, *one) for one in zip(cells, self._cells, strict=True)])
                )
        return torch.stack(found, 1)

    def _by_backward_pass(self, names: list[str], report: Report) -> Tensor:
        """The columns of some weights (cells, d of them), by a backward pass for each cell."""
        found = []
        for (inputs, factors), cells in zip([*self.batches, *self.further_batches], self._cells, strict=True):
            for task, rows in enumerate(cells):
                for row in rows.tolist():
                    report.check()
                    alone = tree_map(lambda value, row=row: value[row : row + 1], inputs)
                    leaves = {n: v.detach().requires_grad_(n in names) for n, v in self.view.params.items()}
                    outputs = self.view.predict(leaves, alone)
                    summed = outputs[0, task] * factors[row, task]
                    pieces = torch.autograd.grad(summed, [leaves[name] for name in names], materialize_grads=True)
                    found.append(torch.cat([piece.reshape(-1) for piece in pieces]))
        return torch.stack(found)


def _add(total: Tensor, columns: Tensor) -> None:
    """Add X Xᵀ of columns (n, some) to the lower triangle of `total` (n, n), by strips: half the multiplications."""
    for start in range(0, len(total), STRIP):
        total[start:, start : start + STRIP] += columns[start:] @ columns[start : start + STRIP].T


def _by_molecule(pair: tuple[Tensor, Tensor], molecules: int, masks: list[Tensor]) -> tuple[Tensor, Tensor] | None:
    """What entered and the slopes, a row a molecule; rows that are places of a mask (b, n) are laid out in it.

    Places may be filled up to a multiple of `ROW_MULTIPLE`, molecules by one. None for others: what they are of is not known.
    """
    rows = len(pair[0])
    if rows in (molecules, molecules + 1):
        return tuple(each[:molecules] for each in pair)
    for mask in masks:
        many = int(mask.sum())
        if rows in (many, many + -many % ROW_MULTIPLE):
            blank = (values.new_zeros(*mask.shape, *values.shape[1:]) for values in pair)
            return tuple(laid.index_put((mask,), each[:many]) for laid, each in zip(blank, pair, strict=True))
    return None


def _measured(factors: Tensor) -> list[Tensor]:
    """Of each task the molecules of a batch that have a factor."""
    return [torch.nonzero(~torch.isnan(factors[:, task]))[:, 0] for task in range(factors.shape[1])]


def _each(values: Tensor) -> Tensor:
    """Of a batch (b, …, w) or of numbers (b, l): a molecule's places in one dimension (b, places[, w])."""
    if not values.is_floating_point():
        return values.reshape(len(values), -1)
    return values.reshape(len(values), -1, values.shape[-1])
