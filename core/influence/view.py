"""A predictor as a function of some of its weights, the losses of its cells and the gradient of a target loss.

Losses are per cell (one label of one molecule): squared error of a regression task, cross-entropy of a binary task's
logit. Cells without a label are ignored.
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
    """The tensors as one vector (d,), in their order."""
    return torch.cat([value.reshape(-1) for value in parts.values()])


def unflatten(vector: Tensor, like: Parameters) -> Parameters:
    """A vector (d,) as tensors with the names, shapes and types of `like`."""
    chunks = vector.split([value.numel() for value in like.values()])
    return {name: piece.view_as(value).to(value) for (name, value), piece in zip(like.items(), chunks, strict=True)}


@dataclass(frozen=True, eq=False)
class ParameterView:
    """A predictor as a function of the weights of one scope.

    `inputs(batch)`: what does not depend on these weights (for the head: the embedding), computed once a batch;
    `predict(params, inputs)`: scaled outputs (b, t); `features(inputs)`: inputs of the last layer (b, h/2);
    `last(features)`: the last layer itself.
    """

    params: Parameters
    inputs: Callable[[Any], Any]
    predict: Callable[[Parameters, Any], Tensor]
    features: Callable[[Any], Tensor]
    last: Callable[[Tensor], Tensor]
    binary: Tensor  # (t,)
    owner: nn.Module  # module whose weights these are; `params` has their names in it

    @property
    def d(self) -> int:
        """Number of weights."""
        return sum(value.numel() for value in self.params.values())


def parameter_view(predictor: nn.Module, scope: Scope, names: Sequence[str] | None = None) -> ParameterView:
    """View over the weights of `scope`, or those of them in `names`; sets the predictor to evaluation mode."""
    predictor.eval().requires_grad_(False)  # autograd then tracks only the tensors given to `predict`
    head, last = predictor.head, predictor.head[-1]
    if scope == "all":
        owner, inputs, features = predictor, lambda batch: batch, predictor.last_features
    elif scope == "head":
        owner, features = head, head[:-1]
        inputs = torch.no_grad()(lambda batch: predictor.embed(batch))
    else:
        owner, features = last, lambda inputs: inputs
        inputs = torch.no_grad()(lambda batch: predictor.last_features(batch))
    weights = dict(owner.named_parameters())
    params = {name: weights[name].detach() for name in (weights if names is None else names)}
    binary = torch.tensor([kind == "binary" for kind in predictor.kinds], device=next(iter(params.values())).device)
    return ParameterView(
        params=params,
        inputs=inputs,
        predict=lambda params, x: functional_call(owner, params, (x,)),
        features=torch.no_grad()(features),
        last=torch.no_grad()(last),
        binary=binary,
        owner=owner,
    )


def count_labels(targets: Tensor) -> int:
    """Number of cells with a label."""
    return int((~torch.isnan(targets)).sum())


def loss_derivatives(outputs: Tensor, targets: Tensor, binary: Tensor) -> tuple[Tensor, Tensor]:
    """First and second derivatives of the cell losses by the outputs (b, t): 2r and 2, or p − y and p(1 − p)."""
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
    """Leave-one-out outputs (n, t) of each molecule: f + h / (1 − h) · ℓ′ / ℓ″, with h its leverage.

    Exact for squared errors of a linear model (Cook & Weisberg 1982), a Newton step elsewhere.
    """
    first, second = loss_derivatives(outputs, targets, binary)
    h = leverages.clamp(0, 1 - 1e-6)
    return outputs + torch.where(second > 0, h / (1 - h) * first / second.clamp(min=1e-12), torch.zeros_like(first))


def vjp(outputs: Tensor, leaves: Parameters, weights: Tensor | None = None, retain_graph: bool = False) -> Tensor:
    """Gradient (d,) of ⟨weights, outputs⟩ by the leaves; 0 for leaves that the outputs do not depend on."""
    gradients = torch.autograd.grad(
        outputs, list(leaves.values()), weights, retain_graph=retain_graph, materialize_grads=True
    )
    return torch.cat([piece.reshape(-1) for piece in gradients])


def require_grad(params: Parameters) -> Parameters:
    """Detached copies that require a gradient."""
    return {name: value.detach().requires_grad_(True) for name, value in params.items()}


def drop_unused_weights(view: ParameterView, inputs: Any) -> ParameterView:
    """The view without weights that no prediction depends on, such as a masked-LM head."""
    leaves = require_grad(view.params)
    gradients = torch.autograd.grad(view.predict(leaves, inputs).sum(), list(leaves.values()), allow_unused=True)
    params = {name: view.params[name] for name, piece in zip(leaves, gradients, strict=True) if piece is not None}
    return replace(view, params=params)


Batches = list[tuple[Any, Tensor]]  # inputs of a batch and its scaled targets (b, t), NaN where unmeasured
FactorBatches = list[tuple[Any, Tensor]]  # inputs of a batch and a factor of each cell's gradient (b, t), NaN: no cell


def target_gradient(
    view: ParameterView, batches: Iterable[tuple[Any, Tensor]], temperatures: Tensor | None = None
) -> Tensor:
    """Gradient (d,) of the mean loss over the measured cells of these batches.

    `temperatures` (t,): divisors of the tasks' outputs. At the best ones (`core.stats.temperature`) this is also the
    gradient of the temperature-scaled loss, because that loss is stationary in the temperatures. Raises `NotSolved`
    without any label.
    """
    total, cells = None, 0
    for inputs, targets in batches:
        leaves = require_grad(view.params)
        outputs = view.predict(leaves, inputs)
        outputs = outputs if temperatures is None else outputs / temperatures.to(outputs)
        gradient = vjp(summed_loss(outputs, targets, view.binary), leaves)
        total = gradient if total is None else total + gradient
        cells += count_labels(targets)
    if not cells:
        raise NotSolved("the target part has no measured label")
    return total / cells
