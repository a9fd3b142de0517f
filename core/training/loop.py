"""The one loop: a predictor, a training and a validation part, and settings → trained weights and their curve.

An interrupted loop resumes from its last checkpoint to the same result: batch order and dropout are drawn anew at each
evaluation from (seed, evaluation), so no generator state has to be kept, and weights, best weights and optimiser state
are written together.
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
}  # numbers a token from which bfloat16 pays on a CPU that can do this
CHECKPOINT_SECONDS = 5.0  # a checkpoint is written at the first evaluation this long after the last


def train(
    model: nn.Module,
    lengths: np.ndarray,
    lesson: TrainStep,
    evaluate: Callable[[], dict[str, float]],
    plan: Plan,
    report: Report,
    draw: DrawRows | None = None,
) -> Progress:
    """Train `model` in place and leave it with the weights of its best evaluation.

    `lengths` (n, k): tokens of each training molecule in each of its k spellings, of which every epoch draws one;
    `step`: what is learned from some of them; `evaluate()`: numbers of the validation part, of which `valid_loss`
    decides; `draw`: as many rows as there are molecules, an epoch's, by default each once. Raises `BadInput` when the
    loss is no longer finite.
    """
    moving = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    optimiser = _build_optimiser(moving, plan)
    looks, n = plan.evaluation_steps(len(lengths)), len(lengths)
    total, each = looks[-1], math.ceil(n / plan.batch_size)
    best: dict[str, Tensor] = {}
    average = {name: weight.detach().clone() for name, weight in moving.items()} if plan.ema_decay else {}
    progress = load_checkpoint(report.scratch, model, optimiser, moving, best, average)
    saved = began = time.monotonic() - progress.seconds
    passes = StepRunner(lesson, moving.values(), plan.precision)
    while progress.evaluations_done < len(looks) and not (plan.patience and progress.since_best >= plan.patience):
        start = looks[progress.evaluations_done - 1] if progress.evaluations_done else 0
        torch.manual_seed(_mix_seed(plan.seed, progress.evaluations_done))
        model.train()
        losses = []
        for step, rows, spellings in _iterate_batches(lengths, plan, start, looks[progress.evaluations_done], draw):
            rate = plan.learning_rate * _rate_factor(step, total, plan.warmup)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["scale"] if step >= group["begins"] * total else 0.0
            losses.append(passes(lesson.build_batch(rows, spellings, step)))
            torch.nn.utils.clip_grad_norm_(moving.values(), plan.clip, foreach=True)
            optimiser.step()
            passes.clear()
            _update_average(average, moving, plan.ema_decay, step)
            report(
                (step + 1) / total, f"training, step {step + 1:,} of {total:,}", step=step + 1, epoch=(step + 1) / each
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
        point = {"step": step + 1, "epoch": (step + 1) / each, "seconds": progress.seconds, "learning_rate": rate}
        progress.curve.append(point | numbers)
        if report.scratch and time.monotonic() - saved >= CHECKPOINT_SECONDS and progress.evaluations_done < len(looks):
            save_checkpoint(report.scratch, model, optimiser, moving, best, average, progress)
            saved = time.monotonic()
        report((step + 1) / total, f"evaluation {progress.evaluations_done} of {len(looks)}", **point, **numbers)
    passes.end()
    if passes.refusal:
        progress.warnings.append(f"its steps could not be recorded and replayed, so they took longer: {passes.refusal}")
    if not best:
        raise BadInput("no evaluation gave a finite validation loss; lower `learning_rate`")
    model.load_state_dict(best, strict=False)
    model.eval()
    return progress


@torch.no_grad()
def _update_average(average: dict[str, Tensor], moving: dict[str, nn.Parameter], decay: float, step: int) -> None:
    """Move the running mean towards the weights: by a tenth of its age at first, by 1 − `decay` later.

    Polyak & Juditsky 1992 (doi:10.1137/0330046), with the decay that Tarvainen & Valpola 2017 (arXiv 1703.01780) use.
    """
    if average:
        share = 1 - min(decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.values()), [moving[name].data for name in average], share)


@torch.no_grad()
def _swap_weights(average: dict[str, Tensor], moving: dict[str, nn.Parameter]) -> None:
    """Put the running mean in the place of the weights, or back."""
    for name, mean in average.items():
        weight = moving[name].detach().clone()
        moving[name].copy_(mean)
        mean.copy_(weight)


def _build_optimiser(moving: dict[str, nn.Parameter], plan: Plan) -> torch.optim.Optimizer:
    """AdamW; biases and layer norms are not decayed."""
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


def _rate_factor(step: int, total: int, warm_up: float) -> float:
    """Share of the full learning rate: up over the warm-up, then down in a line to a hundredth."""
    first = max(1, round(total * warm_up))
    return (step + 1) / first if step < first else max(0.01, 1 - (step - first) / max(1, total - first))


def _mix_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _iterate_batches(
    lengths: np.ndarray, plan: Plan, start: int, stop: int, draw: DrawRows | None = None
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Row numbers and spellings of the steps `start` … `stop`: shuffled, then of about equal length within a batch.

    32 batches are sorted at a time: of 8, a batch of 64 molecules of Lipophilicity is 29 % padding, of 32 7 %.
    """
    n, kinds = lengths.shape
    each = math.ceil(n / plan.batch_size)
    for epoch in range(start // each, (stop - 1) // each + 1):
        generator = np.random.default_rng([plan.seed, epoch, 1])
        order = generator.permutation(n) if draw is None else draw(generator)
        spellings = generator.integers(kinds, size=n)
        tokens = lengths[np.arange(n), spellings]
        if window := plan.sorted_batches * plan.batch_size:
            order = np.concatenate(
                [part[np.argsort(tokens[part], kind="stable")] for part in np.split(order, range(window, n, window))]
            )
        batches = np.split(order, range(plan.batch_size, n, plan.batch_size))
        for place, batch in enumerate(generator.permutation(len(batches))):
            if start <= epoch * each + place < stop:
                yield epoch * each + place, batches[batch], spellings[batches[batch]]


def resolve_precision(precision: str, device: torch.device | str, width: int) -> str:
    """What "auto" stands for, `width` being the numbers a backbone keeps of a token.

    bfloat16 where a device multiplies matrices in it (CUDA, CPUs with AMX or AVX-512 BF16), else float32. Other CPUs
    imitate it, more slowly than float32, and these spend more on converting small matrices than they save.
    """
    if precision != "auto":
        return precision
    kind = torch.device(device).type
    able = torch.cpu.get_capabilities() if kind == "cpu" else {}
    pays = any(able.get(name) and width >= wide for name, wide in BFLOAT16_WIDTHS.items())
    return "bfloat16" if kind == "cuda" or pays else "float32"


def count_parameters(model: nn.Module) -> dict[str, Any]:
    """Parameters of a model: in all, and those that move; and the bytes of the latter, to be kept beside the rest."""
    total = sum(weight.numel() for weight in model.parameters())
    moving = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters() if weight.requires_grad)
    return {"parameters": total, "trainable": moving, "trainable_share": moving / total, "trainable_bytes": size}
