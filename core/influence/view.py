"""A predictor as a function of its weights: the view, the losses of its cells and the gradient of a target.

Every loss is per cell: r² of a regression task, cross-entropy of a binary task's logit; a cell without a label counts
for nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.influence.solvers.solution import NotSolved

Parameters = dict[str, Tensor]
Scope = Literal["all", "head", "last layer"]


def flatten(parts: Parameters) -> Tensor:
    """One vector (d,) of tensors in their order."""
    return torch.cat([value.reshape(-1) for value in parts.values()])


def unflatten(vector: Tensor, like: Parameters) -> Parameters:
    """The tensors a vector (d,) holds, shaped and typed as in `like`."""
    pieces = vector.split([value.numel() for value in like.values()])
    return {name: piece.view_as(value).to(value) for (name, value), piece in zip(like.items(), pieces, strict=True)}


@dataclass(frozen=True, eq=False)
class ParameterView:
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


def parameter_view(predictor: nn.Module, scope: Scope, names: Sequence[str] | None = None) -> ParameterView:
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
    return ParameterView(
        params=params,
        inputs=inputs,
        predict=lambda given, x: functional_call(owner, given, (x,)),
        features=torch.no_grad()(features),
        last=torch.no_grad()(last),
        binary=binary,
        owner=owner,
    )


def count_labels(targets: Tensor) -> int:
    """How many cells have a label."""
    return int((~torch.isnan(targets)).sum())


def loss_derivatives(outputs: Tensor, targets: Tensor, binary: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivative of the cell losses by the outputs (b, t): 2r and 2, or p − y and p(1 − p)."""
    chance = torch.sigmoid(outputs)
    first = torch.where(binary, chance - targets, 2 * (outputs - targets))
    second = torch.where(binary, chance * (1 - chance), torch.full_like(outputs, 2.0))
    missing = torch.isnan(targets)
    return first.masked_fill(missing, 0), second.masked_fill(missing, 0)


def summed_loss(outputs: Tensor, targets: Tensor, binary: Tensor) -> Tensor:
    """Sum of the cell losses of a batch."""
    missing = torch.isnan(targets)
    labels = targets.masked_fill(missing, 0)
    entropy = nn.functional.binary_cross_entropy_with_logits(outputs, labels.clamp(0, 1), reduction="none")
    return torch.where(binary, entropy, (outputs - labels) ** 2).masked_fill(missing, 0).sum()


def leave_one_out_outputs(outputs: Tensor, targets: Tensor, leverages: Tensor, binary: Tensor) -> Tensor:
    """Outputs (n, t) that a model without a molecule would give for it: f + h / (1 − h) · ℓ′ / ℓ″, h its leverage.

    Exact for squared errors of a linear model (Cook & Weisberg 1982), a Newton step elsewhere.
    """
    first, second = loss_derivatives(outputs, targets, binary)
    h = leverages.clamp(0, 1 - 1e-6)
    return outputs + torch.where(second > 0, h / (1 - h) * first / second.clamp(min=1e-12), torch.zeros_like(first))


def vjp(outputs: Tensor, leaves: Parameters, weights: Tensor | None = None, keep: bool = False) -> Tensor:
    """The gradient (d,) of ⟨weights, outputs⟩; weights without a part in it get 0."""
    found = torch.autograd.grad(outputs, list(leaves.values()), weights, retain_graph=keep, materialize_grads=True)
    return torch.cat([piece.reshape(-1) for piece in found])


def require_grad(params: Parameters) -> Parameters:
    return {name: value.detach().requires_grad_(True) for name, value in params.items()}


def drop_unused_weights(seen: ParameterView, inputs: Any) -> ParameterView:
    """The view without the weights that no prediction depends on, such as a masked-LM head."""
    leaves = require_grad(seen.params)
    found = torch.autograd.grad(seen.predict(leaves, inputs).sum(), list(leaves.values()), allow_unused=True)
    kept = {name: seen.params[name] for name, piece in zip(leaves, found, strict=True) if piece is not None}
    return replace(seen, params=kept)


Batches = list[tuple[Any, Tensor]]  # inputs of a batch, its scaled targets (b, t) with NaN where unmeasured
FactorBatches = list[
    tuple[Any, Tensor]
]  # inputs of a batch, a factor for the slope of each cell (b, t), NaN where none


def target_gradient(
    seen: ParameterView, batches: Iterable[tuple[Any, Tensor]], temperatures: Tensor | None = None
) -> Tensor:
    """Gradient (d,) of the mean loss over the measured cells of these batches.

    `temperatures` (t,) of the tasks: what their outputs are divided by. At the best ones (`core.stats.temperature`) it
    is also that of the loss at the best temperatures: they have no part in the slope.
    """
    total, cells = None, 0
    for inputs, targets in batches:
        leaves = require_grad(seen.params)
        outputs = seen.predict(leaves, inputs)
        outputs = outputs if temperatures is None else outputs / temperatures.to(outputs)
        gradient = vjp(summed_loss(outputs, targets, seen.binary), leaves)
        total = gradient if total is None else total + gradient
        cells += count_labels(targets)
    if not cells:
        raise NotSolved("the target part has no measured label")
    return total / cells
