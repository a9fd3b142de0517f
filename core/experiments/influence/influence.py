"""Influence scores: the predicted change of the target loss for each molecule of a pool."""

import time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import Spec, settings
from core.influence.diagnostics import add_full_updates, add_leave_one_out, damping_stability, linearized_arrays
from core.influence.linearized import OutputsAndLabels
from core.influence.scope import check_gradient, weights_in_scope
from core.influence.scoring import (
    check_scores,
    check_tables,
    check_use,
    make_scorer,
    score_dataset,
    score_rows,
    with_tasks,
)
from core.influence.solvers import SOLVERS, Auto
from core.results.fit import Fit
from core.results.scores import CONVENTION, Scores, describe_unit, evaluate_detection, unit_factor
from core.training.checks import describe_unreadable

if TYPE_CHECKING:
    from core.influence.directional import Step
    from core.influence.view import ParameterView
    from core.models.predictor import Predictor

__all__ = ["Influence", "make_scorer", "score_dataset"]

PILOT_ROWS = 96  # molecules from which the finite-difference step is chosen
MAX_FEATURE_ROWS = 100_000  # molecules; a larger pool is stored without features, so without greedy selection


@settings
class Influence(Spec[Scores]):
    """The predicted change of the target loss if a molecule of the pool is added to the training set; negative helps.

    Influence functions (Koh & Liang, 2017, arXiv:1703.04730) with the Gauss-Newton curvature: one linear system for the
    pool, then one or two forward passes per molecule. Scores are first order: each molecule is scored separately, for a
    small change of the weights. The dual solver adds full updates and intervals. The target should be the validation
    set; a selection by the test set makes the test error too optimistic.
    """

    kind: ClassVar[str] = "influence"
    page: ClassVar[str] = "influence"
    revision: ClassVar[int] = 3
    effort: ClassVar[float] = 20.0

    fit: Spec[Fit] = Field(description="the trained model whose training set the pool would extend")
    pool: Spec[Dataset] = Field(description="molecules to score, with labels of the same tasks or without labels")
    target: Spec[Dataset] = Field(description="molecules whose loss should decrease: the validation set")
    solver: Annotated[Any, SOLVERS] = Field(
        default=Auto(), description="solver of the linear system with the curvature"
    )
    curvature: Literal["gauss-newton", "hessian"] = Field(
        default="gauss-newton",
        description="hessian is exact; it is refused if not positive definite (training stopped early)",
    )
    damping: float | None = Field(
        default=None,
        gt=0,
        description="added to the eigenvalues of the curvature; empty: the mean of its non-zero eigenvalues",
    )
    matched: bool = Field(
        default=False,
        description="choose the damping so that the leave-one-out training error matches the target error (dual only)",
    )
    scope: Literal["all", "head", "last layer"] = Field(default="all", description="weights considered")
    curvature_rows: int = Field(
        default=0, ge=0, description="training molecules that the curvature is computed from; 0: all"
    )
    route: Literal["one-sided", "central", "forward-mode"] = Field(
        default="one-sided",
        description="how the pool is scored: 1, 2 or about 2.5 forward passes in addition to the prediction",
    )
    stability: bool = Field(
        default=True,
        description="also solve at a third and at three times the damping (free with the dual)",
    )
    batch_size: int = Field(default=64, ge=1, le=4096, description="molecules in a batch")
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="random seed of the curvature's sample and the trace estimate"
    )

    @field_validator("fit")
    @classmethod
    def _require_gradient(cls, fit: Spec[Fit]) -> Spec[Fit]:
        check_gradient(fit)
        return fit

    @property
    def title(self) -> str:
        return f"influence of {self.pool.title} by {self.solver.name}, {self.scope} weights"

    def cheap_parts(self) -> dict[str, Spec]:
        train = self.fit.split_parts.get("train")
        return {} if train is None else {"train": train, "pool": self.pool, "target": self.target}

    def validate_early(self, train: Dataset, pool: Dataset, target: Dataset) -> None:
        """Check that the tables fit together, before any training. Raises `BadInput`."""
        check_use(train.tasks, train, pool, target)

    def make(self, report: Report, fit: Fit, pool: Dataset, target: Dataset) -> Scores:
        from core.influence.directional import DirectionalDerivative, choose_step
        from core.influence.linear_system import OTHER_DAMPINGS, solve_system, split_rows
        from core.influence.view import parameter_view
        from core.models.predictor import Predictor

        began = time.monotonic()
        train, digest = fit.table("train"), pool.digest
        pool = with_tasks(fit, pool)
        parts = {"train": train, "target": target, "pool": pool}
        warnings = check_tables(fit, train, pool, target)
        report(0, "loading the predictor")
        predictor = Predictor.load(fit.folder / "predictor")
        warnings += describe_unreadable(predictor.backbone, {"pool": pool})
        view = parameter_view(predictor, self.scope, weights_in_scope(self.scope, predictor, fit))
        view, arrays, record = solve_system(self, predictor, view, parts, report.part(0, 0.7))
        pilot = np.random.default_rng(self.seed).permutation(len(pool))[:PILOT_ROWS]
        inputs = [
            view.inputs(predictor.encode([pool.smiles[row] for row in rows]))
            for rows in split_rows(pilot, min(32, self.batch_size))
        ]
        step = choose_step(view, arrays["vector"], inputs, self.route)
        derivative = DirectionalDerivative(view, arrays["vector"], step.size, step.route)
        keep_features = len(pool) <= MAX_FEATURE_ROWS
        row_scores = {}
        for name, (start, stop) in {"pool": (0.7, 0.9), "train": (0.9, 0.94), "target": (0.94, 0.96)}.items():
            part = report.part(start, stop, phase=f"scoring the {name}")
            arguments = (parts[name], record["cells_train"], self.batch_size, keep_features, part)
            row_scores[name] = score_rows(predictor, view, derivative, *arguments)
        table, training = row_scores["pool"].table, row_scores["train"].table
        check_scores(table)
        labels = {name: predictor.scale_labels(part.targets).double().cpu().numpy() for name, part in parts.items()}
        record |= self._record(fit, train, pool, target, predictor, view, step)
        record["digests"]["pool"] = digest
        record["stability"] = damping_stability(
            record,
            {name: arrays[name] for name in OTHER_DAMPINGS if name in arrays},
            derivative,
            predictor,
            pool,
            table,
            report.part(0.96, 0.99, phase="other dampings"),
        )
        linearized = {}
        if "pairs" in arrays:
            numpy_arrays = {name: value.double().cpu().numpy() for name, value in arrays.items()}
            outputs_and_labels = {name: OutputsAndLabels(row_scores[name].outputs, labels[name]) for name in parts}
            linearized = linearized_arrays(numpy_arrays, outputs_and_labels, record)
            record["pairs_check"] = add_full_updates(table, linearized, record, self.seed)
        add_leave_one_out(training, arrays.get("leverage"), record, predictor)
        features = {}
        for name in row_scores if keep_features else ():
            features |= {name: row_scores[name].features, f"{name}_labels": labels[name]}
        record["warnings"] = [*warnings, *record["warnings"], *step.warnings]
        if not keep_features:
            record["warnings"].append(
                f"the pool has more than {MAX_FEATURE_ROWS:,} rows: no features are stored, so no greedy selection"
            )
        record["detection"] = evaluate_detection(table, self.seed)
        record["seconds_in_all"] = time.monotonic() - began
        return Scores(
            table,
            arrays["vector"].cpu().numpy(),
            features,
            record,
            training,
            row_scores["target"].table.filter(regex="^(smiles|label|prediction|residual)"),
            linearized,
        )

    def _record(
        self,
        fit: Fit,
        train: Dataset,
        pool: Dataset,
        target: Dataset,
        predictor: "Predictor",
        view: "ParameterView",
        step: "Step",
    ) -> dict[str, Any]:
        kinds, spread = tuple(predictor.kinds), predictor.spread.double().cpu().numpy()
        return {
            "unit": describe_unit(kinds, fit.record["unit"]),
            "unit_factor": unit_factor(kinds, spread),
            "convention": CONVENTION,
            "tasks": list(fit.tasks),
            "kinds": list(kinds),
            "label_unit": list(fit.record["unit"]),
            "n_train": len(train),
            "n_target": len(target),
            "fit": self.fit.key,
            "digests": {"train": fit.record["digests"]["train"], "target": target.digest, "pool": pool.digest},
            "route": step.route,
            "step": step.size,
            "step_check": step.change,
            "forward_mode_check": step.forward_mode,
            "forward_mode_rms": step.forward_mode_rms,
            "batch_size": self.batch_size,
        }
