"""Directional derivatives of predictions by the weights, with one extra forward pass a batch.

slope(z) = d f(z; θ + ε s) / d ε at 0, by a finite difference. The step size is chosen so that the outputs change by a
small share of their spread. It is checked against half the step and against forward-mode differentiation on a few
molecules, and reduced where that lowers the error. No per-molecule gradient is needed, so any attention kernel works.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import jvp

from core.engine.report import SILENT_REPORT, Report
from core.influence.solvers.solution import NotSolved
from core.influence.view import Parameters, ParameterView, unflatten

Route = Literal["one-sided", "central", "forward-mode"]
# Change of the outputs by a step, relative to their standard deviation.
OUTPUT_CHANGE = {torch.float64: 1e-5, torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.1}
STEP_FACTORS = (1.0, 0.3, 0.1, 0.03, 0.01)  # a smaller step crosses fewer kinks of rectifiers
SOUGHT, ALLOWED = 0.003, 0.01  # error of the slopes over their rms: aimed at (rank correlation .9999), accepted


@dataclass(frozen=True)
class Step:
    """Size of a finite-difference step and its errors, each relative to the rms of the slopes.

    `change`: rms change of the slopes at half the step; `forward_mode` and `forward_mode_rms`: largest and rms
    difference from forward mode, None where it could not run. `error`: the larger of the two rms values.
    """

    size: float
    route: Route
    change: float = 0.0
    forward_mode: float | None = None
    forward_mode_rms: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        errors = [self.change] + ([] if self.forward_mode_rms is None else [self.forward_mode_rms])
        return max(errors) if all(map(math.isfinite, errors)) else math.inf


class DirectionalDerivative:
    """Slopes (b, t) of a view's outputs along a vector (d,) for one batch; holds one or two copies of the weights."""

    def __init__(self, view: ParameterView, vector: Tensor, size: float, route: Route) -> None:
        self.view, self.size, self.route = view, size, route
        self.direction = unflatten(vector, view.params)
        self.ahead = self._shifted_weights(size) if route != "forward-mode" else None
        self.behind = self._shifted_weights(-size) if route == "central" else None

    def _shifted_weights(self, size: float) -> Parameters:
        return {name: value + size * self.direction[name] for name, value in self.view.params.items()}

    @torch.no_grad()
    def __call__(self, inputs: Any, base: Tensor | None = None) -> Tensor:
        """Slopes (b, t) of the molecules of `inputs`; `base`: their outputs (b, t), if computed already."""
        predict, params = self.view.predict, self.view.params
        if self.route == "forward-mode":
            return jvp(lambda weights: predict(weights, inputs), (params,), (self.direction,))[1]
        if self.route == "central":
            return (predict(self.ahead, inputs) - predict(self.behind, inputs)) / (2 * self.size)
        return (predict(self.ahead, inputs) - (predict(params, inputs) if base is None else base)) / self.size


def _rms(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())


def _slopes(
    view: ParameterView,
    vector: Tensor,
    size: float,
    route: Route,
    batches: list[Any],
    bases: list[Tensor] | None = None,
) -> Tensor:
    derivative = DirectionalDerivative(view, vector, size, route)
    outputs = [None] * len(batches) if bases is None else bases
    return torch.cat([derivative(inputs, base) for inputs, base in zip(batches, outputs, strict=True)]).double()


def choose_step(view: ParameterView, vector: Tensor, pilot: list[Any], route: Route = "one-sided") -> Step:
    """Choose the step size on batches of about a hundred molecules (`pilot`).

    Smaller steps are tried until one reaches the error aimed at, or until rounding makes one worse than the last; the
    best is returned. If no one-sided step is accurate enough, central differences are tried. Forward mode is compared
    on the first batch. Raises `NotSolved` where no prediction changes along the vector.
    """
    with torch.no_grad():
        bases = [view.predict(view.params, inputs) for inputs in pilot]
    outputs = torch.cat(bases)
    spread = float(outputs.double().std(0).mean()) if len(outputs) > 1 else 0.0
    spread = max(spread, 1e-3)  # scaled labels have a standard deviation of 1
    dtype = next(iter(view.params.values())).dtype
    if route == "forward-mode":
        return Step(0.0, route)
    goal = OUTPUT_CHANGE[dtype] * spread
    length = math.sqrt(sum(float(value.double().square().sum()) for value in view.params.values()))
    size = 1e-3 * length / float(vector.norm())
    for _ in range(6):
        change = size * _rms(_slopes(view, vector, size, "one-sided", pilot, bases))
        if not math.isfinite(change):
            size *= 1e-2
            continue
        if change == 0:
            size *= 1e3
            continue
        if 0.8 < change / goal < 1.25:
            break
        size *= goal / change
    if not math.isfinite(change) or change == 0:
        raise NotSolved(
            "no prediction changes along the solved vector, so all scores would be equal; use another scope"
        )
    true, warnings = None, []
    try:
        true = _slopes(view, vector, 0.0, "forward-mode", pilot[:1])
    except torch.OutOfMemoryError:  # handled by the job, which says what to change
        raise
    except (RuntimeError, NotImplementedError) as error:
        warnings.append(f"forward mode could not run: {str(error)[:120]}")
    best = None
    for candidate in dict.fromkeys((route, "central")):
        for factor in STEP_FACTORS:
            step = _check_step(view, vector, pilot, bases, true, factor * size, candidate)
            better = best is None or step.error < best.error
            best = step if better else best
            if best.error <= SOUGHT or (not better and best.error <= ALLOWED):
                break
        if best.error <= ALLOWED:
            break
    if best.route != route:
        warnings.append(f"{route} differences had an error above {ALLOWED:.0%}; {best.route} differences were used")
    if best.error > ALLOWED:
        warnings.append(f"the slopes have an error of {best.error:.1%} (rms); the forward-mode route is exact")
    return replace(best, warnings=tuple(warnings))


def _check_step(
    view: ParameterView,
    vector: Tensor,
    pilot: list[Any],
    bases: list[Tensor],
    true: Tensor | None,
    size: float,
    route: Route,
) -> Step:
    full, half = (_slopes(view, vector, length, route, pilot, bases) for length in (size, size / 2))
    change = _rms(full - half) / max(_rms(half), 1e-300)
    if true is None:
        return Step(size, route, change)
    off, scale = full[: len(true)] - true, max(_rms(true), 1e-300)
    return Step(size, route, change, float(off.abs().max()) / scale, _rms(off) / scale)


def directional(
    view: ParameterView, vector: Tensor, batches: Iterable[Any], route: Route = "one-sided", step: Step | None = None
) -> Tensor:
    """Slopes (n, t) along `vector` (d,) of the molecules of `batches` (inputs of the view), in their order."""
    batches = list(batches)
    step = step or choose_step(view, vector, batches[:4], route)
    return _slopes(view, vector, step.size, step.route, batches)


@torch.no_grad()
def score_smiles(
    predictor: Any,
    view: ParameterView,
    derivative: DirectionalDerivative | None,
    smiles: Sequence[str],
    batch_size: int,
    keep_features: bool,
    report: Report = SILENT_REPORT,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Scaled outputs (n, t), slopes (n, t) and inputs of the last layer (n, h/2), in one pass over the molecules.

    Slopes are None without `derivative`, the inputs without `keep_features`. The outputs are computed from the
    features, so a one-sided difference costs one extra forward pass only.
    """
    n, done = len(smiles), 0
    outputs, slopes, last_layer = np.empty((n, len(view.binary))), None, None
    for rows in predictor.batches(smiles, batch_size):
        inputs = view.inputs(predictor.encode([smiles[row] for row in rows]))
        features = view.features(inputs)
        base = view.last(features)
        outputs[rows] = base.double().cpu().numpy()
        if derivative is not None:
            slopes = np.empty_like(outputs) if slopes is None else slopes
            slopes[rows] = derivative(inputs, base).double().cpu().numpy()
        if keep_features:
            last_layer = np.empty((n, features.shape[1]), np.float32) if last_layer is None else last_layer
            last_layer[rows] = features.float().cpu().numpy()
        done += len(rows)
        report(done / n, f"{done:,} of {n:,} molecules", molecules=done)
    return outputs, slopes, last_layer
