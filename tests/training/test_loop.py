"""The training loop: learning, stopping, resuming to equal results, errors."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core.engine.report import SILENT_REPORT, Cancelled, Report
from core.engine.spec import BadInput
from core.training import loop as training
from core.training.cuda_graphs import TrainStep
from core.training.loop import train
from core.training.optimisation import Plan

PLAN = Plan(
    epochs=6, steps=None, evaluations=5, batch_size=8, learning_rate=0.01, weight_decay=0.01, warmup=0.1,
    clip=1.0, patience=0, precision="float32", seed=3,
)  # fmt: skip


class Toy:
    """A small net with dropout on 37 rows, so that batch order and random state matter."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(37, 4, generator=generator)
        self.y = self.x.sum(1, keepdim=True) + 0.1 * torch.randn(37, 1, generator=generator)
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))
        self.lengths = np.stack([np.arange(37) % 7, np.arange(37) % 5], 1)

    @property
    def step(self) -> TrainStep:
        return TrainStep(
            lambda rows, variant_index, step: {"x": self.x[rows], "y": self.y[rows]},
            lambda batch: ((self.net(batch["x"]) - batch["y"]) ** 2).mean(),
            is_steady=True,
        )

    def evaluate(self) -> dict[str, float]:
        with torch.no_grad():
            return {"valid_loss": float(((self.net(self.x) - self.y) ** 2).mean())}

    def run(self, plan: Plan = PLAN, report: Report = SILENT_REPORT) -> training.Progress:
        return train(self.net, self.lengths, self.step, self.evaluate, plan, report)


def test_training_keeps_the_best_weights() -> None:
    toy = Toy()
    before = toy.evaluate()["valid_loss"]
    progress = toy.run(replace(PLAN, epochs=30))
    losses = [point["valid_loss"] for point in progress.curve]
    assert progress.best == min(losses) < 0.5 * before
    assert toy.evaluate()["valid_loss"] == pytest.approx(progress.best, rel=1e-6)


def test_each_epoch_uses_every_row_once() -> None:
    lengths = Toy().lengths
    rows = [row for _, batch, _ in training._iterate_batches(lengths, PLAN, 0, 5) for row in batch]
    assert sorted(rows) == list(range(37))
    steps = [step for step, *_ in training._iterate_batches(lengths, PLAN, 3, 12)]
    assert steps == list(range(3, 12))
    assert replace(PLAN, steps=23).evaluation_steps(37) == [5, 10, 14, 19, 23] and PLAN.evaluation_steps(37) == [
        5,
        10,
        15,
        20,
        25,
        30,
    ]


def test_epochs_draw_variants_and_sort_batches_by_length() -> None:
    lengths = np.random.default_rng(0).integers(1, 40, size=(128, 3))
    plan = replace(PLAN, batch_size=4)
    epochs = [list(training._iterate_batches(lengths, plan, 32 * k, 32 * k + 32)) for k in (0, 1)]
    variants = [np.empty(128, int), np.empty(128, int)]
    for epoch, chosen in zip(epochs, variants, strict=True):
        for _, rows, variant_index in epoch:
            assert np.ptp(lengths[rows, variant_index]) <= 6, "the whole epoch is sorted, a batch takes 4 of 128"
            chosen[rows] = variant_index
    assert set(variants[0]) == {0, 1, 2} and (variants[0] != variants[1]).mean() > 0.5


def test_rate_factors_and_weight_decay() -> None:
    net = Toy().net
    moving = dict(net.named_parameters())
    optimiser = training._build_optimiser(moving, replace(PLAN, rate_factors=(("3.", 5.0),), weight_decay=0.1))
    groups = {
        name: (group["scale"], group["weight_decay"])
        for group in optimiser.param_groups
        for name, weight in moving.items()
        if any(weight is one for one in group["params"])
    }
    assert groups == {"0.weight": (1, 0.1), "0.bias": (1, 0), "3.weight": (5, 0.1), "3.bias": (5, 0)}
    slow, fast = Toy(), Toy()
    before = slow.net[3].weight.detach().clone()
    slow.run(replace(PLAN, steps=1, evaluations=1))
    fast.run(replace(PLAN, steps=1, evaluations=1, rate_factors=(("3.", 5.0),)))
    assert torch.equal(slow.net[0].weight, fast.net[0].weight)
    steps = [(toy.net[3].weight.detach() - before).abs().mean().item() for toy in (slow, fast)]
    assert steps[1] == pytest.approx(5 * steps[0], rel=0.01)


@pytest.mark.parametrize(
    "plan", [PLAN, replace(PLAN, steps=23), replace(PLAN, patience=2, epochs=40, learning_rate=0.1)]
)
def test_a_resumed_training_gives_the_same_result(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    whole = Toy()
    expected = whole.run(plan)

    calls = iter(range(10_000))
    torn = Report(cancelled=lambda: next(calls) == 14, scratch=tmp_path)
    with pytest.raises(Cancelled):
        Toy().run(plan, torn)
    torch.manual_seed(99)
    again = Toy()
    resumed = again.run(plan, Report(scratch=tmp_path))
    assert resumed.evaluations_done == expected.evaluations_done and resumed.best == expected.best
    for one, two in zip(resumed.curve, expected.curve, strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in two.items() if k != "seconds"}
    assert all(
        torch.equal(a, b) for a, b in zip(whole.net.state_dict().values(), again.net.state_dict().values(), strict=True)
    )


def test_cancelling_stops_after_one_step() -> None:
    toy, steps = Toy(), []
    report = Report(
        tell=lambda fraction, message, numbers: steps.append(numbers.get("step")), cancelled=lambda: len(steps) == 2
    )
    with pytest.raises(Cancelled):
        toy.run(PLAN, report)
    assert steps == [1, 2]


def test_patience_stops_early() -> None:
    progress = Toy().run(replace(PLAN, epochs=400, patience=2, learning_rate=0.3))
    assert progress.evaluations_done < 400 and progress.evaluations_done - progress.best_evaluation == 2


def test_a_diverged_loss_is_an_error_with_advice() -> None:
    toy = Toy()
    toy.y[3] = float("inf")
    with pytest.raises(BadInput, match="lower `learning_rate`"):
        toy.run()


def test_frozen_weights_do_not_change() -> None:
    toy = Toy()
    toy.net[0].requires_grad_(False)
    before = toy.net[0].weight.clone()
    toy.run()
    assert torch.equal(before, toy.net[0].weight)
    numbers = {"parameters": 97, "trainable": 17, "trainable_share": 17 / 97, "trainable_bytes": 68}
    assert training.count_parameters(toy.net) == numbers


def test_a_truncated_checkpoint_restarts_training(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    assert Toy().run(PLAN, Report(scratch=tmp_path)).evaluations_done == 6


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.95])
def test_a_checkpoint_with_a_changed_byte_restarts_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: float
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    whole = Toy().run(PLAN, Report(scratch=tmp_path))
    path = tmp_path / "checkpoint.safetensors"
    assert Toy().run(PLAN, Report(scratch=tmp_path)).curve[0] == whole.curve[0]  # resumed
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 4
    path.write_bytes(data)
    again = Toy().run(PLAN, Report(scratch=tmp_path))
    assert [point["valid_loss"] for point in again.curve] == [point["valid_loss"] for point in whole.curve]


def test_averaged_weights_are_evaluated_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    toy, evaluated = Toy(), []
    mean = {name: weight.detach().clone() for name, weight in toy.net.named_parameters()}
    real = training._update_average

    def follow(average: dict, moving: dict, decay: float, step: int) -> None:
        share = 1 - min(0.9, (step + 1) / (step + 10))
        for name, weight in toy.net.named_parameters():
            mean[name] += share * (weight.detach() - mean[name])
        real(average, moving, decay, step)

    def evaluate() -> dict[str, float]:
        evaluated.append({name: weight.detach().clone() for name, weight in toy.net.named_parameters()})
        return {"valid_loss": 1.0 / len(evaluated)}

    monkeypatch.setattr(training, "_update_average", follow)
    train(toy.net, toy.lengths, toy.step, evaluate, replace(PLAN, ema_decay=0.9), SILENT_REPORT)
    for name, weight in toy.net.named_parameters():
        assert torch.equal(weight, evaluated[-1][name])
        torch.testing.assert_close(weight.detach(), mean[name])


@pytest.mark.parametrize("after", [2, 4])
def test_the_weight_average_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    plan = replace(PLAN, ema_decay=0.9)
    whole = Toy()
    expected = whole.run(plan)
    broken, evaluations = Toy(), []

    def stop() -> dict[str, float]:
        evaluations.append(1)
        if len(evaluations) > after:
            raise Cancelled
        return Toy.evaluate(broken)

    broken.evaluate = stop
    with pytest.raises(Cancelled):
        broken.run(plan, Report(scratch=tmp_path))
    again = Toy()
    progress = again.run(plan, Report(scratch=tmp_path))
    assert [p["valid_loss"] for p in progress.curve] == [p["valid_loss"] for p in expected.curve]
    assert all(torch.equal(a, b) for a, b in zip(whole.net.parameters(), again.net.parameters(), strict=True))


def test_automatic_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, first in (({"amx_bf16": True, "avx512_bf16": True}, 256), ({"avx512_bf16": True}, 768), ({}, math.inf)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        chosen = {width: training.resolve_precision("auto", "cpu", width) for width in (128, 256, 768)}
        assert chosen == {width: "bfloat16" if width >= first else "float32" for width in chosen}
        assert training.resolve_precision("auto", "cuda", 128) == "bfloat16"
        assert training.resolve_precision("bfloat16", "cpu", 128) == "bfloat16"
