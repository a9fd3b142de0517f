"""Suspects: a fit → its training molecules by how far their labels lie from what it would say without them."""

import time
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.influence.diagnostics import add_leave_one_out
from core.influence.scope import check_gradient, weights_in_scope
from core.influence.scoring import score_rows
from core.influence.solvers import SOLVERS, Auto, Dual
from core.models.baseline_model import predict_out_of_fold
from core.models.baselines import BASELINES, SupportVectors
from core.results.fit import Fit
from core.results.label_errors import LabelErrorTable, add_second_opinions, evaluate_detection
from core.results.scores import describe_unit, unit_factor

FOLDS = 10  # of the second opinion


@settings
class LabelErrors(Spec[LabelErrorTable]):
    """Which labels of the training part look wrong: the residual of each molecule in the model without it.

    In closed form, r / (1 − h) with the leverage h from the dual (Cook & Weisberg 1982): nothing is trained again. The
    leverages are at the damping at which molecules left out are predicted as badly as the target's are. A residual
    alone hides a wrong label that the model has bent itself to. A second opinion comes from a model without a network
    that was fitted to the other folds; where both are far off, `suspicion` is high. Far out is a wrong label, or a
    molecule like no other. Beside it what the target loss would do without each.
    """

    kind: ClassVar[str] = "label-errors"
    page: ClassVar[str] = "train"
    revision: ClassVar[int] = 3
    effort: ClassVar[float] = 3.0
    curvature: ClassVar[str] = "gauss-newton"  # leverages are of it alone, and of all rows
    curvature_rows: ClassVar[int] = 0
    stability: ClassVar[bool] = False
    matched: ClassVar[bool] = False  # what the target loss would do is at the usual damping

    fit: Spec[Fit] = Field(description="the trained predictor whose training part is looked at")
    train: Spec[Dataset] = Field(description="its training part, for what is known of each row beside the label")
    target: Spec[Dataset] = Field(description="molecules whose loss should fall: the validation part")
    solver: Annotated[Any, SOLVERS] = Field(default=Auto(), description="auto or dual: no other tells leverages")
    damping: float | None = Field(
        default=None, gt=0, description="added to the curvature; empty: the mean of its eigenvalues that are not zero"
    )
    scope: Literal["all", "head", "last layer"] = Field(default="all", description="weights that are thought to move")
    opinion: Annotated[Any, BASELINES] = Field(
        default=SupportVectors(penalty=3.0),  # smoother than the baseline: some of the labels are thought to be wrong
        description="the model without a network that is asked beside it",
    )
    batch_size: int = Field(default=64, ge=1, le=4096, description="molecules in a batch")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the trace estimate and of the folds")

    def __post_init__(self) -> None:
        check_gradient(self.fit)
        if not isinstance(self.solver, (Auto, Dual)):
            raise BadInput(f"{self.solver.kind} tells no leverages; take auto or dual")

    @classmethod
    def of(cls, fit: Any) -> "LabelErrors":
        """The training part of a fine-tuning, by its validation part."""
        return cls(fit, fit.train, fit.valid)

    @property
    def title(self) -> str:
        return f"labels that look wrong to {self.fit.title}"

    @property
    def page_owner(self) -> Spec:
        return self.fit

    def make(self, report: Report, fit: Fit, train: Dataset, target: Dataset) -> LabelErrorTable:
        from core.influence.directional import DirectionalDerivative, choose_step
        from core.influence.linear_system import solve_system
        from core.influence.view import parameter_view
        from core.models.predictor import Predictor

        began = time.monotonic()
        learned = fit.table("train")
        if list(learned.smiles) != list(train.smiles):
            raise BadInput("`train` is not the training part of the fit; give the fit's own")
        cells = int((~np.isnan(learned.targets)).sum())
        if cells > self.solver.most:
            raise BadInput(
                f"the training part has {cells:,} measured cells, and every pair of them has to be held; raise `most` "
                f"of the solver (it is {self.solver.most:,}), or fit a part of it"
            )
        report(0, "loading the predictor")
        predictor = Predictor.load(fit.folder / "predictor")
        seen = parameter_view(predictor, self.scope, weights_in_scope(self.scope, predictor, fit))
        seen, arrays, record = solve_system(
            self, predictor, seen, {"train": learned, "target": target}, report.part(0, 0.8)
        )
        rows = np.random.default_rng(self.seed).permutation(len(learned))[:96]
        inputs = [seen.inputs(predictor.encode([learned.smiles[row] for row in rows]))]
        step = choose_step(seen, arrays["vector"], inputs)
        slopes = DirectionalDerivative(seen, arrays["vector"], step.size, step.route)
        part = report.part(0.8, 0.9, phase="looking at the training part")
        given = (learned, record["cells_train"], self.batch_size, False, part)
        table = score_rows(predictor, seen, slopes, *given).table
        kinds, spread = tuple(predictor.kinds), predictor.spread.double().cpu().numpy()
        record |= {"tasks": list(fit.tasks), "kinds": list(kinds), "unit": describe_unit(kinds, fit.record["unit"])}
        record |= {"unit_factor": unit_factor(kinds, spread), "label_unit": list(fit.record["unit"])}
        add_leave_one_out(table, arrays["leverage"], record, predictor)
        add_second_opinions(
            table, predict_out_of_fold(self.opinion, train, FOLDS, self.seed, report.part(0.9, 1.0)), fit.tasks
        )
        if "mislabelled" in train.columns:
            table["mislabelled"] = np.asarray(train.columns["mislabelled"], bool)
        record |= {
            "fit": self.fit.key,
            "digests": {"train": fit.record["digests"]["train"], "target": target.digest},
            "rows": len(table),
            "opinion": self.opinion.name,
            "detection": evaluate_detection(table, self.seed),
            "warnings": [*record["warnings"], *step.warnings],
            "seconds_in_all": time.monotonic() - began,
        }
        return LabelErrorTable(table, record)
