"""Influence of training molecules on a target loss: curvature known by its products, and the gradient it is solved for.

With L the mean loss over the measured cells of the training part, C its damped curvature and v the gradient of the mean
target loss, I(z) = −vᵀ C⁻¹ ∇ℓ(z) is the rate at which the target loss changes as z gains weight (Koh & Liang, 2017,
arXiv:1703.04730): negative helps. I(z) / N, N the measured training cells, is the predicted change when z is added.
Every loss is per cell: r² of a regression task, cross-entropy of a binary task's logit; a cell without a label counts
for nothing.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from core.report import SILENT, Report
from core.solvers.solution import NotSolved, edges

if TYPE_CHECKING:
    from core.gram import Rows

Parameters = dict[str, Tensor]
Scope = Literal["all", "head", "last layer"]
Form = Literal["gauss-newton", "hessian"]
PASSES = 32  # backward passes that estimate a trace: at most a quarter off (one standard deviation), mostly far less


def flatten(parts: Parameters) -> Tensor:
    """One vector (d,) of tensors in their order."""
    return torch.cat([value.reshape(-1) for value in parts.values()])


def unflatten(vector: Tensor, like: Parameters) -> Parameters:
    """The tensors a vector (d,) holds, shaped and typed as in `like`."""
    pieces = vector.split([value.numel() for value in like.values()])
    return {name: piece.view_as(value).to(value) for (name, value), piece in zip(like.items(), pieces, strict=True)}


@dataclass(frozen=True, eq=False)
class View:
    """A predictor as a function of the weights of one scope.

    `inputs(batch)` is what does not depend on these weights (the embedding, for the head), computed once a batch;
    `predict(params, inputs)` gives the scaled outputs (b, t); `features(inputs)` what enters the last layer (b, h/2).
    """

    params: Parameters
    inputs: Callable[[Any], Any]
    predict: Callable[[Parameters, Any], Tensor]
    features: Callable[[Any], Tensor]
    last: Callable[[Tensor], Tensor]
    binary: Tensor  # (t,)
    owner: nn.Module  # whose weights they are, by these names

    @property
    def d(self) -> int:
        return sum(value.numel() for value in self.params.values())


def view(predictor: nn.Module, scope: Scope, names: Sequence[str] | None = None) -> View:
    """The predictor, in evaluation mode, over the weights of `scope`; `names` keeps some of them."""
    predictor.eval().requires_grad_(False)  # only what is asked for is followed by autograd
    head, last = predictor.head, predictor.head[-1]
    if scope == "all":
        owner, inputs, features = predictor, lambda batch: batch, predictor.last_features
    elif scope == "head":
        owner, features = head, head[:-1]
        inputs = torch.no_grad()(lambda batch: predictor.embed(batch))
    else:
        owner, features = last, lambda inputs: inputs
        inputs = torch.no_grad()(lambda batch: predictor.last_features(batch))
    wanted = dict(owner.named_parameters())
    params = {name: wanted[name].detach() for name in (wanted if names is None else names)}
    binary = torch.tensor([kind == "binary" for kind in predictor.kinds], device=next(iter(params.values())).device)
    return View(
        params=params,
        inputs=inputs,
        predict=lambda given, x: functional_call(owner, given, (x,)),
        features=torch.no_grad()(features),
        last=torch.no_grad()(last),
        binary=binary,
        owner=owner,
    )


def measured(targets: Tensor) -> int:
    """How many cells have a label."""
    return int((~torch.isnan(targets)).sum())


def bends(outputs: Tensor, targets: Tensor, binary: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivative of the cell losses by the outputs (b, t): 2r and 2, or p − y and p(1 − p)."""
    chance = torch.sigmoid(outputs)
    first = torch.where(binary, chance - targets, 2 * (outputs - targets))
    second = torch.where(binary, chance * (1 - chance), torch.full_like(outputs, 2.0))
    missing = torch.isnan(targets)
    return first.masked_fill(missing, 0), second.masked_fill(missing, 0)


def losses(outputs: Tensor, targets: Tensor, binary: Tensor) -> Tensor:
    """Sum of the cell losses of a batch."""
    missing = torch.isnan(targets)
    labels = targets.masked_fill(missing, 0)
    entropy = nn.functional.binary_cross_entropy_with_logits(outputs, labels.clamp(0, 1), reduction="none")
    return torch.where(binary, entropy, (outputs - labels) ** 2).masked_fill(missing, 0).sum()


def left_out(outputs: Tensor, targets: Tensor, leverages: Tensor, binary: Tensor) -> Tensor:
    """Outputs (n, t) that a model without a molecule would give for it: f + h / (1 − h) · ℓ′ / ℓ″, h its leverage.

    Exact for squared errors of a linear model (Cook & Weisberg 1982), a Newton step elsewhere.
    """
    first, second = bends(outputs, targets, binary)
    h = leverages.clamp(0, 1 - 1e-6)
    return outputs + torch.where(second > 0, h / (1 - h) * first / second.clamp(min=1e-12), torch.zeros_like(first))


def pull(outputs: Tensor, leaves: Parameters, weights: Tensor | None = None, keep: bool = False) -> Tensor:
    """The gradient (d,) of ⟨weights, outputs⟩; weights without a part in it get 0."""
    found = torch.autograd.grad(outputs, list(leaves.values()), weights, retain_graph=keep, materialize_grads=True)
    return torch.cat([piece.reshape(-1) for piece in found])


def leaves_of(params: Parameters) -> Parameters:
    return {name: value.detach().requires_grad_(True) for name, value in params.items()}


def used(seen: View, inputs: Any) -> View:
    """The view without the weights that no prediction depends on, such as a masked-LM head."""
    leaves = leaves_of(seen.params)
    found = torch.autograd.grad(seen.predict(leaves, inputs).sum(), list(leaves.values()), allow_unused=True)
    kept = {name: seen.params[name] for name, piece in zip(leaves, found, strict=True) if piece is not None}
    return replace(seen, params=kept)


Batches = list[tuple[Any, Tensor]]  # inputs of a batch, its scaled targets (b, t) with NaN where unmeasured
Weighed = list[tuple[Any, Tensor]]  # inputs of a batch, a factor for the slope of each cell (b, t), NaN where none


def target_gradient(seen: View, batches: Iterable[tuple[Any, Tensor]], temperatures: Tensor | None = None) -> Tensor:
    """Gradient (d,) of the mean loss over the measured cells of these batches.

    `temperatures` (t,) of the tasks: what their outputs are divided by. At the best ones (`core.temperature`) it
    is also that of the loss at the best temperatures: they have no part in the slope.
    """
    total, cells = None, 0
    for inputs, targets in batches:
        leaves = leaves_of(seen.params)
        outputs = seen.predict(leaves, inputs)
        outputs = outputs if temperatures is None else outputs / temperatures.to(outputs)
        gradient = pull(losses(outputs, targets, seen.binary), leaves)
        total = gradient if total is None else total + gradient
        cells += measured(targets)
    if not cells:
        raise NotSolved("the target part has no measured label")
    return total / cells


@dataclass(eq=False)
class Curvature:
    """Second derivative of the mean training loss, plus `damping` times the identity; known only by `curvature @ v`.

    `form`: "gauss-newton" is Jᵀ ℓ″ J, never indefinite, by a forward- and a reverse-mode pass (about two gradients);
    "hessian" is exact, by a double reverse pass (about 3.3), and indefinite wherever training stopped early.
    `draws()`: shuffled mini-batches for `sample`, made when first wanted; without it the batches themselves.
    `beside`: further molecules, of which a solver that knows the cells one by one may say what they have to do with
    each other.
    """

    seen: View
    batches: Batches
    damping: float = 0.0  # absolute, in units of the scaled loss's second derivative
    form: Form = "gauss-newton"
    draws: Callable[[], Batches] | None = None
    beside: Weighed = field(default_factory=list)
    pulse: Callable[[], None] = field(default=lambda: None)  # called once a batch: where a cancelled job stops

    def __post_init__(self) -> None:
        self.cells = sum(measured(targets) for _, targets in self.batches)
        if not self.cells:
            raise NotSolved("the training part has no measured label")

    def __matmul__(self, vector: Tensor) -> Tensor:
        """(C + damping) v for a vector (d,); with the precision of `v` outside the network, of the weights inside."""
        direction = unflatten(vector, self.seen.params)
        product = self._gauss_newton if self.form == "gauss-newton" else self._hessian
        total = torch.zeros_like(vector)
        for inputs, targets in self.batches:
            self.pulse()
            total += product(inputs, targets, direction).to(total)
        return total / self.cells + self.damping * vector

    def _gauss_newton(self, inputs: Any, targets: Tensor, direction: Parameters) -> Tensor:
        with torch.no_grad():
            _, tangent = jvp(lambda given: self.seen.predict(given, inputs), (self.seen.params,), (direction,))
        leaves = leaves_of(self.seen.params)
        outputs = self.seen.predict(leaves, inputs)
        _, second = bends(outputs.detach(), targets, self.seen.binary)
        return pull(outputs, leaves, second * tangent)

    def _hessian(self, inputs: Any, targets: Tensor, direction: Parameters) -> Tensor:
        leaves = leaves_of(self.seen.params)
        loss = losses(self.seen.predict(leaves, inputs), targets, self.seen.binary)
        first = torch.autograd.grad(loss, list(leaves.values()), create_graph=True, materialize_grads=True)
        along = sum((piece * direction[name]).sum() for name, piece in zip(leaves, first, strict=True))
        return pull(along, leaves)

    def sample(self, generator: torch.Generator) -> "Curvature":
        """The curvature of one mini-batch with the same damping: drawn in proportion to its cells, so unbiased."""
        drawn, odds = self._drawn
        picked = int(torch.multinomial(odds, 1, generator=generator))
        return Curvature(self.seen, [drawn[picked]], self.damping, self.form, pulse=self.pulse)

    @functools.cached_property
    def _drawn(self) -> tuple[Batches, Tensor]:
        drawn = self.draws() if self.draws else self.batches
        return drawn, torch.tensor([float(measured(targets)) for _, targets in drawn])

    def part(self, cells: int) -> "Curvature":
        """The curvature of some of the batches, spread evenly over them, that have about so many cells."""
        many = max(1, min(len(self.batches), round(cells / self.cells * len(self.batches))))
        picked = [self.batches[place * len(self.batches) // many] for place in range(many)]
        return Curvature(self.seen, picked, self.damping, self.form, pulse=self.pulse)

    def rows(self) -> "Rows":
        """The undamped Gauss–Newton matrix as AᵀA, with a row √(ℓ″ / N) ∂f/∂θ for each measured cell."""
        from core.gram import Rows

        return Rows(self.seen, [(x, self._factors(x, y)) for x, y in self.batches], self.beside, self.pulse)

    @torch.no_grad()
    def _factors(self, inputs: Any, targets: Tensor) -> Tensor:
        self.pulse()
        _, second = bends(self.seen.predict(self.seen.params, inputs), targets, self.seen.binary)
        return (second / self.cells).sqrt().masked_fill(torch.isnan(targets), torch.nan)

    def trace(self, seed: int = 0, passes: int = PASSES, report: Report = SILENT) -> float:
        """Trace of the undamped Gauss–Newton matrix, by Hutchinson's estimate over random signs of the cells.

        |Jᵀ √ℓ″ s|² summed over batches; each signs' draw costs one backward pass a batch.
        """
        generator = torch.Generator().manual_seed(seed)
        probes = -(-passes // len(self.batches))
        total = 0.0
        for place, (inputs, targets) in enumerate(self.batches):
            report(place / len(self.batches), "estimating the trace of the curvature")
            leaves = leaves_of(self.seen.params)
            outputs = self.seen.predict(leaves, inputs)
            _, second = bends(outputs.detach(), targets, self.seen.binary)
            for probe in range(probes):
                signs = (torch.rand(outputs.shape, generator=generator) < 0.5).to(outputs) * 2 - 1
                gradient = pull(outputs, leaves, second.sqrt() * signs, keep=probe < probes - 1)
                total += float(gradient @ gradient) / probes
        return total / self.cells

    def refuse_if_indefinite(self, report: Report = SILENT, steps: int = 40) -> float:
        """The lowest eigenvalue of the undamped matrix, by Lanczos. Raises `NotSolved` where damping ≤ 1.2 |lowest|."""
        bare = Curvature(self.seen, self.batches, 0.0, self.form, pulse=self.pulse)
        report(0, "looking for negative curvature")
        lowest, highest = edges(bare, flatten(self.seen.params), steps)
        if lowest < 0 and self.damping <= 1.2 * -lowest:
            raise NotSolved(
                f"the Hessian's eigenvalues reach from {lowest:.4g} to {highest:.4g}, and a damping of "
                f"{self.damping:.4g} does not lift them safely above zero; raise `damping` above {-1.2 * lowest:.4g} "
                "or use the Gauss-Newton curvature"
            )
        return lowest
