"""The training loop, shared by fine-tuning, multitask training, adaptation and pre-training.

An interrupted loop resumes from its last checkpoint to the same result: after each evaluation the generators of batch
order and dropout are seeded from (seed, evaluation), so their state need not be saved.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.engine.report import Report
from core.engine.spec import BadInput
from core.training.checkpoints import Progress, copy_state, load_checkpoint, save_checkpoint
from core.training.cuda_graphs import StepRunner, TrainStep
from core.training.optimisation import Plan

DrawRows = Callable[[np.random.Generator], np.ndarray]
BFLOAT16_WIDTHS = {
    "amx_bf16": 256,
    "avx512_bf16": 512,
}  # backbone width from which bfloat16 is faster, by CPU capability
CHECKPOINT_SECONDS = 5.0  # shortest time between two checkpoints, which are written after evaluations


def train(
    model: nn.Module,
    lengths: np.ndarray,
    train_step: TrainStep,
    evaluate: Callable[[], dict[str, float]],
    plan: Plan,
    report: Report,
    draw: DrawRows | None = None,
) -> Progress:
    """Train `model` in place; it ends with the weights of its best evaluation.

    `lengths` (n, k): number of tokens of each training molecule in each of its k SMILES variants; every epoch uses a
    random one. `train_step`: batch and loss of some rows. `evaluate()`: metrics of the validation part; the lowest
    `valid_loss` is the best. `draw`: the n rows of an epoch, by default each once in random order. Raises `BadInput`
    when the loss is no longer finite.
    """
    moving = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimiser = _build_optimiser(moving, plan)
    evaluation_steps, n = plan.evaluation_steps(len(lengths)), len(lengths)
    total, steps_per_epoch = evaluation_steps[-1], math.ceil(n / plan.batch_size)
    best: dict[str, Tensor] = {}
    average = {name: weight.detach().clone() for name, weight in moving.items()} if plan.ema_decay else {}
    progress = load_checkpoint(report.scratch, model, optimiser, moving, best, average)
    saved = began = time.monotonic() - progress.seconds
    runner = StepRunner(train_step, moving.values(), plan.precision)
    while progress.evaluations_done < len(evaluation_steps) and not (
        plan.patience and progress.since_best >= plan.patience
    ):
        start = evaluation_steps[progress.evaluations_done - 1] if progress.evaluations_done else 0
        torch.manual_seed(_mix_seed(plan.seed, progress.evaluations_done))
        model.train()
        losses = []
        for step, rows, variant_index in _iterate_batches(
            lengths, plan, start, evaluation_steps[progress.evaluations_done], draw
        ):
            rate = plan.learning_rate * _rate_factor(step, total, plan.warmup)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["scale"] if step >= group["begins"] * total else 0.0
            losses.append(runner(train_step.build_batch(rows, variant_index, step)))
            torch.nn.utils.clip_grad_norm_(moving.values(), plan.clip, foreach=True)
            optimiser.step()
            runner.clear()
            _update_average(average, moving, plan.ema_decay, step)
            report(
                (step + 1) / total,
                f"training, step {step + 1:,} of {total:,}",
                step=step + 1,
                epoch=(step + 1) / steps_per_epoch,
            )
        train_loss = torch.stack(losses).float().mean().item()
        if not math.isfinite(train_loss):
            raise BadInput(
                f"the training loss became {train_loss} at step {step + 1}; "
                f"lower `learning_rate` (it is {plan.learning_rate:g}) or the gradient `clip` (it is {plan.clip:g})"
            )
        model.eval()
        _swap_weights(average, moving)
        numbers = {"train_loss": train_loss, **evaluate()}
        progress.evaluations_done += 1
        progress.since_best += 1
        if numbers["valid_loss"] < progress.best:
            progress.best, progress.best_evaluation, progress.since_best = (
                numbers["valid_loss"],
                progress.evaluations_done,
                0,
            )
            best.update(copy_state(model, moving))
        _swap_weights(average, moving)
        progress.seconds = time.monotonic() - began
        point = {
            "step": step + 1,
            "epoch": (step + 1) / steps_per_epoch,
            "seconds": progress.seconds,
            "learning_rate": rate,
        }
        progress.curve.append(point | numbers)
        if (
            report.scratch
            and time.monotonic() - saved >= CHECKPOINT_SECONDS
            and progress.evaluations_done < len(evaluation_steps)
        ):
            save_checkpoint(report.scratch, model, optimiser, moving, best, average, progress)
            saved = time.monotonic()
        report(
            (step + 1) / total, f"evaluation {progress.evaluations_done} of {len(evaluation_steps)}", **point, **numbers
        )
    runner.end()
    if runner.refusal:
        progress.warnings.append(f"steps could not be captured as CUDA graphs, so they took longer: {runner.refusal}")
    if not best:
        raise BadInput("no evaluation gave a finite validation loss; lower `learning_rate`")
    model.load_state_dict(best, strict=False)
    model.eval()
    return progress


@torch.no_grad()
def _update_average(average: dict[str, Tensor], moving: dict[str, nn.Parameter], decay: float, step: int) -> None:
    """Update the exponential moving average of the weights, with decay min(`decay`, (step + 1) / (step + 10)).

    Polyak & Juditsky 1992 (doi:10.1137/0330046), with the decay of Tarvainen & Valpola 2017 (arXiv 1703.01780).
    """
    if average:
        share = 1 - min(decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.values()), [moving[name].data for name in average], share)


@torch.no_grad()
def _swap_weights(average: dict[str, Tensor], moving: dict[str, nn.Parameter]) -> None:
    """Exchange weights and moving average."""
    for name, mean in average.items():
        weight = moving[name].detach().clone()
        moving[name].copy_(mean)
        mean.copy_(weight)


def _build_optimiser(moving: dict[str, nn.Parameter], plan: Plan) -> torch.optim.Optimizer:
    """AdamW without weight decay of biases and layer norms."""
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, weight in moving.items():
        scale = next((factor for start, factor in plan.rate_factors if name.startswith(start)), 1.0)
        begins = next((share for start, share in plan.start_shares if name.startswith(start)), 0.0)
        groups.setdefault((scale, begins, weight.ndim >= 2), []).append(weight)
    settings = [
        {"params": weights, "scale": scale, "begins": begins, "weight_decay": plan.weight_decay if deep else 0.0}
        for (scale, begins, deep), weights in groups.items()
    ]
    return torch.optim.AdamW(settings, lr=plan.learning_rate, fused=True)


def _rate_factor(step: int, total: int, warmup: float) -> float:
    """Factor of the learning rate: linear warm-up, then linear decay to 0.01."""
    first = max(1, round(total * warmup))
    return (step + 1) / first if step < first else max(0.01, 1 - (step - first) / max(1, total - first))


def _mix_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _iterate_batches(
    lengths: np.ndarray, plan: Plan, start: int, stop: int, draw: DrawRows | None = None
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """(step, rows, variant index of each row) of the steps `start` … `stop` − 1: shuffled batches of similar lengths.

    `plan.sorted_batches` batches are sorted by length at a time. Of 64 molecules of Lipophilicity, 29 % of a batch is
    padding when 8 are sorted, 7 % when 32 are.
    """
    n, variants = lengths.shape
    steps_per_epoch = math.ceil(n / plan.batch_size)
    for epoch in range(start // steps_per_epoch, (stop - 1) // steps_per_epoch + 1):
        generator = np.random.default_rng([plan.seed, epoch, 1])
        order = generator.permutation(n) if draw is None else draw(generator)
        variant_index = generator.integers(variants, size=n)
        tokens = lengths[np.arange(n), variant_index]
        if window := plan.sorted_batches * plan.batch_size:
            order = np.concatenate(
                [part[np.argsort(tokens[part], kind="stable")] for part in np.split(order, range(window, n, window))]
            )
        batches = np.split(order, range(plan.batch_size, n, plan.batch_size))
        for index, batch in enumerate(generator.permutation(len(batches))):
            if start <= epoch * steps_per_epoch + index < stop:
                yield epoch * steps_per_epoch + index, batches[batch], variant_index[batches[batch]]


def resolve_precision(precision: str, device: torch.device | str, width: int) -> str:
    """The data type for "auto", for a backbone of this `width`; other values are returned unchanged.

    bfloat16 on CUDA and, for wide backbones, on CPUs that multiply in it (AMX, AVX-512 BF16); else float32. Other CPUs
    emulate it more slowly than float32, and for small matrices conversion costs more than it saves.
    """
    if precision != "auto":
        return precision
    kind = torch.device(device).type
    capabilities = torch.cpu.get_capabilities() if kind == "cpu" else {}
    is_faster = any(capabilities.get(name) and width >= wide for name, wide in BFLOAT16_WIDTHS.items())
    return "bfloat16" if kind == "cuda" or is_faster else "float32"


def count_parameters(model: nn.Module) -> dict[str, Any]:
    """Number of parameters of a model, of trainable ones, their share, and the bytes of the trainable ones."""
    total = sum(weight.numel() for weight in model.parameters())
    moving = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters() if weight.requires_grad)
    return {"parameters": total, "trainable": moving, "trainable_share": moving / total, "trainable_bytes": size}
