"""Change of predictions along a direction of the weights, by one extra forward pass a batch.

slope(z) = d f(z; θ + ε s) / d ε at 0, by a finite difference. The step is set by what it does: it moves the outputs
by a small share of their spread. It is checked at half the step and against forward-mode differentiation on a few
molecules, and made smaller where that helps. No gradient of a single molecule is ever taken, so any attention kernel
will do.
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
OUTPUT_CHANGE = {
    torch.float64: 1e-5,
    torch.float32: 1e-3,
    torch.bfloat16: 0.1,
    torch.float16: 0.1,
}  # of the outputs' spread
STEP_FACTORS = (1.0, 0.3, 0.1, 0.03, 0.01)  # rectifiers have kinks, which a smaller step meets less often
SOUGHT, ALLOWED = 0.003, 0.01  # error of the slopes over their rms: keeps ranks to .9999, and is put up with


@dataclass(frozen=True)
class Step:
    """The step and what the checks said, each over the rms of the slopes.

    `change`: rms change of the slopes at half the step; `forward_mode` and `forward_mode_rms`: largest and rms
    difference from forward mode, None where that could not run. `error`: the worse of the two rms checks.
    """

    size: float
    route: Route
    change: float = 0.0
    forward_mode: float | None = None
    forward_mode_rms: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        found = [self.change] + ([] if self.forward_mode_rms is None else [self.forward_mode_rms])
        return max(found) if all(map(math.isfinite, found)) else math.inf


class DirectionalDerivative:
    """Slopes (b, t) of a view's outputs along a vector (d,), a batch at a time; holds a copy or two of the weights."""

    def __init__(self, seen: ParameterView, vector: Tensor, size: float, route: Route) -> None:
        self.view, self.size, self.route = seen, size, route
        self.direction = unflatten(vector, seen.params)
        self.ahead = self._shifted_weights(size) if route != "forward-mode" else None
        self.behind = self._shifted_weights(-size) if route == "central" else None

    def _shifted_weights(self, size: float) -> Parameters:
        return {name: value + size * self.direction[name] for name, value in self.view.params.items()}

    @torch.no_grad()
    def __call__(self, inputs: Any, base: Tensor | None = None) -> Tensor:
        """`base`: the outputs at the weights themselves, where they are known already."""
        predict, params = self.view.predict, self.view.params
        if self.route == "forward-mode":
            return jvp(lambda given: predict(given, inputs), (params,), (self.direction,))[1]
        if self.route == "central":
            return (predict(self.ahead, inputs) - predict(self.behind, inputs)) / (2 * self.size)
        return (predict(self.ahead, inputs) - (predict(params, inputs) if base is None else base)) / self.size


def _rms(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())


def _slopes(
    seen: ParameterView,
    vector: Tensor,
    size: float,
    route: Route,
    batches: list[Any],
    bases: list[Tensor] | None = None,
) -> Tensor:
    slopes = DirectionalDerivative(seen, vector, size, route)
    known = [None] * len(batches) if bases is None else bases
    return torch.cat([slopes(inputs, base) for inputs, base in zip(batches, known, strict=True)]).double()


def choose_step(seen: ParameterView, vector: Tensor, pilot: list[Any], route: Route = "one-sided") -> Step:
    """The step by its rule, on a pilot of about a hundred molecules. Raises `NotSolved`.

    Ever smaller steps are tried, until one is as exact as is sought or rounding makes it worse than the one before;
    the best is taken. Where no one-sided one can be put up with, central ones are tried. The first batch of the pilot
    is what is compared with forward mode.
    """
    with torch.no_grad():
        bases = [seen.predict(seen.params, inputs) for inputs in pilot]
    outputs = torch.cat(bases)
    spread = float(outputs.double().std(0).mean()) if len(outputs) > 1 else 0.0
    spread = max(spread, 1e-3)  # scaled labels have spread 1
    dtype = next(iter(seen.params.values())).dtype
    if route == "forward-mode":
        return Step(0.0, route)
    goal = OUTPUT_CHANGE[dtype] * spread
    length = math.sqrt(sum(float(value.double().square().sum()) for value in seen.params.values()))
    size = 1e-3 * length / float(vector.norm())
    for _ in range(6):
        moved = size * _rms(_slopes(seen, vector, size, "one-sided", pilot, bases))
        if not math.isfinite(moved):
            size *= 1e-2
            continue
        if moved == 0:
            size *= 1e3
            continue
        if 0.8 < moved / goal < 1.25:
            break
        size *= goal / moved
    if not math.isfinite(moved) or moved == 0:
        raise NotSolved(
            "no prediction changes along the solved vector, every score would be the same; use another scope"
        )
    true, warnings = None, []
    try:
        true = _slopes(seen, vector, 0.0, "forward-mode", pilot[:1])
    except torch.OutOfMemoryError:  # the job's end says what to change
        raise
    except (RuntimeError, NotImplementedError) as error:
        warnings.append(f"forward mode could not run: {str(error)[:120]}")
    best = None
    for way in dict.fromkeys((route, "central")):
        for factor in STEP_FACTORS:
            step = _checked(seen, vector, pilot, bases, true, factor * size, way)
            better = best is None or step.error < best.error
            best = step if better else best
            if best.error <= SOUGHT or (not better and best.error <= ALLOWED):
                break
        if best.error <= ALLOWED:
            break
    if best.route != route:
        warnings.append(f"{route} differences were off by more than {ALLOWED:.0%}; {best.route} ones were used")
    if best.error > ALLOWED:
        warnings.append(f"the slopes are uncertain by {best.error:.1%} (rms); the forward-mode route is exact")
    return replace(best, warnings=tuple(warnings))


def _checked(
    seen: ParameterView,
    vector: Tensor,
    pilot: list[Any],
    bases: list[Tensor],
    true: Tensor | None,
    size: float,
    route: Route,
) -> Step:
    whole, half = (_slopes(seen, vector, each, route, pilot, bases) for each in (size, size / 2))
    change = _rms(whole - half) / max(_rms(half), 1e-300)
    if true is None:
        return Step(size, route, change)
    off, scale = whole[: len(true)] - true, max(_rms(true), 1e-300)
    return Step(size, route, change, float(off.abs().max()) / scale, _rms(off) / scale)


def directional(
    seen: ParameterView, vector: Tensor, batches: Iterable[Any], route: Route = "one-sided", step: Step | None = None
) -> Tensor:
    """Slopes (n, t) along `vector` (d,) of the molecules of `batches` (inputs of the view), in their order."""
    batches = list(batches)
    step = step or choose_step(seen, vector, batches[:4], route)
    return _slopes(seen, vector, step.size, step.route, batches)


@torch.no_grad()
def score_smiles(
    predictor: Any,
    seen: ParameterView,
    slopes: DirectionalDerivative | None,
    smiles: Sequence[str],
    size: int,
    keep_features: bool,
    report: Report = SILENT_REPORT,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Scaled outputs (n, t), slopes (n, t) and what enters the last layer (n, h/2), in one sweep over molecules.

    The outputs come out of the features, so a one-sided difference costs one further forward pass and no more.
    """
    n, done = len(smiles), 0
    outputs, moved, kept = np.empty((n, len(seen.binary))), None, None
    for rows in predictor.batches(smiles, size):
        inputs = seen.inputs(predictor.encode([smiles[row] for row in rows]))
        features = seen.features(inputs)
        base = seen.last(features)
        outputs[rows] = base.double().cpu().numpy()
        if slopes is not None:
            moved = np.empty_like(outputs) if moved is None else moved
            moved[rows] = slopes(inputs, base).double().cpu().numpy()
        if keep_features:
            kept = np.empty((n, features.shape[1]), np.float32) if kept is None else kept
            kept[rows] = features.float().cpu().numpy()
        done += len(rows)
        report(done / n, f"{done:,} of {n:,} molecules", molecules=done)
    return outputs, moved, kept
