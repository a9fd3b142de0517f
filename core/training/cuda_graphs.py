"""Passes of a training, forward and back: recorded on CUDA when a shape comes again, replayed from then on.

A batch of 32 molecules is some hundred small kernels, for which Python asks in ten times the time that they take. A
recording (a CUDA graph, docs.nvidia.com/cuda/cuda-programming-guide) asks once for all of them: the same arithmetic, in
the same order, from and to the same addresses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MAX_GRAPHS = 64  # recordings of a training: of some megabytes each, beside what the largest works with
FAILED_GRAPHS: list[Any] = []  # recordings that failed: the allocator may still ask them whose memory is whose


@dataclass(frozen=True)
class TrainStep:
    """What is learned from some rows of a table, in two halves.

    `build_batch(rows, spellings, step)`: the batch of rows (b,), so spelled (b,), on the device; `loss(batch)`: its mean loss.
    `is_steady`: whether `loss` reads tensors alone and does the same work for all batches of one shape, never asking what
    is in them, so that it can be recorded.
    """

    build_batch: Callable[[np.ndarray, np.ndarray, int], dict[str, Any]]
    loss: Callable[[dict[str, Any]], Tensor]
    is_steady: bool


class StepRunner:
    """Losses of batches and their gradients, worked out as they come or, on CUDA, replayed.

    A shape is recorded when it comes for the second time, if the memory allows: a recording works in memory of its own,
    which all share. What cannot be recorded is worked out as before, and `refusal` says why.
    """

    def __init__(self, lesson: TrainStep, moving: Sequence[nn.Parameter], precision: str) -> None:
        self.step, self.weights, self.precision = lesson, list(moving), precision
        self.device = self.weights[0].device
        self.captures = lesson.is_steady and self.device.type == "cuda"
        self.pool = torch.cuda.graph_pool_handle() if self.captures else None
        self.graphs: dict[Any, CapturedGraph] = {}
        self.pass_bytes: dict[Any, int] = {}  # bytes between the two halves of a pass, by shape
        self.n_replays = 0
        self.refusal = ""

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """Mean loss of a batch, a detached scalar; its gradients then lie in `grad` of the moving weights."""
        if not self.captures:
            return self.compute_loss(batch).detach()
        shape = tuple((name, value.shape, value.dtype) for name, value in batch.items())
        if shape not in self.graphs and shape in self.pass_bytes and self._has_room(shape):
            self._capture(shape, batch)
        if shape not in self.graphs:
            return self.compute_loss(batch, shape).detach()
        self.n_replays += 1
        return self.graphs[shape](batch)

    def clear(self) -> None:
        """Forget the gradients; where passes are recorded they keep their place, and the next pass begins from 0."""
        if not self.captures:
            for weight in self.weights:
                weight.grad = None

    def end(self) -> None:
        """Give back what recordings and gradients hold."""
        self.captures = False
        self.graphs.clear()
        self.clear()

    def compute_loss(self, batch: dict[str, Any], shape: Any = None) -> Tensor:
        """A pass as it comes."""
        if self.captures and (slopes := [weight.grad for weight in self.weights if weight.grad is not None]):
            torch._foreach_zero_(slopes)
        before = 0 if shape is None else torch.cuda.memory_allocated(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            loss = self.step.loss(batch)
        if shape is not None:
            self.pass_bytes[shape] = torch.cuda.memory_allocated(self.device) - before
        loss.backward()
        return loss

    def _has_room(self, shape: Any) -> bool:
        """Whether there is room for one more recording, and memory for twice what a pass of this shape holds."""
        if len(self.graphs) >= MAX_GRAPHS:
            return False
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return 2 * self.pass_bytes[shape] < torch.cuda.mem_get_info(self.device)[0] + unused

    def _capture(self, shape: Any, batch: dict[str, Tensor]) -> None:
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        chance, stream = generator.get_state(), torch.cuda.current_stream(self.device)
        graph = torch.cuda.CUDAGraph()
        try:
            self.graphs[shape] = CapturedGraph(graph, self, batch)
        except RuntimeError as error:  # of whatever the loss did that no recording may
            self.refusal = str(error).splitlines()[0]
            FAILED_GRAPHS.append(graph)
            torch.cuda.set_stream(stream)  # torch does not come back to it by itself
            restore_generator(generator, chance)
            self.end()


def restore_generator(generator: torch.Generator, state: Tensor) -> None:
    """Put `state` back into a generator that believes that it is being recorded, as a broken recording leaves it."""
    generator.graphsafe_set_state(torch.Generator(generator.device).graphsafe_get_state())
    generator.set_state(state)


class CapturedGraph:
    """A pass over batches of one shape."""

    def __init__(self, graph: torch.cuda.CUDAGraph, passes: StepRunner, batch: dict[str, Tensor]) -> None:
        self.graph = graph
        self.batch = {name: value.clone() for name, value in batch.items()}
        with torch.cuda.graph(graph, pool=passes.pool, capture_error_mode="thread_local"):
            self.loss = passes.compute_loss(self.batch).detach()

    def __call__(self, batch: dict[str, Tensor]) -> Tensor:
        for name, value in batch.items():
            self.batch[name].copy_(value)
        self.graph.replay()
        return self.loss.clone()
