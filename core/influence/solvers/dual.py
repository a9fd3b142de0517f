"""Dual solver: one equation per labelled training value instead of one per weight."""

import math
import time
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import settings
from core.influence.solvers.gram_spectrum import Spectrum
from core.influence.solvers.solution import Matrix, NotSolved, Rows, Solution, extreme_eigenvalues, norm_of, residual_of

if TYPE_CHECKING:
    from torch import Tensor

MAX_REFINEMENTS = 3  # steps of iterative refinement


@settings
class Dual:
    """Exact over all weights: one equation per labelled training value instead of one per weight.

    The Gauss-Newton curvature is C = AᵀA + λI with a row of A for each labelled value, so
    C⁻¹v = (v − Aᵀ(AAᵀ + λ)⁻¹Av) / λ: one Gram matrix (values × values), summed layer by layer, in about
    values² × weights multiplications, for a head far fewer. Rounding errors are corrected by iterative refinement until
    the true residual is below the tolerance. Other dampings, leverages and pairwise effects then follow from the
    eigenvalues of that matrix.
    """

    kind: ClassVar[str] = "dual"
    name: ClassVar[str] = "dual (exact)"

    tolerance: float = Field(default=1e-4, gt=0, lt=1, description="relative residual to reach")
    most: int = Field(
        default=8192,
        ge=1,
        le=65_536,
        description="largest exact problem: labelled training values, at most; 8 bytes of memory for each pair",
    )

    def __call__(self, curvature: Matrix, vector: "Tensor", report: Report = SILENT_REPORT) -> Solution:
        import torch

        began = time.monotonic()
        norm_of(vector)
        rows, damping = self._rows(curvature), curvature.damping
        gram = rows.gram(report.part(0, 0.8))
        if not torch.isfinite(gram).all():
            raise NotSolved("the curvature gives numbers that are not finite; look for NaN weights, or raise `damping`")
        report(0.8, f"solving for {len(rows):,} cells", step=len(rows))
        spectrum = Spectrum.of(gram, len(rows))
        del gram
        triangle = spectrum.factor(damping)

        def inverse(right_side: "Tensor", other_damping: float = damping) -> "Tensor":
            along = rows.times(right_side).double()
            if other_damping == damping and triangle is not None:
                inner = torch.cholesky_solve(along[:, None], triangle)[:, 0]
            else:
                inner = spectrum.solve(along, other_damping)
            return (right_side.double() - rows.transpose_times(inner).double()) / other_damping

        answer = inverse(vector)
        history, best = [(0, 1.0)], (math.inf, answer)
        for step in range(1, MAX_REFINEMENTS + 2):
            residual = residual_of(curvature, answer.to(vector), vector)
            history.append((step, residual))
            report(
                0.8 + 0.2 * step / (MAX_REFINEMENTS + 1),
                f"solved, residual {residual:.2g}",
                step=step,
                residual=residual,
            )
            better = residual < best[0]
            if better:
                best = (residual, answer)
            if residual <= self.tolerance or not better or step > MAX_REFINEMENTS:
                break
            answer = answer + inverse(vector - curvature @ answer.to(vector))
        residual, answer = best
        if not math.isfinite(residual):
            raise NotSolved("the answer is not finite; raise `damping`")
        history[-1] = (history[-1][0], residual)
        converged = residual <= self.tolerance
        warnings = () if converged else (f"rounding leaves a residual of {residual:.2g}; raise `damping`",)
        highest = extreme_eigenvalues(spectrum.gram, spectrum.gram[0])[1] + damping
        numbers = {"cells": len(rows), "highest": highest, "trace": float(spectrum.gram.trace())}
        return Solution(
            answer.to(vector),
            residual,
            len(history) - 1,
            time.monotonic() - began,
            converged,
            history,
            warnings,
            numbers,
            at_damping=lambda other: inverse(vector, other).to(vector),
            spectrum=spectrum,
        )

    def _rows(self, curvature: Matrix) -> "Rows":
        """Rows of the curvature. Raises `NotSolved` for a Hessian, without damping, or with too many cells."""
        if curvature.form != "gauss-newton":
            raise NotSolved("the dual solver needs the Gauss-Newton curvature; choose that, or another solver")
        if not curvature.damping > 0:
            raise NotSolved("the dual solver divides by the damping; give one above 0")
        rows = curvature.rows()
        if len(rows) > self.most:
            raise NotSolved(
                f"the curvature has {len(rows):,} measured training cells, and the dual solver takes {self.most:,} at "
                "most; set `curvature_rows` to fewer, choose conjugate gradients, or raise `most`"
            )
        return rows
