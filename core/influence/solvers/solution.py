"""The result of a solver, the interfaces of matrices, and shared parts: true residual, extreme eigenvalues, errors."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from core.engine.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from core.influence.solvers.gram_spectrum import Spectrum


class NotSolved(ArithmeticError):
    """The system could not be solved; the message gives the numbers and what to try."""


class Matrix(Protocol):
    """A symmetric matrix (d, d) given by its products with vectors.

    `sample`: a mini-batch estimate of it (for LiSSA); `subsample`: an estimate by about `cells` of its cells (for the
    preconditioner); `rows`: the factor A of a Gauss-Newton matrix AᵀA + λI (for the dual and the preconditioner).
    """

    damping: float  # λ
    form: str  # "gauss-newton" or "hessian"

    @property
    def cells(self) -> int: ...

    def __matmul__(self, vector: "Tensor") -> "Tensor": ...

    def sample(self, generator: "torch.Generator") -> "Matrix": ...

    def subsample(self, cells: int) -> "Matrix": ...

    def rows(self) -> "Rows": ...


class Rows(Protocol):
    """A (cells, d) of a curvature AᵀA + λI: its products, and the Gram matrix of A and any further rows."""

    def __len__(self) -> int: ...

    def times(self, vector: "Tensor") -> "Tensor": ...

    def transpose_times(self, weights: "Tensor") -> "Tensor": ...

    def gram(self, report: Report) -> "Tensor": ...


@dataclass(frozen=True, eq=False)
class Solution:
    """The answer of a solver, and how it was reached.

    `answer` (d,); `residual` = ‖v − C answer‖ / ‖v‖, recomputed with the whole curvature rather than by a recursion;
    `history`: (step, residual) during the solve; `numbers`: further results, such as LiSSA's `scale`.
    `at_damping(damping)`: the answer (d,) at another damping, where it costs almost nothing; `spectrum`: of the dual
    solver, for leverages and kernels of single cells.
    """

    answer: "Tensor"
    residual: float
    steps: int
    seconds: float
    converged: bool
    history: list[tuple[int, float]]
    warnings: tuple[str, ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)
    at_damping: "Callable[[float], Tensor] | None" = None
    spectrum: "Spectrum | None" = None


def norm_of(vector: "Tensor") -> float:
    """Norm of a right-hand side. Raises `NotSolved` where it is zero or not finite."""
    size = float(vector.norm())
    if not math.isfinite(size):
        raise NotSolved("the gradient of the target loss is not finite; look for labels or weights that are NaN")
    if size == 0:
        raise NotSolved("the gradient of the target loss is zero, so every score would be 0; use another target part")
    return size


def residual_of(curvature: Matrix, answer: "Tensor", vector: "Tensor") -> float:
    """‖v − C answer‖ / ‖v‖, by one product with the whole curvature."""
    return float((vector - curvature @ answer).norm() / vector.norm())


def extreme_eigenvalues(curvature: Matrix, like: "Tensor", steps: int = 40, seed: int = 0) -> tuple[float, float]:
    """Lowest and highest eigenvalue of a symmetric matrix, by Lanczos without reorthogonalisation.

    Both lie within the true range: the lowest is never below the true one. Costs one product a step and three vectors.
    Lost orthogonality only repeats eigenvalues that have converged already.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)
    q = q / q.norm()
    before, beta, alphas, betas = torch.zeros_like(q), 0.0, [], []
    for _ in range(min(steps, like.numel())):
        w = curvature @ q
        alpha = float(q @ w)
        w = w - alpha * q - beta * before
        beta = float(w.norm())
        alphas.append(alpha)
        if not math.isfinite(beta) or beta <= 1e-12 * max(1.0, abs(alpha)):
            break
        betas.append(beta)
        before, q = q, w / beta
    if not np.isfinite(alphas).all():
        raise NotSolved("a product with the curvature is not finite; train with a lower learning rate, or in float32")
    off = betas[: len(alphas) - 1]
    values = np.linalg.eigvalsh(np.diag(alphas) + np.diag(off, 1) + np.diag(off, -1))
    return float(values[0]), float(values[-1])


def indefinite_error(curvature: Matrix, vector: "Tensor", evidence: str) -> NotSolved:
    """The error for a matrix with negative curvature, with its extreme eigenvalues; `evidence`: what showed it."""
    lowest, highest = extreme_eigenvalues(curvature, vector)
    if lowest > 0:
        return NotSolved(
            f"{evidence}, though the whole curvature is positive ({lowest:.4g} to {highest:.4g}): single mini-batches "
            "have far more curvature; leave `scale` empty, raise it, or use cg"
        )
    return negative_eigenvalue_error(lowest, highest, evidence)


def negative_eigenvalue_error(lowest: float, highest: float, evidence: str) -> NotSolved:
    """The error for a lowest eigenvalue that is not positive; `evidence`: what showed it."""
    return NotSolved(
        f"the curvature with its damping has eigenvalues from {lowest:.4g} to {highest:.4g} ({evidence}), so "
        f"its inverse gives no influence; raise `damping` by more than {-1.2 * lowest:.4g} or use the Gauss-Newton "
        "curvature"
    )
