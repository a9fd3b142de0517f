"""Exact solver: the dense matrix and its eigenvalues."""

import time
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import settings
from core.influence.solvers.solution import Matrix, NotSolved, Solution, negative_eigenvalue_error, norm_of, residual_of

if TYPE_CHECKING:
    from torch import Tensor

REPORT_EVERY = 16  # products between two progress reports


@settings
class Exact:
    """Eigendecomposition of the dense curvature matrix, for few weights.

    The reference for the other solvers, which use a few matrix products where this one forms the whole matrix. For the
    last layer it takes seconds. Raises `NotSolved` where an eigenvalue is not positive.
    """

    kind: ClassVar[str] = "exact"
    name: ClassVar[str] = "dense matrix (exact)"

    most: int = Field(
        default=4096, ge=1, le=32_768, description="weights, at most: one product each, 8 bytes of memory for each pair"
    )
    tolerance: float = Field(default=1e-3, gt=0, lt=1, description="largest relative residual that counts as solved")

    def __call__(self, curvature: Matrix, vector: "Tensor", report: Report = SILENT_REPORT) -> Solution:
        import torch

        began, d = time.monotonic(), vector.numel()
        norm_of(vector)
        if d > self.most:
            raise NotSolved(
                f"{d:,} weights are in the scope, and the exact solver takes {self.most:,} at most; choose the "
                "scope “last layer”, another solver, or raise `most`"
            )
        matrix = torch.empty(d, d, dtype=torch.float64)
        for column in range(d):
            unit = torch.zeros_like(vector)
            unit[column] = 1
            matrix[column] = (curvature @ unit).double().cpu()
            if column % REPORT_EVERY == 0:
                report(0.95 * column / d, f"column {column:,} of {d:,} of the curvature", step=column)
        if not torch.isfinite(matrix).all():
            raise NotSolved("the curvature gives numbers that are not finite; look for NaN weights, or raise `damping`")
        values, basis = torch.linalg.eigh((matrix + matrix.T) / 2)
        lowest, highest = float(values[0]), float(values[-1])
        if lowest <= 0:
            raise negative_eigenvalue_error(lowest, highest, "of the whole matrix")
        coefficients = basis.T @ vector.double().cpu()

        def solve_shifted(shift: float) -> "Tensor":
            return (basis @ (coefficients / (values + shift))).to(vector)

        answer = solve_shifted(0.0)
        residual = residual_of(curvature, answer, vector)
        report(1.0, f"solved, residual {residual:.2g}", step=d, residual=residual)
        converged = residual <= self.tolerance
        warnings = () if converged else (f"rounding leaves a residual of {residual:.2g}; raise `damping`",)
        numbers = {"lowest": lowest, "highest": highest}
        return Solution(
            answer,
            residual,
            d,
            time.monotonic() - began,
            converged,
            [(0, 1.0), (d, residual)],
            warnings,
            numbers,
            at_damping=lambda damping: solve_shifted(damping - curvature.damping),
        )
