"""An approximate inverse of a curvature, from what some of its cells say."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.engine.report import Report
from core.influence.solvers.solution import Matrix, NotSolved

if TYPE_CHECKING:
    from torch import Tensor

DAMPING_FACTOR = 3.0  # of the damping: lifts the directions that the cells left out would bend; two to five are as good


def build_preconditioner(curvature: Matrix, cells: int, report: Report) -> "Callable[[Tensor], Tensor]":
    """r → (BᵀB + μI)⁻¹ r with the Gauss-Newton rows B of some `cells`, μ three times the damping.

    By the Gram matrix of these cells alone (Woodbury, 1950), which costs cells² × weights multiplications once, and for
    each use one pass of them forwards and one back. It flattens what is common to the table, which conjugate gradients
    would spend their steps on; the answer is not changed by it.
    """
    import torch

    if not curvature.damping > 0:
        raise NotSolved(
            "the preconditioner divides by the damping; give one above 0, or set `build_preconditioner` to 0"
        )
    rows, lifted = curvature.part(cells).rows(), DAMPING_FACTOR * curvature.damping
    gram = rows.gram(report)
    gram.diagonal().add_(lifted)
    triangle, failed = torch.linalg.cholesky_ex(gram)
    if int(failed) or not torch.isfinite(triangle).all():
        raise NotSolved("the curvature gives numbers that are not finite; look for NaN weights, or raise `damping`")

    def inverse(given: "Tensor") -> "Tensor":
        inner = torch.cholesky_solve(rows.times(given).double()[:, None], triangle)[:, 0]
        return ((given.double() - rows.transpose_times(inner).double()) / lifted).to(given)

    return inverse
