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

MOST = 64  # recordings of a training: of some megabytes each, beside what the largest works with
BROKEN: list[Any] = []  # recordings that failed: the allocator may still ask them whose memory is whose


@dataclass(frozen=True)
class Lesson:
    """What is learned from some rows of a table, in two halves.

    `lay(rows, spellings, step)`: the batch of rows (b,), so spelled (b,), on the device; `loss(batch)`: its mean loss.
    `steady`: whether `loss` reads tensors alone and does the same work for all batches of one shape, never asking what
    is in them, so that it can be recorded.
    """

    lay: Callable[[np.ndarray, np.ndarray, int], dict[str, Any]]
    loss: Callable[[dict[str, Any]], Tensor]
    steady: bool


class Passes:
    """Losses of batches and their gradients, worked out as they come or, on CUDA, replayed.

    A shape is recorded when it comes for the second time, if the memory allows: a recording works in memory of its own,
    which all share. What cannot be recorded is worked out as before, and `refused` says why.
    """

    def __init__(self, lesson: Lesson, moving: Sequence[nn.Parameter], precision: str) -> None:
        self.lesson, self.moving, self.precision = lesson, list(moving), precision
        self.device = self.moving[0].device
        self.records = lesson.steady and self.device.type == "cuda"
        self.pool = torch.cuda.graph_pool_handle() if self.records else None
        self.recordings: dict[Any, Recording] = {}
        self.held: dict[Any, int] = {}  # bytes between the two halves of a pass, by shape
        self.replayed = 0
        self.refused = ""

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """Mean loss of a batch, a detached scalar; its gradients then lie in `grad` of the moving weights."""
        if not self.records:
            return self.worked(batch).detach()
        shape = tuple((name, value.shape, value.dtype) for name, value in batch.items())
        if shape not in self.recordings and shape in self.held and self._allowed(shape):
            self._record(shape, batch)
        if shape not in self.recordings:
            return self.worked(batch, shape).detach()
        self.replayed += 1
        return self.recordings[shape](batch)

    def clear(self) -> None:
        """Forget the gradients; where passes are recorded they keep their place, and the next pass begins from 0."""
        if not self.records:
            for weight in self.moving:
                weight.grad = None

    def end(self) -> None:
        """Give back what recordings and gradients hold."""
        self.records = False
        self.recordings.clear()
        self.clear()

    def worked(self, batch: dict[str, Any], shape: Any = None) -> Tensor:
        """A pass as it comes."""
        if self.records and (slopes := [weight.grad for weight in self.moving if weight.grad is not None]):
            torch._foreach_zero_(slopes)
        before = 0 if shape is None else torch.cuda.memory_allocated(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            loss = self.lesson.loss(batch)
        if shape is not None:
            self.held[shape] = torch.cuda.memory_allocated(self.device) - before
        loss.backward()
        return loss

    def _allowed(self, shape: Any) -> bool:
        """Whether there is room for one more recording, and memory for twice what a pass of this shape holds."""
        if len(self.recordings) >= MOST:
            return False
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return 2 * self.held[shape] < torch.cuda.mem_get_info(self.device)[0] + unused

    def _record(self, shape: Any, batch: dict[str, Tensor]) -> None:
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        chance, stream = generator.get_state(), torch.cuda.current_stream(self.device)
        graph = torch.cuda.CUDAGraph()
        try:
            self.recordings[shape] = Recording(graph, self, batch)
        except RuntimeError as error:  # of whatever the loss did that no recording may
            self.refused = str(error).splitlines()[0]
            BROKEN.append(graph)
            torch.cuda.set_stream(stream)  # torch does not come back to it by itself
            freed(generator, chance)
            self.end()


def freed(generator: torch.Generator, state: Tensor) -> None:
    """Put `state` back into a generator that believes that it is being recorded, as a broken recording leaves it."""
    generator.graphsafe_set_state(torch.Generator(generator.device).graphsafe_get_state())
    generator.set_state(state)


class Recording:
    """A pass over batches of one shape."""

    def __init__(self, graph: torch.cuda.CUDAGraph, passes: Passes, batch: dict[str, Tensor]) -> None:
        self.graph = graph
        self.batch = {name: value.clone() for name, value in batch.items()}
        with torch.cuda.graph(graph, pool=passes.pool, capture_error_mode="thread_local"):
            self.loss = passes.worked(self.batch).detach()

    def __call__(self, batch: dict[str, Tensor]) -> Tensor:
        for name, value in batch.items():
            self.batch[name].copy_(value)
        self.graph.replay()
        return self.loss.clone()
