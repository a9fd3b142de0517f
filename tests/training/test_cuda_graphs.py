"""Passes that are recorded and replayed do what passes that are worked out do; what cannot be recorded still learns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.engine.report import SILENT_REPORT
from core.models.backbones import Untrained
from core.models.devices import best_device
from core.models.methods import METHODS, Full, Head
from core.models.predictor import Predictor
from core.training import cuda_graphs
from core.training.cuda_graphs import StepRunner, TrainStep
from core.training.loop import Progress, train
from core.training.optimisation import Plan
from core.training.pretraining_loss import Batch, PretrainingLoss

SMILES = ["C" * n + end for n in range(1, 25) for end in ("O", "N", "c1ccccc1", "C(=O)O")]
LABELS = np.array([[len(smiles) % 7 - 3.0] for smiles in SMILES])
PLAN = Plan(
    epochs=6, steps=None, evaluations=1, batch_size=16, learning_rate=1e-3, weight_decay=0.01, warmup=0.1, clip=1.0,
    patience=0, precision="float32", seed=0, ema_decay=0.9,
)  # fmt: skip
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[StepRunner]:
    """Every `StepRunner` that is made."""
    found: list[StepRunner] = []
    begin = StepRunner.__init__

    def noted(self: StepRunner, *given: Any, **more: Any) -> None:
        begin(self, *given, **more)
        found.append(self)

    monkeypatch.setattr(StepRunner, "__init__", noted)
    return found


def made(method: Any) -> Predictor:
    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"], dropout=0.1)
    predictor.fit_scaler(LABELS)
    predictor.to(best_device())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method(predictor)
    return predictor


def learned(predictor: Predictor, plan: Plan = PLAN, steady: bool = True, asking: bool = False) -> Progress:
    labels = predictor.scale_labels(LABELS)

    def lay(rows: np.ndarray, spellings: np.ndarray, step: int) -> dict[str, torch.Tensor]:
        return predictor.encode([SMILES[row] for row in rows]) | {"targets": labels[rows]}

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        found = predictor.loss(predictor(batch), batch["targets"])
        if asking:
            assert found.item() >= 0
        return found

    def look() -> dict[str, float]:
        outputs = predictor(predictor.encode(SMILES))
        return {"valid_loss": predictor.loss(outputs, labels).item()}

    lengths = predictor.backbone.lengths(SMILES)[:, None]
    return train(predictor, lengths, TrainStep(lay, loss, steady), torch.no_grad()(look), plan, SILENT_REPORT)


def assert_alike(one: nn.Module, other: nn.Module) -> None:
    for (name, weight), same in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(weight, same, rtol=1e-3, atol=1e-5, msg=lambda words, name=name: f"{name}: {words}")


def test_a_step_returns_the_loss_and_sets_gradients() -> None:
    net = nn.Linear(3, 1)
    lesson = TrainStep(lambda *_: {}, lambda batch: (net(batch["x"]) ** 2).mean(), is_steady=False)
    passes = StepRunner(lesson, list(net.parameters()), "float32")
    for k in range(2):  # the second forgets the first
        batch = {"x": torch.randn(4, 3)}
        loss = passes(batch)
        wanted = (net(batch["x"]) ** 2).mean()
        assert not loss.requires_grad and loss == wanted
        for weight, slope in zip(net.parameters(), torch.autograd.grad(wanted, list(net.parameters())), strict=True):
            torch.testing.assert_close(weight.grad, slope)
        (passes.clear, passes.end)[k]()
        assert all(weight.grad is None for weight in net.parameters())


def test_nothing_is_captured_without_cuda(monkeypatch: pytest.MonkeyPatch, counted: list[StepRunner]) -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA is here")
    learned(made(Full()))
    assert not counted[0].captures and not counted[0].n_replays and not counted[0].refusal


class Played:
    """A recording that works its pass out, for a machine without CUDA."""

    broken = False

    def __init__(self, graph: Any, passes: StepRunner, batch: dict[str, torch.Tensor]) -> None:
        if self.broken:
            raise RuntimeError("operation not permitted\nmore of it")
        self.passes, self.batch = passes, {name: value.clone() for name, value in batch.items()}

    def __call__(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        for name, value in batch.items():
            self.batch[name].copy_(value)
        return self.passes.compute_loss(self.batch).detach()


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[Played]:
    """Passes are recorded by a stand-in for CUDA; returned is the recording's class."""
    begin = StepRunner.__init__

    def recording(self: StepRunner, lesson: TrainStep, *given: Any) -> None:
        begin(self, lesson, *given)
        self.captures = lesson.is_steady

    class Mine(Played):
        pass

    monkeypatch.setattr(StepRunner, "__init__", recording)
    monkeypatch.setattr(cuda_graphs, "CapturedGraph", Mine)
    monkeypatch.setattr(cuda_graphs, "FAILED_GRAPHS", [])
    for name, value in {
        "memory_allocated": lambda device: 0,
        "memory_reserved": lambda device: 0,
        "mem_get_info": lambda device: (1 << 30, 1 << 30),
        "current_device": lambda: 0,
        "current_stream": lambda device: "before",
        "set_stream": lambda stream: None if stream == "before" else pytest.fail(stream),
        "CUDAGraph": object,
        "default_generators": [torch.default_generator],
    }.items():
        monkeypatch.setattr(torch.cuda, name, value, raising=False)
    monkeypatch.setattr(cuda_graphs, "restore_generator", lambda generator, state: generator.set_state(state))
    return Mine


def trained(count: list[StepRunner], plan: Plan = PLAN, steady: bool = True) -> tuple[StepRunner, Predictor, Progress]:
    predictor = made(Full())
    progress = learned(predictor, plan, steady)
    return count[-1], predictor, progress


def test_repeated_shapes_are_captured_with_equal_results(counted: list[StepRunner], played: type[Played]) -> None:
    passes, replayed, progress = trained(counted)
    steps = PLAN.evaluation_steps(len(SMILES))[-1]
    assert passes.n_replays == steps - len(passes.pass_bytes) > 0 and progress.warnings == []
    assert not passes.graphs and all(weight.grad is None for weight in replayed.parameters())
    _, worked, _ = trained(counted, is_steady=False)
    assert counted[1].n_replays == 0
    for one, other in zip(replayed.parameters(), worked.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_failed_capture_falls_back_with_a_warning(counted: list[StepRunner], played: type[Played]) -> None:
    played.broken = True
    passes, refused, progress = trained(counted)
    assert passes.n_replays == 0 and not passes.captures and len(cuda_graphs.FAILED_GRAPHS) == 1
    assert progress.warnings == [
        "steps could not be captured as CUDA graphs, so they took longer: operation not permitted"
    ]
    _, worked, _ = trained(counted, is_steady=False)
    for one, other in zip(refused.parameters(), worked.parameters(), strict=True):
        assert torch.equal(one, other)


def test_captures_are_limited_by_number_and_memory(
    counted: list[StepRunner], played: type[Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 1)
    passes, *_ = trained(counted)
    assert 0 < passes.n_replays < PLAN.evaluation_steps(len(SMILES))[-1] - len(passes.pass_bytes)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 0))
    passes, *_ = trained(counted)
    assert passes.n_replays == 0 and passes.refusal == ""


@on_cuda
@pytest.mark.parametrize("kind", sorted(METHODS))
def test_every_method_ends_with_equal_weights(kind: str, counted: list[StepRunner]) -> None:
    if not getattr(METHODS[kind], "steady", True):
        pytest.skip(f"{METHODS[kind].name} is never recorded")
    replayed, worked = (made(METHODS[kind]()) for _ in range(2))
    progress = learned(replayed)
    learned(worked, is_steady=False)
    assert counted[0].refusal == "" and progress.warnings == []
    assert counted[0].n_replays > 20 and counted[1].n_replays == 0
    assert_alike(replayed, worked)
    assert not counted[0].graphs and all(weight.grad is None for weight in replayed.parameters())


@on_cuda
def test_bfloat16_is_captured(counted: list[StepRunner]) -> None:
    replayed, worked = made(Full()), made(Full())
    plan = replace(PLAN, precision="bfloat16")
    learned(replayed, plan)
    learned(worked, plan, is_steady=False)
    assert counted[0].n_replays > 20
    for one, other in zip(replayed.parameters(), worked.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=1e-3)


@on_cuda
def test_a_loss_that_synchronises_falls_back_with_a_warning(counted: list[StepRunner]) -> None:
    refused, worked, after = made(Full()), made(Full()), made(Full())
    progress = learned(refused, asking=True)
    learned(worked, is_steady=False)
    assert "could not be captured" in progress.warnings[0] and counted[0].n_replays == 0
    assert_alike(refused, worked)
    learned(after)  # and the next one is recorded as if nothing had been
    assert counted[2].n_replays > 20 and counted[2].refusal == ""
    assert_alike(after, worked)


@on_cuda
def test_nothing_is_captured_when_memory_is_short(monkeypatch: pytest.MonkeyPatch, counted: list[StepRunner]) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (-(10**12), 8 * 10**10))
    learned(made(Full()))
    assert counted[0].captures and counted[0].n_replays == 0 and counted[0].refusal == ""


@on_cuda
def test_the_number_of_captures_is_limited(monkeypatch: pytest.MonkeyPatch, counted: list[StepRunner]) -> None:
    held: set[int] = set()
    end = StepRunner.end
    monkeypatch.setattr(StepRunner, "end", lambda self: (held.update(map(id, self.graphs.values())), end(self))[1])
    monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 1)
    learned(made(Head()))
    assert counted[0].n_replays > 0 and len(held) == 1


@on_cuda
def test_the_pretraining_loss_is_captured(counted: list[StepRunner]) -> None:
    wanted = torch.randn(len(SMILES), 5, generator=torch.Generator().manual_seed(0)).to(best_device())

    def adapted(steady: bool) -> PretrainingLoss:
        body = Untrained("molsway-tiny")(mlm_head=True).to(best_device()).requires_grad_(True)
        objective = PretrainingLoss(body.model, body.tokenizer, properties=5)

        def lay(rows: np.ndarray, spellings: np.ndarray, step: int) -> dict[str, torch.Tensor]:
            batch = body.batch([SMILES[row] for row in rows])
            generator = torch.Generator().manual_seed(step)
            return objective.hide_tokens(Batch(batch["input_ids"], batch["attention_mask"], generator, wanted[rows]))

        lesson = TrainStep(lay, lambda batch: objective(batch).total, steady)
        train(objective, body.lengths(SMILES)[:, None], lesson, lambda: {"valid_loss": 0.0}, PLAN, SILENT_REPORT)
        return objective

    replayed, worked = adapted(True), adapted(False)
    assert counted[0].n_replays > 10 and counted[0].refusal == ""
    assert_alike(replayed, worked)
