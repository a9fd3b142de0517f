"""The solver that suits the size of the training part."""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import settings
from core.influence.solvers.cg import CG
from core.influence.solvers.dual import Dual
from core.influence.solvers.solution import Matrix, Solution

if TYPE_CHECKING:
    from torch import Tensor

PRECONDITIONER_CELLS = 1024  # training cells; with 3,360 in all they reduced 60 steps or more to 8


@settings
class Auto:
    """The dual solver where it is affordable, conjugate gradients elsewhere; the default.

    The dual is exact, and also gives the effect of each pool molecule on each target molecule, and intervals. The
    solver chosen is in the record.
    """

    kind: ClassVar[str] = "auto"
    name: ClassVar[str] = "automatic"

    most: int = Field(
        default=8192, ge=1, le=65_536, description="labelled training values up to which the dual solver is used"
    )

    def __call__(self, curvature: Matrix, vector: "Tensor", report: Report = SILENT_REPORT) -> Solution:
        solver = self.choose_solver(curvature)
        solution = solver(curvature, vector, report)
        return replace(solution, numbers={**solution.numbers, "chosen": solver.kind})

    def choose_solver(self, curvature: Matrix) -> "Dual | CG":
        newton = curvature.form == "gauss-newton" and curvature.damping > 0
        if newton and curvature.cells <= self.most:
            return Dual(most=self.most)
        return CG(preconditioner=PRECONDITIONER_CELLS if curvature.damping > 0 else 0)
