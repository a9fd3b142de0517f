"""Change of predictions along a direction of the weights, by one extra forward pass a batch.

slope(z) = d f(z; θ + ε s) / d ε at 0, by a finite difference. The step is set by what it does: it moves the outputs
by a small share of their spread. It is checked at half the step and against forward-mode differentiation on a few
molecules. No gradient of a single molecule is ever taken, so any attention kernel will do.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import jvp

from core.influence import Parameters, View, unflatten
from core.report import SILENT, Report
from core.solvers.solution import NotSolved

Route = Literal["one-sided", "central", "forward-mode"]
MOVES = {
    torch.float64: 1e-5,
    torch.float32: 3e-3,
    torch.bfloat16: 0.1,
    torch.float16: 0.1,
}  # share of the outputs' spread
ALLOWED = 0.01  # relative change of the slopes between a step and its half
CHECKED = 32  # molecules compared with forward mode


@dataclass(frozen=True)
class Step:
    """The step and what the checks said. `change`: relative change of the slopes at half the step (rms);
    `forward_mode`: largest difference from forward mode over the slopes' rms, None where that could not run."""

    size: float
    route: Route
    change: float = 0.0
    forward_mode: float | None = None
    warnings: tuple[str, ...] = ()


class Slopes:
    """Slopes (b, t) of a view's outputs along a vector (d,), a batch at a time; holds a copy or two of the weights."""

    def __init__(self, seen: View, vector: Tensor, size: float, route: Route) -> None:
        self.seen, self.size, self.route = seen, size, route
        self.direction = unflatten(vector, seen.params)
        self.ahead = self._moved(size) if route != "forward-mode" else None
        self.behind = self._moved(-size) if route == "central" else None

    def _moved(self, size: float) -> Parameters:
        return {name: value + size * self.direction[name] for name, value in self.seen.params.items()}

    @torch.no_grad()
    def __call__(self, inputs: Any, base: Tensor | None = None) -> Tensor:
        """`base`: the outputs at the weights themselves, where they are known already."""
        predict, params = self.seen.predict, self.seen.params
        if self.route == "forward-mode":
            return jvp(lambda given: predict(given, inputs), (params,), (self.direction,))[1]
        if self.route == "central":
            return (predict(self.ahead, inputs) - predict(self.behind, inputs)) / (2 * self.size)
        return (predict(self.ahead, inputs) - (predict(params, inputs) if base is None else base)) / self.size


def _rms(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())


def _slopes(seen: View, vector: Tensor, size: float, route: Route, pilot: list[Any]) -> Tensor:
    slopes = Slopes(seen, vector, size, route)
    return torch.cat([slopes(inputs) for inputs in pilot]).double()


def choose_step(seen: View, vector: Tensor, pilot: list[Any], route: Route = "one-sided") -> Step:
    """The step by its rule, on a pilot of about a hundred molecules, with its checks. Raises `NotSolved`."""
    with torch.no_grad():
        outputs = torch.cat([seen.predict(seen.params, inputs) for inputs in pilot])
    spread = max(
        float(outputs.double().std(0).mean()) if len(outputs) > 1 else 0.0, 1e-3
    )  # scaled labels have spread 1
    dtype = next(iter(seen.params.values())).dtype
    if route == "forward-mode":
        return Step(0.0, route)
    goal = MOVES[dtype] * spread
    size = (
        1e-3 * math.sqrt(sum(_rms(value) ** 2 * value.numel() for value in seen.params.values())) / float(vector.norm())
    )
    for _ in range(6):
        moved = size * _rms(_slopes(seen, vector, size, "one-sided", pilot))
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
    tried = []
    for way in dict.fromkeys((route, "central")):
        for factor in (1.0, 0.3, 3.0):
            whole = _slopes(seen, vector, factor * size, way, pilot)
            half = _slopes(seen, vector, factor * size / 2, way, pilot)
            change = _rms(whole - half) / max(_rms(half), 1e-300)
            tried.append((change, factor * size, way))
            if change <= ALLOWED:
                break
        if tried[-1][0] <= ALLOWED:
            break
    change, size, way = min(tried)
    warnings = []
    if way != route:
        warnings.append(
            f"{route} differences changed by more than {ALLOWED:.0%} at half the step; {way} ones were used"
        )
    if change > ALLOWED:
        warnings.append(f"the slopes change by {change:.1%} when the step is halved; use the forward-mode route")
    return _against_forward_mode(seen, vector, pilot, Step(size, way, change, None, tuple(warnings)))


def _against_forward_mode(seen: View, vector: Tensor, pilot: list[Any], step: Step) -> Step:
    found, count = [], 0
    for inputs in pilot:
        found.append(inputs)
        with torch.no_grad():
            count += len(seen.predict(seen.params, inputs))
        if count >= CHECKED:
            break
    near = _slopes(seen, vector, step.size, step.route, found)[:CHECKED]
    try:
        true = _slopes(seen, vector, 0.0, "forward-mode", found)[:CHECKED]
    except (RuntimeError, NotImplementedError) as error:
        why = str(error).splitlines()[0][:120]
        return Step(step.size, step.route, step.change, None, (*step.warnings, f"forward mode could not run: {why}"))
    worst = float((near - true).abs().max()) / max(_rms(true), 1e-300)
    warnings = step.warnings
    if worst > 0.05:
        warnings = (*warnings, f"finite differences are off by up to {worst:.1%} of the slopes' rms from forward mode")
    return Step(step.size, step.route, step.change, worst, warnings)


def directional(
    seen: View, vector: Tensor, batches: Iterable[Any], route: Route = "one-sided", step: Step | None = None
) -> Tensor:
    """Slopes (n, t) along `vector` (d,) of the molecules of `batches` (inputs of the view), in their order."""
    batches = list(batches)
    step = step or choose_step(seen, vector, batches[:4], route)
    return _slopes(seen, vector, step.size, step.route, batches)


@torch.no_grad()
def swept(
    predictor: Any,
    seen: View,
    slopes: Slopes | None,
    smiles: Sequence[str],
    size: int,
    keep_features: bool,
    report: Report = SILENT,
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
