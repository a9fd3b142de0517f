"""Gradient similarity: scores without any curvature."""

import math
import time
from typing import TYPE_CHECKING, ClassVar

from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import settings
from core.influence.solvers.solution import Matrix, NotSolved, Solution, norm_of

if TYPE_CHECKING:
    from torch import Tensor


@settings
class GradientSimilarity:
    """Gradient similarity: no curvature is inverted; a control, not an influence function.

    Scores are inner products of two gradients (TracIn at the last checkpoint; Pruthi et al. 2020, arXiv 2002.08484);
    damping does not change their order. They are scaled by vᵀv / vᵀCv, the first step of conjugate gradients; the
    residual says how much of the curvature is left out.
    """

    kind: ClassVar[str] = "gradient-similarity"
    name: ClassVar[str] = "gradient similarity"

    def __call__(self, curvature: Matrix, vector: "Tensor", report: Report = SILENT_REPORT) -> Solution:
        began = time.monotonic()
        size = norm_of(vector)
        product = curvature @ vector
        curvature_along = float(vector @ product)
        if not math.isfinite(curvature_along):
            raise NotSolved("a product with the curvature is not finite; look for NaN weights, or raise `damping`")
        if curvature_along <= 0:
            raise NotSolved(
                f"the curvature along the gradient of the target loss is {curvature_along:.4g}; use the Gauss-Newton "
                "curvature, or raise `damping`"
            )
        step = size**2 / curvature_along
        residual = float((vector - step * product).norm()) / size
        report(1.0, f"gradient similarity, residual {residual:.2g}", step=1, residual=residual)
        return Solution(
            step * vector,
            residual,
            1,
            time.monotonic() - began,
            False,
            [(0, 1.0), (1, residual)],
            (
                f"gradient similarity: no curvature is inverted (residual {residual:.2g}), so scores do not predict "
                "changes of the loss; use dual or cg",
            ),
            {"factor": step},
        )
