"""A training without enough memory fails with one sentence, frees its memory, and the queue continues."""

import dataclasses
import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from core.engine.job_queue import JobQueue
from core.engine.make import make
from core.engine.report import Report
from core.engine.store import Store
from core.engine.worker import Worker
from core.experiments import Adapt, FineTune, Load, Study, import_files, split_table
from core.models.backbones import Untrained
from core.models.methods import Full, LoRA
from core.models.predictor import Predictor
from core.training.pretraining_loss import PretrainingLoss
from tests.queue_specs import wait_until_ended

ROOT = Path(__file__).parents[3]
SHORT = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError(),
)


@pytest.fixture
def fit(table: Path, cache: Path) -> FineTune:
    train, valid, test = split_table(Load(f"file:{table}"), seed=0, train=None, valid=12, test=12)
    spec = FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), steps=4, evaluations=2, batch_size=8)
    return import_files(spec, Store(cache).files)


@pytest.fixture
def predictors(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Weak references to every predictor that is constructed."""
    references: list[Any] = []
    construct = Predictor.__init__

    def record_reference(self: Predictor, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        references.append(weakref.ref(self))

    monkeypatch.setattr(Predictor, "__init__", record_reference)
    return references


def starve(monkeypatch: pytest.MonkeyPatch, error: BaseException, only: Any = None) -> None:
    """Make every training, or those with the method `only`, run out of memory in its second step."""
    loss = Predictor.loss
    calls: weakref.WeakKeyDictionary[Predictor, int] = weakref.WeakKeyDictionary()  # an `id` may be reused

    def short(self: Predictor, outputs: Any, targets: Any) -> Any:
        calls[self] = calls.get(self, 0) + self.training
        if calls[self] >= 2 and (only is None or self.adapter == only):
            raise error
        return loss(self, outputs, targets)

    monkeypatch.setattr(Predictor, "loss", short)


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_job_error_says_what_to_change_and_the_queue_continues(
    fit: FineTune, cache: Path, predictors: list[Any], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    queue, store = JobQueue(cache), Store(cache)
    other = dataclasses.replace(fit, method=LoRA())
    with monkeypatch.context() as patched:
        starve(patched, error.with_traceback(None), None)
        worker = Worker(queue, store, "core.experiments").start()
        try:
            queue.submit(fit)
            job = wait_until_ended(queue, fit)
        finally:
            patched.undo()
        assert job.state == "failed" and job.traceback == ""
        assert "batches of 8 molecules of up to" in job.error and "lower `batch_size` (to 4, say)" in job.error
        assert "a method with fewer trainable weights, or a smaller backbone" in job.error
        error.__traceback__ = error.__context__ = None  # references of the test
        gc.collect()
        assert predictors and all(one() is None for one in predictors)  # weights and optimiser are freed
        queue.submit(other)
        assert wait_until_ended(queue, other).state == "done"
    worker.stop()


def test_study_continues_with_the_other_arms(fit: FineTune, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starve(monkeypatch, SHORT[0], LoRA())
    arms = tuple(dataclasses.replace(fit, method=method) for method in (Full(), LoRA(), LoRA(rank=2)))
    record = make(Study(arms, names=("full", "eight", "two"), seeds=(0,)), Store(cache), Report()).record
    assert [arm["name"] for arm in record["arms"]] == ["full", "two"]
    assert "lower `batch_size` (to 4, say)" in record["failed"][0]["reason"]


def test_adaptation_raises_the_same_error(fit: FineTune, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: Any, **__: Any) -> None:
        raise SHORT[0]

    monkeypatch.setattr(PretrainingLoss, "forward", short)
    with pytest.raises(ValueError, match=r"batches of 32 molecules .* lower `batch_size` \(to 16, say\)"):
        make(Adapt(fit.train, backbone=Untrained("molsway-tiny"), epochs=1), Store(cache), Report())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here"))],
)
def test_real_shortage_fails_the_job_and_frees_memory(tmp_path: Path, device: str) -> None:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    if device == "cpu":
        env["CUDA_VISIBLE_DEVICES"] = ""
    run = [sys.executable, "-m", "tests.memory_limit", str(tmp_path)]
    process = subprocess.run(run, capture_output=True, text=True, env=env, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert result["device"] == device and result["states"] == ["done", "failed", "done"], result
    assert result["traceback"] == ""
    assert "batches of 1,024 molecules of up to" in result["error"]
    assert "lower `batch_size` (to 512, say)" in result["error"]
    assert result["grown"] < 64 << 20  # of more than 1 GiB allocated
