"""Gram matrix of the rows of a Gauss–Newton curvature, without storing the rows.

C = AᵀA + λI, where A (cells, d) has the row √(ℓ″ / N) ∂f/∂θ for each of the N measured training cells. Instead of A
itself, K = AAᵀ is summed layer by layer (`core.influence.layer_gram`), a block of columns at a time.
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

MIN_BLOCK_BYTES = 1 << 30  # for a block of columns; also the least for the inputs and gradients of one group of layers
MEMORY_DIVISOR, MAX_BYTES = 4, 8 << 30  # a group may use a quarter of the free memory, 8 GB at most
STRIP = 512  # rows of a Gram matrix multiplied at a time
MAX_FORWARD_MODE = 16  # weights up to which one forward-mode pass each beats one backward pass for every cell
LAYER_TOLERANCE = 1e-3  # largest relative error of a weighted sum of a layer's rows against the gradient


@dataclass(eq=False)
class GradientRows:
    """A (cells, d): a row factor × ∂f/∂θ for each cell with a factor, in the order of batches, in a batch task by task.

    Cells of `batches` are those of the curvature. Cells of `further_batches` appear in the Gram matrix only.
    """

    view: ParameterView
    batches: FactorBatches
    further_batches: FactorBatches = field(default_factory=list)
    check_cancelled: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        self._cells = [_labelled_rows(factors) for _, factors in [*self.batches, *self.further_batches]]
        self._n_own = sum(len(rows) for cells in self._cells[: len(self.batches)] for rows in cells)

    def __len__(self) -> int:
        return self._n_own

    @property
    def total_cells(self) -> int:
        """Number of cells of the curvature and further ones together: the size of the Gram matrix."""
        return sum(len(rows) for cells in self._cells for rows in cells)

    @torch.no_grad()
    def times(self, vector: Tensor) -> Tensor:
        """A v (cells,) for a vector v (d,)."""
        direction = unflatten(vector, self.view.params)
        batches = zip(self.batches, self._cells, strict=False)
        return torch.cat([self._directional(direction, batch, cells) for batch, cells in batches])

    def _directional(self, direction: Parameters, batch: tuple[Any, Tensor], cells: list[Tensor]) -> Tensor:
        """Rows of a batch's cells times a direction (cells,)."""
        inputs, factors = batch
        self.check_cancelled()
        _, slopes = jvp(lambda params: self.view.predict(params, inputs), (self.view.params,), (direction,))
        return torch.cat([(factors * slopes)[rows, task] for task, rows in enumerate(cells)])

    def transpose_times(self, weights: Tensor) -> Tensor:
        """Aᵀ w (d,) for weights w of the cells (cells,)."""
        total, start = torch.zeros(self.view.d, dtype=weights.dtype, device=weights.device), 0
        for (inputs, factors), cells in zip(self.batches, self._cells, strict=False):
            self.check_cancelled()
            leaves = require_grad(self.view.params)
            outputs = self.view.predict(leaves, inputs)
            cotangent = torch.zeros_like(outputs)
            for task, rows in enumerate(cells):
                cotangent[rows, task] = factors[rows, task] * weights[start : start + len(rows)].to(cotangent)
                start += len(rows)
            total += vjp(outputs, leaves, cotangent).to(total)
        return total

    def gram(self, report: Report = SILENT_REPORT, memory_bytes: int | None = None) -> Tensor:
        """AAᵀ (total_cells, total_cells), float64, further cells last; `memory_bytes`: limit for intermediates."""
        layers, rest = self._layers()
        group_bytes = memory_bytes or min(
            MAX_BYTES, max(MIN_BLOCK_BYTES, memory.free_bytes(str(self.view.binary.device)) // MEMORY_DIVISOR)
        )
        block_bytes = min(group_bytes, MIN_BLOCK_BYTES)
        total = torch.zeros(self.total_cells, self.total_cells, dtype=torch.float64, device=self.view.binary.device)
        work, done = self.view.d, 0
        for group in self._groups(layers, group_bytes):
            for layer, records in zip(group, self._record_layers(group), strict=True):
                if (product := layer.gram(records)) is not None:
                    total += product
                    done += layer.size
                    report(done / work, f"{done:,} of {work:,} columns of the Gram matrix", step=done)
                    continue
                for columns in layer.columns(records, max(1, block_bytes // (8 * self.total_cells))):
                    self.check_cancelled()
                    _add_gram(total, columns)
                    done += columns.shape[1]
                    report(done / work, f"{done:,} of {work:,} columns of the Gram matrix", step=done)
        use_forward_mode = sum(self.view.params[name].numel() for name in rest) <= MAX_FORWARD_MODE
        for names in self._chunks(rest, block_bytes):
            columns = (
                self._columns_by_forward_mode(names)
                if use_forward_mode
                else self._columns_by_backward_pass(names, report)
            )
            _add_gram(total, columns)
            done += columns.shape[1]
            report(done / work, f"{done:,} of {work:,} columns of the Gram matrix", step=done)
        return total.tril() + total.tril(-1).T

    def _layers(self) -> tuple[list[LayerRows], list[str]]:
        """Layers with rows by input and output gradient, checked on the first batch; names of all other weights."""
        params, layers = set(self.view.params), []
        for path, module in self.view.owner.named_modules():
            kind = KINDS.get(type(module).__name__)
            prefix = f"{path}." if path else ""
            names = {name: f"{prefix}{name}" for name, _ in module.named_parameters(recurse=False)}
            names = {name: full for name, full in names.items() if full in params}
            if kind is not None and names:
                layers.append(kind(module, names))
        first = GradientRows(
            self.view, [*self.batches, *self.further_batches][:1], check_cancelled=self.check_cancelled
        )
        weights = torch.randn(
            len(first), generator=torch.Generator().manual_seed(0)
        )  # random, so that permuted rows fail the check
        weights = weights.to(next(iter(self.view.params.values())))
        total = first.transpose_times(weights)
        ratio = self._input_ratio()
        summed, valid = unflatten(total, self.view.params), []
        for layer, records in zip(layers, first._record_layers(layers), strict=True):
            if records:
                expected = torch.cat([summed[full].reshape(-1) for full in layer.names.values()])
                computed = torch.cat([weights @ columns for columns in layer.columns(records, self.view.d)])
                layer.bytes = round(sum(a.nbytes + s.nbytes for one in records for a, s in one.uses) * ratio)
                if float((computed - expected).norm()) <= LAYER_TOLERANCE * float(expected.norm()):
                    valid.append(layer)
        covered = {full for layer in valid for full in layer.names.values()}
        return valid, [name for name in self.view.params if name not in covered]

    def _input_ratio(self) -> float:
        """Size of all inputs relative to those of the first batch."""
        sizes = [
            sum(leaf.numel() for leaf in tree_leaves(inputs)) for inputs, _ in [*self.batches, *self.further_batches]
        ]
        return sum(sizes) / sizes[0]

    def _groups(self, layers: Iterable[LayerRows], max_bytes: int) -> Iterator[list[LayerRows]]:
        """Groups of layers whose inputs and gradients fit into memory together."""
        group: list[LayerRows] = []
        for layer in layers:
            if group and sum(one.bytes for one in group) + layer.bytes > max_bytes:
                yield group
                group = []
            group.append(layer)
        if group:
            yield group

    def _chunks(self, names: Iterable[str], max_bytes: int) -> Iterator[list[str]]:
        """Groups of weight names whose rows fit into memory together."""
        max_weights, chunk, size = max(1, max_bytes // (4 * self.total_cells)), [], 0
        for name in names:
            if chunk and size + self.view.params[name].numel() > max_weights:
                yield chunk
                chunk, size = [], 0
            chunk.append(name)
            size += self.view.params[name].numel()
        if chunk:
            yield chunk

    def _record_layers(self, layers: list[LayerRows]) -> list[list[LayerRecord]]:
        """Inputs and output gradients of each layer, by one forward pass and one backward pass a task."""
        records: list[list[LayerRecord]] = [[] for _ in layers]
        for (inputs, factors), cells in zip([*self.batches, *self.further_batches], self._cells, strict=True):
            self.check_cancelled()
            calls: list[list[tuple[Tensor, Tensor]]] = [[] for _ in layers]
            hooks = [
                layer.module.register_forward_hook(lambda _, args, out, uses=uses: uses.append((args[0], out)))
                for layer, uses in zip(layers, calls, strict=True)
            ]
            try:
                outputs = self.view.predict(require_grad(self.view.params), inputs)
            finally:
                for hook in hooks:
                    hook.remove()
            masks = [leaf for leaf in tree_leaves(inputs) if leaf.dtype is torch.bool and leaf.dim() == 2]
            ends = [out for uses in calls for _, out in uses]
            for task, rows in enumerate(cells):
                if not len(rows) or not ends:
                    continue
                summed = (outputs[rows, task] * factors[rows, task]).sum()
                slopes = iter(torch.autograd.grad(summed, ends, retain_graph=True, materialize_grads=True))
                for index, uses in enumerate(calls):
                    pairs = [(entered.detach(), next(slopes)) for entered, _ in uses]
                    by_molecule = [_split_by_molecule(pair, len(outputs), masks) for pair in pairs]
                    if pairs and all(by_molecule):
                        rows_of_uses = [
                            tuple(_flatten_positions(values)[rows] for values in pair) for pair in by_molecule
                        ]
                        records[index].append(LayerRecord(rows_of_uses))
        return records

    @torch.no_grad()
    def _columns_by_forward_mode(self, names: Iterable[str]) -> Tensor:
        """Columns (cells, number of weights) of a few weights, by a forward-mode pass for each."""
        columns, zeros = [], {name: torch.zeros_like(value) for name, value in self.view.params.items()}
        batches = [*self.batches, *self.further_batches]
        for name in names:
            for index in range(zeros[name].numel()):
                direction = zeros | {name: torch.zeros_like(zeros[name])}
                direction[name].view(-1)[index] = 1.0
                columns.append(
                    torch.cat([self._directional(direction, *one) for one in zip(batches, self._cells, strict=True)])
                )
        return torch.stack(columns, 1)

    def _columns_by_backward_pass(self, names: list[str], report: Report) -> Tensor:
        """Columns (cells, number of weights) of some weights, by a backward pass for each cell."""
        gradients = []
        for (inputs, factors), cells in zip([*self.batches, *self.further_batches], self._cells, strict=True):
            for task, rows in enumerate(cells):
                for row in rows.tolist():
                    report.check()
                    molecule = tree_map(lambda value, row=row: value[row : row + 1], inputs)
                    leaves = {n: v.detach().requires_grad_(n in names) for n, v in self.view.params.items()}
                    outputs = self.view.predict(leaves, molecule)
                    summed = outputs[0, task] * factors[row, task]
                    pieces = torch.autograd.grad(summed, [leaves[name] for name in names], materialize_grads=True)
                    gradients.append(torch.cat([piece.reshape(-1) for piece in pieces]))
        return torch.stack(gradients)


def _add_gram(total: Tensor, columns: Tensor) -> None:
    """Add X Xᵀ of columns (n, some) to the lower triangle of `total` (n, n), in strips: half the multiplications."""
    for start in range(0, len(total), STRIP):
        total[start:, start : start + STRIP] += columns[start:] @ columns[start : start + STRIP].T


def _split_by_molecule(
    pair: tuple[Tensor, Tensor], molecules: int, masks: list[Tensor]
) -> tuple[Tensor, Tensor] | None:
    """Layer inputs and output gradients with one row a molecule; None where the rows cannot be assigned.

    Rows of the set positions of a mask (b, n) are put back into it. Positions may be padded to a multiple of
    `ROW_MULTIPLE`, molecules by one.
    """
    rows = len(pair[0])
    if rows in (molecules, molecules + 1):
        return tuple(each[:molecules] for each in pair)
    for mask in masks:
        filled = int(mask.sum())
        if rows in (filled, filled + -filled % ROW_MULTIPLE):
            blanks = (values.new_zeros(*mask.shape, *values.shape[1:]) for values in pair)
            return tuple(blank.index_put((mask,), each[:filled]) for blank, each in zip(blanks, pair, strict=True))
    return None


def _labelled_rows(factors: Tensor) -> list[Tensor]:
    """Rows of a batch that have a factor, for each task."""
    return [torch.nonzero(~torch.isnan(factors[:, task]))[:, 0] for task in range(factors.shape[1])]


def _flatten_positions(values: Tensor) -> Tensor:
    """Values (b, …, w), or indices (b, …), with all positions of a molecule in one dimension (b, positions[, w])."""
    if not values.is_floating_point():
        return values.reshape(len(values), -1)
    return values.reshape(len(values), -1, values.shape[-1])
