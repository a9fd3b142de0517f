"""Training steps as CUDA graphs: forward and backward pass are captured when a batch shape repeats, then replayed.

A batch of 32 molecules runs some hundred small kernels; launching them from Python takes ten times as long as running
them. A CUDA graph (docs.nvidia.com/cuda/cuda-programming-guide) launches all at once: the same arithmetic, in the same
order, on the same addresses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MAX_GRAPHS = 64  # graphs of a training: a few megabytes each, plus the memory of the largest
FAILED_GRAPHS: list[Any] = []  # captures that failed, kept alive: the allocator may still refer to them


@dataclass(frozen=True)
class TrainStep:
    """A training step in two halves: the batch and its loss.

    `build_batch(rows, variant_index, step)`: the batch of rows (b,), each in one of its SMILES variants (b,), on the
    device; `loss(batch)`: its mean loss. `is_steady`: whether `loss` can be captured: it uses tensors only and runs the
    same operations for all batches of one shape, independent of their values.
    """

    build_batch: Callable[[np.ndarray, np.ndarray, int], dict[str, Any]]
    loss: Callable[[dict[str, Any]], Tensor]
    is_steady: bool


class StepRunner:
    """Losses and gradients of batches, computed eagerly or, on CUDA, by replaying graphs.

    A shape is captured at its second batch if the memory allows; all graphs share one memory pool. What cannot be
    captured is computed eagerly, and `refusal` says why.
    """

    def __init__(self, step: TrainStep, moving: Sequence[nn.Parameter], precision: str) -> None:
        self.step, self.weights, self.precision = step, list(moving), precision
        self.device = self.weights[0].device
        self.captures = step.is_steady and self.device.type == "cuda"
        self.pool = torch.cuda.graph_pool_handle() if self.captures else None
        self.graphs: dict[Any, CapturedGraph] = {}
        self.pass_bytes: dict[Any, int] = {}  # bytes between forward and backward pass, by shape
        self.n_replays = 0
        self.refusal = ""

    def __call__(self, batch: dict[str, Any]) -> Tensor:
        """Mean loss of a batch, a detached scalar; sets `grad` of the trainable weights."""
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
        """Drop the gradients; with graphs they keep their addresses and the next pass sets them to 0."""
        if not self.captures:
            for weight in self.weights:
                weight.grad = None

    def end(self) -> None:
        """Release the memory of graphs and gradients."""
        self.captures = False
        self.graphs.clear()
        self.clear()

    def compute_loss(self, batch: dict[str, Any], shape: Any = None) -> Tensor:
        """An eager forward and backward pass."""
        if self.captures and (gradients := [weight.grad for weight in self.weights if weight.grad is not None]):
            torch._foreach_zero_(gradients)
        before = 0 if shape is None else torch.cuda.memory_allocated(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            loss = self.step.loss(batch)
        if shape is not None:
            self.pass_bytes[shape] = torch.cuda.memory_allocated(self.device) - before
        loss.backward()
        return loss

    def _has_room(self, shape: Any) -> bool:
        """Whether one more graph is allowed, and twice the memory of a pass of this shape is free."""
        if len(self.graphs) >= MAX_GRAPHS:
            return False
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return 2 * self.pass_bytes[shape] < torch.cuda.mem_get_info(self.device)[0] + unused

    def _capture(self, shape: Any, batch: dict[str, Tensor]) -> None:
        """Capture a graph for this shape; a failure ends capturing and restores generator and stream."""
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        random_state, stream = generator.get_state(), torch.cuda.current_stream(self.device)
        graph = torch.cuda.CUDAGraph()
        try:
            self.graphs[shape] = CapturedGraph(graph, self, batch)
        except RuntimeError as error:  # the loss did something that cannot be captured
            self.refusal = str(error).splitlines()[0]
            FAILED_GRAPHS.append(graph)
            torch.cuda.set_stream(stream)  # torch does not restore it
            restore_generator(generator, random_state)
            self.end()


def restore_generator(generator: torch.Generator, state: Tensor) -> None:
    """Restore `state` of a generator that a failed capture left in capture mode."""
    generator.graphsafe_set_state(torch.Generator(generator.device).graphsafe_get_state())
    generator.set_state(state)


class CapturedGraph:
    """A CUDA graph of one training pass, for batches of one shape."""

    def __init__(self, graph: torch.cuda.CUDAGraph, runner: StepRunner, batch: dict[str, Tensor]) -> None:
        self.graph = graph
        self.batch = {name: value.clone() for name, value in batch.items()}
        with torch.cuda.graph(graph, pool=runner.pool, capture_error_mode="thread_local"):
            self.loss = runner.compute_loss(self.batch).detach()

    def __call__(self, batch: dict[str, Tensor]) -> Tensor:
        for name, value in batch.items():
            self.batch[name].copy_(value)
        self.graph.replay()
        return self.loss.clone()
