"""Label errors: training molecules ranked by the residual of the model without them."""

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

FOLDS = 10  # of the cross-validation for the second opinion


@settings
class LabelErrors(Spec[LabelErrorTable]):
    """Training labels that look wrong: each molecule's leave-one-out residual, and a second opinion by a baseline.

    The residual has the closed form r / (1 − h) with the leverage h from the dual (Cook & Weisberg 1982): nothing is
    retrained. Leverages are taken at the damping at which the leave-one-out error equals the target's error. The plain
    residual r misses a wrong label that the model has fitted. The second opinion is the out-of-fold prediction of a
    baseline; `suspicion` is high if both are far from the label. Such a molecule has a wrong label or an unusual
    structure. The table also has the predicted change of the target loss if the molecule is removed.
    """

    kind: ClassVar[str] = "label-errors"
    page: ClassVar[str] = "train"
    revision: ClassVar[int] = 3
    effort: ClassVar[float] = 3.0
    curvature: ClassVar[str] = "gauss-newton"  # the only one with leverages; of all rows
    curvature_rows: ClassVar[int] = 0
    stability: ClassVar[bool] = False
    matched: ClassVar[bool] = False  # the change of the target loss is at the usual damping

    fit: Spec[Fit] = Field(description="the trained model whose training labels are checked")
    train: Spec[Dataset] = Field(description="its training set, with the other columns of each row")
    target: Spec[Dataset] = Field(description="molecules whose loss should decrease: the validation set")
    solver: Annotated[Any, SOLVERS] = Field(default=Auto(), description="auto or dual: no other solver gives leverages")
    damping: float | None = Field(
        default=None,
        gt=0,
        description="added to the eigenvalues of the curvature; empty: the mean of its non-zero eigenvalues",
    )
    scope: Literal["all", "head", "last layer"] = Field(default="all", description="weights considered")
    opinion: Annotated[Any, BASELINES] = Field(
        default=SupportVectors(penalty=3.0),  # smoother than the default baseline: some labels are wrong
        description="baseline that gives the second opinion",
    )
    batch_size: int = Field(default=64, ge=1, le=4096, description="molecules in a batch")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the trace estimate and of the folds")

    def __post_init__(self) -> None:
        check_gradient(self.fit)
        if not isinstance(self.solver, (Auto, Dual)):
            raise BadInput(f"{self.solver.kind} gives no leverages; use auto or dual")

    @classmethod
    def of(cls, fit: Any) -> "LabelErrors":
        """The check of a fine-tuning's training set, with its validation set as target."""
        return cls(fit, fit.train, fit.valid)

    @property
    def title(self) -> str:
        return f"label errors in the training set of {self.fit.title}"

    @property
    def page_owner(self) -> Spec:
        return self.fit

    def make(self, report: Report, fit: Fit, train: Dataset, target: Dataset) -> LabelErrorTable:
        from core.influence.directional import DirectionalDerivative, choose_step
        from core.influence.linear_system import solve_system
        from core.influence.view import parameter_view
        from core.models.predictor import Predictor

        began = time.monotonic()
        fit_train = fit.table("train")
        if list(fit_train.smiles) != list(train.smiles):
            raise BadInput("`train` is not the training set of the fit; give the fit's own `train`")
        cells = int((~np.isnan(fit_train.targets)).sum())
        if cells > self.solver.most:
            raise BadInput(
                f"the training set has {cells:,} measured values and all pairs have to fit in memory; raise `most` "
                f"of the solver (it is {self.solver.most:,}), or train on fewer molecules"
            )
        report(0, "loading the predictor")
        predictor = Predictor.load(fit.folder / "predictor")
        view = parameter_view(predictor, self.scope, weights_in_scope(self.scope, predictor, fit))
        view, arrays, record = solve_system(
            self, predictor, view, {"train": fit_train, "target": target}, report.part(0, 0.8)
        )
        rows = np.random.default_rng(self.seed).permutation(len(fit_train))[:96]
        inputs = [view.inputs(predictor.encode([fit_train.smiles[row] for row in rows]))]
        step = choose_step(view, arrays["vector"], inputs)
        derivative = DirectionalDerivative(view, arrays["vector"], step.size, step.route)
        part = report.part(0.8, 0.9, phase="scoring the training set")
        arguments = (fit_train, record["cells_train"], self.batch_size, False, part)
        table = score_rows(predictor, view, derivative, *arguments).table
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
