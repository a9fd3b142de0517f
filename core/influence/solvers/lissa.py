"""LiSSA: a Neumann series over mini-batches."""

import math
import time
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import settings
from core.influence.solvers.solution import Matrix, NotSolved, Solution, indefinite_error, norm_of, residual_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BATCHES, POWERS, RESTARTS = 8, 8, 3  # mini-batches and power iterations for the scale; doublings of the scale


class _Diverged(Exception):
    """The series grows; the message says by how much."""


@settings
class LiSSA:
    """LiSSA, the stochastic Neumann series of Koh and Liang: one mini-batch per step.

    h ← v + h − C_batch h / scale, answer h / scale (Agarwal, Bullins & Hazan, 2017, arXiv:1602.03943). The damping is
    absolute and part of C, so the answer tends to C⁻¹ v for any scale, in about scale / damping · ln(1/error) steps.
    With fewer steps, directions of low curvature are damped more than the damping says. Differences from the paper: the
    last half of the iterates is averaged if that lowers the residual, a growing series is restarted with twice the
    scale, and the residual is computed with the whole curvature.
    """

    kind: ClassVar[str] = "lissa"
    name: ClassVar[str] = "LiSSA"

    depth: int = Field(default=1000, ge=1, le=1_000_000, description="steps, at most; one mini-batch each")
    scale: float | None = Field(
        default=None,
        gt=0,
        description="divisor of the curvature; empty: 1.1 × the largest eigenvalue of several mini-batches",
    )
    tolerance: float = Field(default=2e-2, gt=0, lt=1, description="relative residual at which to stop")
    average: bool = Field(
        default=True, description="average the last half of the iterates where that lowers the residual"
    )
    repeats: int = Field(
        default=2, ge=1, le=64, description="independent runs, averaged; two or more give a standard error"
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the mini-batches")

    def __call__(self, curvature: Matrix, vector: "Tensor", report: Report = SILENT_REPORT) -> Solution:
        import torch

        began, warnings = time.monotonic(), []
        norm_of(vector)
        generator = torch.Generator().manual_seed(self.seed)
        scale = self.scale or worst_scale(curvature, vector, generator, report.part(0, 0.05))
        for attempt in range(RESTARTS + 1):
            try:
                answers, length, averaged, history = self._average_runs(
                    curvature, vector, scale, generator, report.part(0.05, 1)
                )
                break
            except _Diverged as error:
                if attempt == RESTARTS:
                    raise indefinite_error(
                        curvature, vector, f"the series grew at scale {scale:.4g}, {error}"
                    ) from None
                warnings.append(f"the series grew at scale {scale:.4g} ({error}); restarted with twice the scale")
                scale *= 2
        stacked = torch.stack(answers)
        answer = stacked.mean(0)
        residual = residual_of(curvature, answer, vector)
        numbers = {"scale": scale, "averaged": averaged}
        if len(answers) > 1:
            spread = float(((stacked - answer) ** 2).sum() / (len(answers) - 1) / len(answers)) ** 0.5
            numbers["standard_error"] = spread / float(answer.norm())
        if not math.isfinite(residual):
            raise NotSolved("the answer is not finite; raise `damping`")
        if residual > self.tolerance:
            warnings.append(
                f"residual {residual:.2g} after {length} steps, above the tolerance {self.tolerance:g}: directions of "
                "little curvature are damped more than `damping` says; raise `depth` or `damping`, or use cg"
            )
        return Solution(
            answer,
            residual,
            length * len(answers),
            time.monotonic() - began,
            residual <= self.tolerance,
            [*history, (length, residual)],
            tuple(warnings),
            numbers,
        )

    def _average_runs(
        self, curvature: Matrix, vector: "Tensor", scale: float, generator: "torch.Generator", report: Report
    ) -> tuple[list["Tensor"], int, bool, list[tuple[int, float]]]:
        """Run all series; the first sets the number of steps and whether iterates are averaged."""
        share = 0.9 if self.repeats > 1 else 1.0
        first, length, averaged, history = self._first_run(curvature, vector, scale, generator, report.part(0, share))
        answers = [first]
        for repeat in range(2, self.repeats + 1):
            part = report.part(share, share + 0.1 * (repeat - 1) / (self.repeats - 1), repeat=repeat)
            h, mean = self._iterate(curvature, vector, vector, scale, generator, 0, length, part)
            answers.append((mean if averaged else h) / scale)
        return answers, length, averaged, history

    def _first_run(
        self, curvature: Matrix, vector: "Tensor", scale: float, generator: "torch.Generator", report: Report
    ) -> tuple["Tensor", int, bool, list[tuple[int, float]]]:
        """The first series, with its residual checked after a quarter, a half and all of the steps."""
        h, reached, history = vector, 0, [(0, 1.0)]
        for stop in sorted({max(1, self.depth // 4), max(1, self.depth // 2), self.depth}):
            h, mean = self._iterate(curvature, vector, h, scale, generator, reached, stop, report)
            reached = stop
            candidates = [(residual_of(curvature, h / scale, vector), False, h / scale)] if not self.average else []
            if self.average:
                candidates.append((residual_of(curvature, mean / scale, vector), True, mean / scale))
                if stop == self.depth and candidates[0][0] > self.tolerance:
                    candidates.append((residual_of(curvature, h / scale, vector), False, h / scale))
            if not all(math.isfinite(residual) for residual, _, _ in candidates):
                raise _Diverged(f"not finite by step {reached}")
            residual, averaged, answer = min(candidates, key=lambda entry: entry[0])
            history.append((reached, residual))
            report(
                reached / self.depth,
                f"solving, step {reached}, residual {residual:.2g}",
                step=reached,
                residual=residual,
            )
            if residual <= self.tolerance:
                break
        return answer, reached, averaged, history

    def _iterate(
        self,
        curvature: Matrix,
        vector: "Tensor",
        h: "Tensor",
        scale: float,
        generator: "torch.Generator",
        start: int,
        stop: int,
        report: Report,
    ) -> tuple["Tensor", "Tensor"]:
        """Run steps `start` to `stop`; the last iterate and the mean of the later half of all steps up to `stop`."""
        size, total, count = float(vector.norm()), vector * 0, 0
        for step in range(start + 1, stop + 1):
            h = vector + h - (curvature.sample(generator) @ h) / scale
            if step > stop // 2:
                total, count = total + h, count + 1
            if step % 10 == 0 or step == stop:
                growth = float(h.norm()) / size
                if not growth < 1.5 * (step + 1):  # if 0 ≤ C_batch ≤ scale, each step adds at most ‖v‖
                    raise _Diverged(f"{growth:.3g} times the gradient at step {step}")
                report(step / self.depth, f"solving, step {step}", step=step, size=growth)
        return h, total / max(count, 1)


def worst_scale(
    curvature: Matrix, vector: "Tensor", generator: "torch.Generator", report: Report = SILENT_REPORT
) -> float:
    """1.1 × the largest |eigenvalue| among several mini-batches, by power iteration.

    The eigenvalue of the whole curvature is too small: that of the worst mini-batch was up to three times as large.
    """
    import torch

    worst = 0.0
    for batch in range(BATCHES):
        part = curvature.sample(generator)
        q = torch.randn(vector.shape, generator=generator, dtype=torch.float64).to(vector)
        for _ in range(POWERS):
            q = part @ (q / q.norm())
            report(batch / BATCHES, "estimating the scale", scale=1.1 * worst)
        if not (largest := float(q.norm())) <= worst:  # also true for NaN
            worst = largest
    if not math.isfinite(worst) or worst == 0:
        raise NotSolved(
            f"the largest eigenvalue of a mini-batch came out as {worst}; the predictions do not depend on the weights"
        )
    return 1.1 * worst
