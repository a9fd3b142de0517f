"""CUDA graphs give the same results as eager steps; what cannot be captured runs eagerly."""

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
def runners(monkeypatch: pytest.MonkeyPatch) -> list[StepRunner]:
    """All instances of `StepRunner`."""
    created: list[StepRunner] = []
    begin = StepRunner.__init__

    def record_runner(self: StepRunner, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        created.append(self)

    monkeypatch.setattr(StepRunner, "__init__", record_runner)
    return created


def build_predictor(method: Any) -> Predictor:
    predictor = Predictor(Untrained("molsway-tiny")(), ["y"], ["regression"], dropout=0.1)
    predictor.fit_scaler(LABELS)
    predictor.to(best_device())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method(predictor)
    return predictor


def train_predictor(
    predictor: Predictor, plan: Plan = PLAN, is_steady: bool = True, synchronise: bool = False
) -> Progress:
    labels = predictor.scale_labels(LABELS)

    def build_batch(rows: np.ndarray, variant_index: np.ndarray, step: int) -> dict[str, torch.Tensor]:
        return predictor.encode([SMILES[row] for row in rows]) | {"targets": labels[rows]}

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        value = predictor.loss(predictor(batch), batch["targets"])
        if synchronise:
            assert value.item() >= 0
        return value

    def evaluate() -> dict[str, float]:
        outputs = predictor(predictor.encode(SMILES))
        return {"valid_loss": predictor.loss(outputs, labels).item()}

    lengths = predictor.backbone.lengths(SMILES)[:, None]
    return train(
        predictor, lengths, TrainStep(build_batch, loss, is_steady), torch.no_grad()(evaluate), plan, SILENT_REPORT
    )


def assert_alike(one: nn.Module, other: nn.Module) -> None:
    for (name, weight), same in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(weight, same, rtol=1e-3, atol=1e-5, msg=lambda words, name=name: f"{name}: {words}")


def test_a_step_returns_the_loss_and_sets_gradients() -> None:
    net = nn.Linear(3, 1)
    step = TrainStep(lambda *_: {}, lambda batch: (net(batch["x"]) ** 2).mean(), is_steady=False)
    passes = StepRunner(step, list(net.parameters()), "float32")
    for k in range(2):  # gradients do not accumulate
        batch = {"x": torch.randn(4, 3)}
        loss = passes(batch)
        wanted = (net(batch["x"]) ** 2).mean()
        assert not loss.requires_grad and loss == wanted
        for weight, slope in zip(net.parameters(), torch.autograd.grad(wanted, list(net.parameters())), strict=True):
            torch.testing.assert_close(weight.grad, slope)
        (passes.clear, passes.end)[k]()
        assert all(weight.grad is None for weight in net.parameters())


def test_nothing_is_captured_without_cuda(monkeypatch: pytest.MonkeyPatch, runners: list[StepRunner]) -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA is here")
    train_predictor(build_predictor(Full()))
    assert not runners[0].captures and not runners[0].n_replays and not runners[0].refusal


class EagerGraph:
    """A graph that computes its pass eagerly, for machines without CUDA."""

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
def eager_graphs(monkeypatch: pytest.MonkeyPatch) -> type[EagerGraph]:
    """Replaces CUDA graphs; returns the class of the graphs."""
    begin = StepRunner.__init__

    def recording(self: StepRunner, step: TrainStep, *args: Any) -> None:
        begin(self, step, *args)
        self.captures = step.is_steady

    class Graph(EagerGraph):
        pass

    monkeypatch.setattr(StepRunner, "__init__", recording)
    monkeypatch.setattr(cuda_graphs, "CapturedGraph", Graph)
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
    return Graph


def train_with_runner(
    count: list[StepRunner], plan: Plan = PLAN, is_steady: bool = True
) -> tuple[StepRunner, Predictor, Progress]:
    predictor = build_predictor(Full())
    progress = train_predictor(predictor, plan, is_steady)
    return count[-1], predictor, progress


def test_repeated_shapes_are_captured_with_equal_results(
    runners: list[StepRunner], eager_graphs: type[EagerGraph]
) -> None:
    passes, replayed, progress = train_with_runner(runners)
    steps = PLAN.evaluation_steps(len(SMILES))[-1]
    assert passes.n_replays == steps - len(passes.pass_bytes) > 0 and progress.warnings == []
    assert not passes.graphs and all(weight.grad is None for weight in replayed.parameters())
    _, worked, _ = train_with_runner(runners, is_steady=False)
    assert runners[1].n_replays == 0
    for one, other in zip(replayed.parameters(), worked.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_failed_capture_falls_back_with_a_warning(runners: list[StepRunner], eager_graphs: type[EagerGraph]) -> None:
    eager_graphs.broken = True
    passes, refused, progress = train_with_runner(runners)
    assert passes.n_replays == 0 and not passes.captures and len(cuda_graphs.FAILED_GRAPHS) == 1
    assert progress.warnings == [
        "steps could not be captured as CUDA graphs, so they took longer: operation not permitted"
    ]
    _, worked, _ = train_with_runner(runners, is_steady=False)
    for one, other in zip(refused.parameters(), worked.parameters(), strict=True):
        assert torch.equal(one, other)


def test_captures_are_limited_by_number_and_memory(
    runners: list[StepRunner], eager_graphs: type[EagerGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 1)
    passes, *_ = train_with_runner(runners)
    assert 0 < passes.n_replays < PLAN.evaluation_steps(len(SMILES))[-1] - len(passes.pass_bytes)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 0))
    passes, *_ = train_with_runner(runners)
    assert passes.n_replays == 0 and passes.refusal == ""


@on_cuda
@pytest.mark.parametrize("kind", sorted(METHODS))
def test_every_method_ends_with_equal_weights(kind: str, runners: list[StepRunner]) -> None:
    if not getattr(METHODS[kind], "is_steady", True):
        pytest.skip(f"{METHODS[kind].name} is never recorded")
    replayed, worked = (build_predictor(METHODS[kind]()) for _ in range(2))
    progress = train_predictor(replayed)
    train_predictor(worked, is_steady=False)
    assert runners[0].refusal == "" and progress.warnings == []
    assert runners[0].n_replays > 20 and runners[1].n_replays == 0
    assert_alike(replayed, worked)
    assert not runners[0].graphs and all(weight.grad is None for weight in replayed.parameters())


@on_cuda
def test_bfloat16_is_captured(runners: list[StepRunner]) -> None:
    replayed, worked = build_predictor(Full()), build_predictor(Full())
    plan = replace(PLAN, precision="bfloat16")
    train_predictor(replayed, plan)
    train_predictor(worked, plan, is_steady=False)
    assert runners[0].n_replays > 20
    for one, other in zip(replayed.parameters(), worked.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=1e-3)


@on_cuda
def test_a_loss_that_synchronises_falls_back_with_a_warning(runners: list[StepRunner]) -> None:
    refused, worked, after = build_predictor(Full()), build_predictor(Full()), build_predictor(Full())
    progress = train_predictor(refused, synchronise=True)
    train_predictor(worked, is_steady=False)
    assert "could not be captured" in progress.warnings[0] and runners[0].n_replays == 0
    assert_alike(refused, worked)
    train_predictor(after)  # a later training is captured again
    assert runners[2].n_replays > 20 and runners[2].refusal == ""
    assert_alike(after, worked)


@on_cuda
def test_nothing_is_captured_when_memory_is_short(monkeypatch: pytest.MonkeyPatch, runners: list[StepRunner]) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (-(10**12), 8 * 10**10))
    train_predictor(build_predictor(Full()))
    assert runners[0].captures and runners[0].n_replays == 0 and runners[0].refusal == ""


@on_cuda
def test_the_number_of_captures_is_limited(monkeypatch: pytest.MonkeyPatch, runners: list[StepRunner]) -> None:
    counts: set[int] = set()
    end = StepRunner.end
    monkeypatch.setattr(StepRunner, "end", lambda self: (counts.update(map(id, self.graphs.values())), end(self))[1])
    monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 1)
    train_predictor(build_predictor(Head()))
    assert runners[0].n_replays > 0 and len(counts) == 1


@on_cuda
def test_the_pretraining_loss_is_captured(runners: list[StepRunner]) -> None:
    wanted = torch.randn(len(SMILES), 5, generator=torch.Generator().manual_seed(0)).to(best_device())

    def train_objective(is_steady: bool) -> PretrainingLoss:
        body = Untrained("molsway-tiny")(mlm_head=True).to(best_device()).requires_grad_(True)
        objective = PretrainingLoss(body.model, body.tokenizer, properties=5)

        def build_batch(rows: np.ndarray, variant_index: np.ndarray, step: int) -> dict[str, torch.Tensor]:
            batch = body.batch([SMILES[row] for row in rows])
            generator = torch.Generator().manual_seed(step)
            return objective.hide_tokens(Batch(batch["input_ids"], batch["attention_mask"], generator, wanted[rows]))

        step = TrainStep(build_batch, lambda batch: objective(batch).total, is_steady)
        train(objective, body.lengths(SMILES)[:, None], step, lambda: {"valid_loss": 0.0}, PLAN, SILENT_REPORT)
        return objective

    replayed, worked = train_objective(True), train_objective(False)
    assert runners[0].n_replays > 10 and runners[0].refusal == ""
    assert_alike(replayed, worked)
