"""Curvature of the training loss as a linear operator: products with vectors, mini-batches, trace, Gauss–Newton rows.

With C the damped curvature of the mean loss over the N measured training cells and v the gradient of the mean target
loss, I(z) = −vᵀ C⁻¹ ∇ℓ(z) is the rate at which the target loss changes with the weight of z (Koh & Liang, 2017,
arXiv:1703.04730); negative helps. I(z) / N is the predicted change if z is added. Losses are per cell: squared error
of a regression task, cross-entropy of a binary task's logit. Cells without a label are ignored.
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
TRACE_PROBES = 32  # backward passes for a trace estimate: standard deviation at most a quarter, mostly far less


@dataclass(eq=False)
class Curvature:
    """Second derivative of the mean training loss plus `damping` times the identity; never formed, only multiplied.

    `form`: "gauss-newton" is Jᵀ ℓ″ J, positive semidefinite, by a forward- and a reverse-mode pass (the cost of two
    gradients); "hessian" is exact, by a double reverse pass (about 3.3 gradients), and may be indefinite where training
    stopped early. `shuffled_batches()`: mini-batches for `sample`, called on first use; without it `batches` are used.
    `further_batches`: molecules outside the training set whose cells the dual solver adds to the Gram matrix. Raises
    `NotSolved` without any label.
    """

    view: ParameterView
    batches: Batches
    damping: float = 0.0  # absolute, in the unit of the second derivative of the scaled loss
    form: CurvatureForm = "gauss-newton"
    shuffled_batches: Callable[[], Batches] | None = None
    further_batches: FactorBatches = field(default_factory=list)
    check_cancelled: Callable[[], None] = field(default=lambda: None)  # called once a batch; raises if cancelled

    def __post_init__(self) -> None:
        self.cells = sum(count_labels(targets) for _, targets in self.batches)
        if not self.cells:
            raise NotSolved("the training part has no measured label")

    def __matmul__(self, vector: Tensor) -> Tensor:
        """(C + damping) v for a vector (d,): in the precision of the weights inside the network, of `v` outside it."""
        direction = unflatten(vector, self.view.params)
        product = self._gauss_newton if self.form == "gauss-newton" else self._hessian
        total = torch.zeros_like(vector)
        for inputs, targets in self.batches:
            self.check_cancelled()
            total += product(inputs, targets, direction).to(total)
        return total / self.cells + self.damping * vector

    def _gauss_newton(self, inputs: Any, targets: Tensor, direction: Parameters) -> Tensor:
        with torch.no_grad():
            _, tangent = jvp(lambda params: self.view.predict(params, inputs), (self.view.params,), (direction,))
        leaves = require_grad(self.view.params)
        outputs = self.view.predict(leaves, inputs)
        _, second = loss_derivatives(outputs.detach(), targets, self.view.binary)
        return vjp(outputs, leaves, second * tangent)

    def _hessian(self, inputs: Any, targets: Tensor, direction: Parameters) -> Tensor:
        leaves = require_grad(self.view.params)
        loss = summed_loss(self.view.predict(leaves, inputs), targets, self.view.binary)
        first = torch.autograd.grad(loss, list(leaves.values()), create_graph=True, materialize_grads=True)
        derivative = sum((piece * direction[name]).sum() for name, piece in zip(leaves, first, strict=True))
        return vjp(derivative, leaves)

    def sample(self, generator: torch.Generator) -> "Curvature":
        """Curvature of one mini-batch, with the same damping; drawn in proportion to its cells, so unbiased."""
        batches, odds = self._sampling_batches
        index = int(torch.multinomial(odds, 1, generator=generator))
        return Curvature(self.view, [batches[index]], self.damping, self.form, check_cancelled=self.check_cancelled)

    @functools.cached_property
    def _sampling_batches(self) -> tuple[Batches, Tensor]:
        batches = self.shuffled_batches() if self.shuffled_batches else self.batches
        return batches, torch.tensor([float(count_labels(targets)) for _, targets in batches])

    def subsample(self, cells: int) -> "Curvature":
        """Curvature of an evenly spaced subset of the batches with about `cells` cells."""
        count = max(1, min(len(self.batches), round(cells / self.cells * len(self.batches))))
        batches = [self.batches[index * len(self.batches) // count] for index in range(count)]
        return Curvature(self.view, batches, self.damping, self.form, check_cancelled=self.check_cancelled)

    def rows(self) -> GradientRows:
        """A of the undamped Gauss–Newton matrix AᵀA: a row √(ℓ″ / N) ∂f/∂θ for each measured cell."""
        return GradientRows(
            self.view, [(x, self._factors(x, y)) for x, y in self.batches], self.further_batches, self.check_cancelled
        )

    @torch.no_grad()
    def _factors(self, inputs: Any, targets: Tensor) -> Tensor:
        self.check_cancelled()
        _, second = loss_derivatives(self.view.predict(self.view.params, inputs), targets, self.view.binary)
        return (second / self.cells).sqrt().masked_fill(torch.isnan(targets), torch.nan)

    def trace(self, seed: int = 0, passes: int = TRACE_PROBES, report: Report = SILENT_REPORT) -> float:
        """Trace of the undamped Gauss–Newton matrix by Hutchinson's estimate, about `passes` backward passes in all.

        Mean of |Jᵀ √ℓ″ s|² over random signs s of the cells, summed over batches, divided by the number of cells.
        """
        generator = torch.Generator().manual_seed(seed)
        probes = -(-passes // len(self.batches))
        total = 0.0
        for index, (inputs, targets) in enumerate(self.batches):
            report(index / len(self.batches), "estimating the trace of the curvature")
            leaves = require_grad(self.view.params)
            outputs = self.view.predict(leaves, inputs)
            _, second = loss_derivatives(outputs.detach(), targets, self.view.binary)
            for probe in range(probes):
                signs = (torch.rand(outputs.shape, generator=generator) < 0.5).to(outputs) * 2 - 1
                gradient = vjp(outputs, leaves, second.sqrt() * signs, retain_graph=probe < probes - 1)
                total += float(gradient @ gradient) / probes
        return total / self.cells

    def refuse_if_indefinite(self, report: Report = SILENT_REPORT, steps: int = 40) -> float:
        """Lowest eigenvalue without damping, by Lanczos. Raises `NotSolved` if negative and damping ≤ 1.2 |lowest|."""
        bare = Curvature(self.view, self.batches, 0.0, self.form, check_cancelled=self.check_cancelled)
        report(0, "checking for negative curvature")
        lowest, highest = extreme_eigenvalues(bare, flatten(self.view.params), steps)
        if lowest < 0 and self.damping <= 1.2 * -lowest:
            raise NotSolved(
                f"the Hessian's eigenvalues reach from {lowest:.4g} to {highest:.4g}, and a damping of "
                f"{self.damping:.4g} does not make them safely positive; raise `damping` above {-1.2 * lowest:.4g} "
                "or use the Gauss-Newton curvature"
            )
        return lowest
