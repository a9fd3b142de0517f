"""Benchmarks: each figure is a ratio between two things measured in the same run, so that the machine cancels out."""

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

REPEATS = 7


def seconds_now() -> float:
    """Seconds of an accelerator that has done what it was given; without one the processor's own, for this program.

    So what else runs on a shared machine slows no figure, and a long way no more than a short one.
    """
    import torch

    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def print_dot() -> None:
    """A sign of life."""
    print(".", end="", file=sys.stderr, flush=True)


def time_ratios(
    base: Callable[[], Any],
    others: dict[str, Callable[[], Any]],
    told: dict[str, Callable[[], float]] | None = None,
    repeats: int = REPEATS,
) -> dict[str, float]:
    """Median seconds of each over those of `base`, measured in turn so that a slow minute slows all of them.

    Each round has an order of its own: what comes after a hungry one finds the caches cold. `told`: ways that give
    seconds of their own, where not all of a call counts.
    """

    def timed(way: Callable[[], Any]) -> float:
        began = seconds_now()
        way()
        return seconds_now() - began

    clocks = {name: lambda way=way: timed(way) for name, way in {"base": base, **others}.items()} | (told or {})
    for clock in clocks.values():
        clock()
    seconds: dict[str, list[float]] = {name: [] for name in clocks}
    names, order = list(clocks), random.Random(0)
    for _ in range(repeats):
        order.shuffle(names)
        for name in names:
            seconds[name].append(clocks[name]())
        print_dot()
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    return {name: round(middle[name] / middle["base"], 3) for name in clocks if name != "base"}


def time_in_turn(ways: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median of the seconds that each way gives, measured in turn so that a slow minute slows all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seconds[name].append(way())
            print_dot()
    return {name: statistics.median(values) for name, values in seconds.items()}


def drug_molecules(count: int) -> list[str]:
    """Drug molecules of about equal length, that come with the installation."""
    from core.engine.report import SILENT_REPORT
    from core.experiments import Load

    smiles = [one for one in Load("bundled:drugs").make(SILENT_REPORT).smiles if 25 <= len(one) <= 60]
    return smiles[:count]


def time_curvature_products() -> dict[str, float]:
    """Gradients that a product with each curvature takes, `molsway-mini`, 64 molecules."""
    import torch

    from core.influence.curvature import Curvature
    from core.influence.view import drop_unused_weights, parameter_view, target_gradient
    from core.models.backbones import Untrained
    from core.models.devices import best_device
    from core.models.predictor import Predictor

    predictor = Predictor(Untrained("molsway-mini")(), ["y"], ["regression"]).to(best_device())
    smiles = drug_molecules(64)
    seen = parameter_view(predictor, "all")
    inputs = seen.inputs(predictor.encode(smiles))
    seen = drop_unused_weights(seen, inputs)
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(len(smiles), 1, generator=generator).to(predictor.device)
    vector = torch.randn(seen.d, generator=generator).to(predictor.device)
    vector /= vector.norm()
    gauss_newton, hessian = (Curvature(seen, [(inputs, targets)], 1.0, form) for form in ("gauss-newton", "hessian"))
    return time_ratios(
        lambda: target_gradient(seen, [(inputs, targets)]),
        {"gauss-newton": lambda: gauss_newton @ vector, "hessian": lambda: hessian @ vector},
    )


def time_training_steps() -> dict[str, float]:
    """Forward passes that a training step of each method takes (the floor of all weights is three), `molsway-mini`."""
    import torch

    from core.models.backbones import Untrained
    from core.models.devices import best_device
    from core.models.methods import METHODS
    from core.models.predictor import Predictor

    smiles = drug_molecules(64)
    found = {}
    for kind, method in METHODS.items():
        predictor = Predictor(Untrained("molsway-mini")(), ["y"], ["regression"]).to(best_device())
        method()(predictor)
        moving = [weight for weight in predictor.parameters() if weight.requires_grad]
        optimiser = torch.optim.AdamW(moving, lr=1e-6, fused=True)
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

        found[kind] = time_ratios(forward, {"step": step})["step"]
    return found
