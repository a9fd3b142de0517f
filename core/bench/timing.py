"""Timing for benchmarks: ratios of two measurements in the same run, so that the machine cancels out."""

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

REPEATS = 7


def seconds_now() -> float:
    """Wall-clock seconds after the accelerator has finished its work; without one the CPU-seconds of this process.

    CPU-seconds exclude what other programs on a shared machine do.
    """
    import torch

    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def print_dot() -> None:
    """Print a dot to stderr as a sign of progress."""
    print(".", end="", file=sys.stderr, flush=True)


def time_ratios(
    base: Callable[[], Any],
    others: dict[str, Callable[[], Any]],
    own_clocks: dict[str, Callable[[], float]] | None = None,
    repeats: int = REPEATS,
) -> dict[str, float]:
    """Median seconds of each function over those of `base`, measured in turn, so that a slow minute affects all.

    The order is shuffled in each round, because a function may leave the caches cold for the next. `own_clocks`:
    functions that return their seconds, where only part of a call counts.
    """

    def timed(work: Callable[[], Any]) -> float:
        began = seconds_now()
        work()
        return seconds_now() - began

    clocks = {name: lambda way=way: timed(way) for name, way in {"base": base, **others}.items()} | (own_clocks or {})
    for clock in clocks.values():
        clock()
    seconds: dict[str, list[float]] = {name: [] for name in clocks}
    names, order = list(clocks), random.Random(0)
    for _ in range(repeats):
        order.shuffle(names)
        for name in names:
            seconds[name].append(clocks[name]())
        print_dot()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {name: round(medians[name] / medians["base"], 3) for name in clocks if name != "base"}


def time_in_turn(ways: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median of the seconds that each function returns, called in turn, so that a slow minute affects all."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seconds[name].append(way())
            print_dot()
    return {name: statistics.median(values) for name, values in seconds.items()}


def drug_molecules(count: int) -> list[str]:
    """Bundled drug molecules of similar length."""
    from core.engine.report import SILENT_REPORT
    from core.experiments import Load

    smiles = [one for one in Load("bundled:drugs").make(SILENT_REPORT).smiles if 25 <= len(one) <= 60]
    return smiles[:count]


def time_curvature_products() -> dict[str, float]:
    """Time of a product with each curvature over that of a gradient: `molsway-mini`, 64 molecules."""
    import torch

    from core.influence.curvature import Curvature
    from core.influence.view import drop_unused_weights, parameter_view, target_gradient
    from core.models.backbones import Untrained
    from core.models.devices import best_device
    from core.models.predictor import Predictor

    predictor = Predictor(Untrained("molsway-mini")(), ["y"], ["regression"]).to(best_device())
    smiles = drug_molecules(64)
    view = parameter_view(predictor, "all")
    inputs = view.inputs(predictor.encode(smiles))
    view = drop_unused_weights(view, inputs)
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(len(smiles), 1, generator=generator).to(predictor.device)
    vector = torch.randn(view.d, generator=generator).to(predictor.device)
    vector /= vector.norm()
    gauss_newton, hessian = (Curvature(view, [(inputs, targets)], 1.0, form) for form in ("gauss-newton", "hessian"))
    return time_ratios(
        lambda: target_gradient(view, [(inputs, targets)]),
        {"gauss-newton": lambda: gauss_newton @ vector, "hessian": lambda: hessian @ vector},
    )


def time_training_steps() -> dict[str, float]:
    """Time of a training step of each method over that of a forward pass (lower bound for all weights: 3)."""
    import torch

    from core.models.backbones import Untrained
    from core.models.devices import best_device
    from core.models.methods import METHODS
    from core.models.predictor import Predictor

    smiles = drug_molecules(64)
    ratios = {}
    for kind, method in METHODS.items():
        predictor = Predictor(Untrained("molsway-mini")(), ["y"], ["regression"]).to(best_device())
        method()(predictor)
        trainable = [weight for weight in predictor.parameters() if weight.requires_grad]
        optimiser = torch.optim.AdamW(trainable, lr=1e-6, fused=True)
        batch, targets = predictor.encode(smiles), torch.zeros(len(smiles), 1, device=predictor.device)

        @torch.no_grad()
        def forward(predictor: Predictor = predictor, batch: dict = batch) -> None:
            predictor(batch)

        def step(
            predictor: Predictor = predictor, batch: dict = batch, targets: Any = targets, optimiser: Any = optimiser
        ) -> None:
            predictor.train()
            predictor.loss(predictor(batch), targets).backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            predictor.eval()

        ratios[kind] = time_ratios(forward, {"step": step})["step"]
    return ratios
