"""Influence of training molecules on a target loss: curvature known by its products, and the gradient it is solved for.

With L the mean loss over the measured cells of the training part, C its damped curvature and v the gradient of the mean
target loss, I(z) = −vᵀ C⁻¹ ∇ℓ(z) is the rate at which the target loss changes as z gains weight (Koh & Liang, 2017,
arXiv:1703.04730): negative helps. I(z) / N, N the measured training cells, is the predicted change when z is added.
Every loss is per cell: r² of a regression task, cross-entropy of a binary task's logit; a cell without a label counts
for nothing.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import jvp

from core.engine.report import SILENT_REPORT, Report
from core.influence.gram import GradientRows
from core.influence.solvers.solution import NotSolved, extreme_eigenvalues
from core.influence.view import (
    Batches,
    FactorBatches,
    Parameters,
    ParameterView,
    count_labels,
    flatten,
    loss_derivatives,
    require_grad,
    summed_loss,
    unflatten,
    vjp,
)

CurvatureForm = Literal["gauss-newton", "hessian"]
TRACE_PROBES = (
    32  # backward passes that estimate a trace: at most a quarter off (one standard deviation), mostly far less
)


@dataclass(eq=False)
class Curvature:
    """Second derivative of the mean training loss, plus `damping` times the identity; known only by `curvature @ v`.

    `form`: "gauss-newton" is Jᵀ ℓ″ J, never indefinite, by a forward- and a reverse-mode pass (about two gradients);
    "hessian" is exact, by a double reverse pass (about 3.3), and indefinite wherever training stopped early.
    `draws()`: shuffled mini-batches for `sample`, made when first wanted; without it the batches themselves.
    `further_batches`: further molecules, of which a solver that knows the cells one by one may say what they have to do with
    each other.
    """

    view: ParameterView
    batches: Batches
    damping: float = 0.0  # absolute, in units of the scaled loss's second derivative
    form: CurvatureForm = "gauss-newton"
    draws: Callable[[], Batches] | None = None
    further_batches: FactorBatches = field(default_factory=list)
    check_cancelled: Callable[[], None] = field(
        default=lambda: None
    )  # called once a batch: where a cancelled job stops

    def __post_init__(self) -> None:
        self.cells = sum(count_labels(targets) for _, targets in self.batches)
        if not self.cells:
            raise NotSolved("the training part has no measured label")

    def __matmul__(self, vector: Tensor) -> Tensor:
        """(C + damping) v for a vector (d,); with the precision of `v` outside the network, of the weights inside."""
        direction = unflatten(vector, self.view.params)
        product = self._gauss_newton if self.form == "gauss-newton" else self._hessian
        total = torch.zeros_like(vector)
        for inputs, targets in self.batches:
            self.check_cancelled()
            total += product(inputs, targets, direction).to(total)
        return total / self.cells + self.damping * vector

    def _gauss_newton(self, inputs: Any, targets: Tensor, direction: Parameters) -> Tensor:
        with torch.no_grad():
            _, tangent = jvp(lambda given: self.view.predict(given, inputs), (self.view.params,), (direction,))
        leaves = require_grad(self.view.params)
        outputs = self.view.predict(leaves, inputs)
        _, second = loss_derivatives(outputs.detach(), targets, self.view.binary)
        return vjp(outputs, leaves, second * tangent)

    def _hessian(self, inputs: Any, targets: Tensor, direction: Parameters) -> Tensor:
        leaves = require_grad(self.view.params)
        loss = summed_loss(self.view.predict(leaves, inputs), targets, self.view.binary)
        first = torch.autograd.grad(loss, list(leaves.values()), create_graph=True, materialize_grads=True)
        along = sum((piece * direction[name]).sum() for name, piece in zip(leaves, first, strict=True))
        return vjp(along, leaves)

    def sample(self, generator: torch.Generator) -> "Curvature":
        """The curvature of one mini-batch with the same damping: drawn in proportion to its cells, so unbiased."""
        drawn, odds = self._draw_batches
        picked = int(torch.multinomial(odds, 1, generator=generator))
        return Curvature(self.view, [drawn[picked]], self.damping, self.form, check_cancelled=self.check_cancelled)

    @functools.cached_property
    def _draw_batches(self) -> tuple[Batches, Tensor]:
        drawn = self.draws() if self.draws else self.batches
        return drawn, torch.tensor([float(count_labels(targets)) for _, targets in drawn])

    def part(self, cells: int) -> "Curvature":
        """The curvature of some of the batches, spread evenly over them, that have about so many cells."""
        many = max(1, min(len(self.batches), round(cells / self.cells * len(self.batches))))
        picked = [self.batches[place * len(self.batches) // many] for place in range(many)]
        return Curvature(self.view, picked, self.damping, self.form, check_cancelled=self.check_cancelled)

    def rows(self) -> GradientRows:
        """The undamped Gauss–Newton matrix as AᵀA, with a row √(ℓ″ / N) ∂f/∂θ for each measured cell."""
        return GradientRows(
            self.view, [(x, self._factors(x, y)) for x, y in self.batches], self.further_batches, self.check_cancelled
        )

    @torch.no_grad()
    def _factors(self, inputs: Any, targets: Tensor) -> Tensor:
        self.check_cancelled()
        _, second = loss_derivatives(self.view.predict(self.view.params, inputs), targets, self.view.binary)
        return (second / self.cells).sqrt().masked_fill(torch.isnan(targets), torch.nan)

    def trace(self, seed: int = 0, passes: int = TRACE_PROBES, report: Report = SILENT_REPORT) -> float:
        """Trace of the undamped Gauss–Newton matrix, by Hutchinson's estimate over random signs of the cells.

        |Jᵀ √ℓ″ s|² summed over batches; each signs' draw costs one backward pass a batch.
        """
        generator = torch.Generator().manual_seed(seed)
        probes = -(-passes // len(self.batches))
        total = 0.0
        for place, (inputs, targets) in enumerate(self.batches):
            report(place / len(self.batches), "estimating the trace of the curvature")
            leaves = require_grad(self.view.params)
            outputs = self.view.predict(leaves, inputs)
            _, second = loss_derivatives(outputs.detach(), targets, self.view.binary)
            for probe in range(probes):
                signs = (torch.rand(outputs.shape, generator=generator) < 0.5).to(outputs) * 2 - 1
                gradient = vjp(outputs, leaves, second.sqrt() * signs, keep=probe < probes - 1)
                total += float(gradient @ gradient) / probes
        return total / self.cells

    def refuse_if_indefinite(self, report: Report = SILENT_REPORT, steps: int = 40) -> float:
        """The lowest eigenvalue of the undamped matrix, by Lanczos. Raises `NotSolved` where damping ≤ 1.2 |lowest|."""
        bare = Curvature(self.view, self.batches, 0.0, self.form, check_cancelled=self.check_cancelled)
        report(0, "looking for negative curvature")
        lowest, highest = extreme_eigenvalues(bare, flatten(self.view.params), steps)
        if lowest < 0 and self.damping <= 1.2 * -lowest:
            raise NotSolved(
                f"the Hessian's eigenvalues reach from {lowest:.4g} to {highest:.4g}, and a damping of "
                f"{self.damping:.4g} does not lift them safely above zero; raise `damping` above {-1.2 * lowest:.4g} "
                "or use the Gauss-Newton curvature"
            )
        return lowest
