"""Conjugate gradients."""

import math
import time
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import settings
from core.influence.solvers.preconditioner import build_preconditioner
from core.influence.solvers.solution import Matrix, NotSolved, Solution, indefinite_error, norm_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@settings
class CG:
    """Conjugate gradients: accurate in few steps, stopped by the true residual.

    One product with the whole curvature a step (Hestenes & Stiefel, 1952, doi:10.6028/jres.049.044). The residual of
    the recursion drifts from the true one in float32, so the true one is computed before the solver stops, and the
    recursion restarts from it where they differ. Stops at the rounding error of the number type, where further steps
    would end in 0/0. Raises `NotSolved` on negative curvature.
    """

    kind: ClassVar[str] = "cg"
    name: ClassVar[str] = "conjugate gradients"

    tolerance: float = Field(
        default=1e-2, gt=0, lt=1, description="relative residual to stop at; 0.01 suffices for ranking"
    )
    steps: int = Field(default=100, ge=1, le=100_000, description="products with the curvature, at most")
    preconditioner: int = Field(
        default=0, ge=0, le=8192, description="labelled training values of the preconditioner; 0: none"
    )

    def __call__(self, curvature: Matrix, vector: "Tensor", report: Report = SILENT_REPORT) -> Solution:
        import torch

        began, size = time.monotonic(), norm_of(vector)
        threshold = max(self.tolerance, torch.finfo(vector.dtype).eps)
        x, r, warnings = vector * 0, vector.clone(), []
        share = 0.2 if self.preconditioner else 0.0
        precondition, solve_report = self._preconditioner(curvature, report.part(0, share)), report.part(share, 1)
        p = precondition(r).clone()
        rho = float(r @ p)
        best, best_residual, true_residual, last_restart = x, math.inf, None, math.inf
        history = [(0, 1.0)]
        products = step = 0
        while products < self.steps:
            product = curvature @ p
            products += 1
            curvature_along = float(p @ product)
            if not math.isfinite(curvature_along):
                warnings.append(
                    f"a product with the curvature was not finite at step {step + 1}; the best answer is used"
                )
                break
            if curvature_along <= 0:
                raise indefinite_error(
                    curvature,
                    vector,
                    f"conjugate gradients found a curvature of {curvature_along / float(p @ p):.4g} at step {step + 1}",
                )
            step += 1
            x = x + (rho / curvature_along) * p
            r = r - (rho / curvature_along) * product
            residual = float(r.norm()) / size
            history.append((step, residual))
            if residual < best_residual:
                best, best_residual, true_residual = x, residual, None
            solve_report(
                self._progress(residual, step),
                f"solving, step {step}, residual {residual:.2g}",
                step=step,
                residual=residual,
            )
            if residual <= threshold:
                r = vector - curvature @ x
                products += 1
                true_residual = best_residual = float(r.norm()) / size
                best, history[-1] = x, (step, true_residual)
                if true_residual <= self.tolerance:
                    break
                if true_residual >= 0.9 * last_restart:
                    warnings.append(
                        f"rounding limits the residual to {true_residual:.2g}; a looser `tolerance` would stop here"
                    )
                    break
                last_restart, p = true_residual, precondition(r).clone()
                rho = float(r @ p)
                continue
            z = precondition(r)
            new_rho = float(r @ z)
            p, rho = z + (new_rho / rho) * p, new_rho
        if true_residual is None:
            true_residual = float((vector - curvature @ best).norm()) / size
        if not math.isfinite(true_residual) or not math.isfinite(best_residual):
            raise NotSolved("the curvature gives numbers that are not finite; look for NaN weights, or raise `damping`")
        converged = true_residual <= self.tolerance
        if not converged:
            warnings.append(
                f"stopped after {step} steps at residual {true_residual:.2g}, above the tolerance {self.tolerance:g}; "
                "raise `steps` or `damping`"
            )
        return Solution(best, true_residual, step, time.monotonic() - began, converged, history, tuple(warnings))

    def _preconditioner(self, curvature: Matrix, report: Report) -> "Callable[[Tensor], Tensor]":
        """r → an approximation of (curvature)⁻¹ r, or r itself without a preconditioner."""
        if not self.preconditioner:
            return lambda r: r
        return build_preconditioner(curvature, self.preconditioner, report)

    def _progress(self, residual: float, step: int) -> float:
        """Progress from 0 to 1: by digits of the residual or by steps, whichever is larger."""
        return max(step / self.steps, min(1.0, math.log(max(residual, 1e-30)) / math.log(self.tolerance)))
