"""Preconditioner: an approximate inverse of a curvature from some of its cells."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.engine.report import Report
from core.influence.solvers.solution import Matrix, NotSolved

if TYPE_CHECKING:
    from torch import Tensor

DAMPING_FACTOR = 3.0  # times the damping, for the curvature of cells that are left out; two to five work as well


def build_preconditioner(curvature: Matrix, cells: int, report: Report) -> "Callable[[Tensor], Tensor]":
    """r → (BᵀB + μI)⁻¹ r with the Gauss-Newton rows B of some `cells`, μ three times the damping.

    By the Gram matrix of these cells (Woodbury, 1950): cells² × weights multiplications once, then one forward and one
    backward pass of the cells for each use. It removes the largest eigenvalues, which would cost conjugate gradients
    many steps; the answer does not change.
    """
    import torch

    if not curvature.damping > 0:
        raise NotSolved("the preconditioner divides by the damping; give one above 0, or set `preconditioner` to 0")
    rows, damping = curvature.subsample(cells).rows(), DAMPING_FACTOR * curvature.damping
    gram = rows.gram(report)
    gram.diagonal().add_(damping)
    triangle, failed = torch.linalg.cholesky_ex(gram)
    if int(failed) or not torch.isfinite(triangle).all():
        raise NotSolved("the curvature gives numbers that are not finite; look for NaN weights, or raise `damping`")

    def inverse(vector: "Tensor") -> "Tensor":
        inner = torch.cholesky_solve(rows.times(vector).double()[:, None], triangle)[:, 0]
        return ((vector.double() - rows.transpose_times(inner).double()) / damping).to(vector)

    return inverse
