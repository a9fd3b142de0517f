"""Influence: a fit, a pool and a target → the predicted change of the target loss for each molecule of the pool."""

import time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import Spec, settings
from core.influence.diagnostics import leave_one_out, linear, stability, whole_steps
from core.influence.linearized import Part
from core.influence.scope import check_gradient, moved
from core.influence.scoring import check_scores, check_tables, check_use, for_tasks, score_table, scored_rows, scorer
from core.influence.solvers import SOLVERS, Auto
from core.results.fit import Fit
from core.results.scores import CONVENTION, Scores, detection, unit_factor, unit_words
from core.training.checks import unreadable

if TYPE_CHECKING:
    from core.influence.directional import Step
    from core.influence.view import View
    from core.models.predictor import Predictor

__all__ = ["Influence", "score_table", "scorer"]

PILOT = 96  # molecules on which the step is set
FEATURES_AT_MOST = 100_000  # molecules of a pool whose features are kept for greedy selection


@settings
class Influence(Spec[Scores]):
    """Which molecules of a pool would help the fit, which would hurt: the change of the target loss if each were added.

    Influence functions (Koh & Liang, 2017, arXiv:1703.04730) with the Gauss-Newton curvature: one linear system for the
    whole pool, then one or two forward passes a molecule. First order: it judges each molecule alone and sees a small
    change of weight. Where the dual solves the system, whole steps and intervals come with it. The target should be
    the validation part; with the test part the answer chooses.
    """

    kind: ClassVar[str] = "influence"
    page: ClassVar[str] = "influence"
    revision: ClassVar[int] = 3
    effort: ClassVar[float] = 20.0

    fit: Spec[Fit] = Field(description="the trained predictor whose training part the pool would join")
    pool: Spec[Dataset] = Field(description="molecules to score, with labels of the same tasks; or without any")
    target: Spec[Dataset] = Field(description="molecules whose loss should fall: the validation part")
    solver: Annotated[Any, SOLVERS] = Field(default=Auto(), description="how the linear system is solved")
    curvature: Literal["gauss-newton", "hessian"] = Field(
        default="gauss-newton", description="hessian is exact, and refused where it bends downwards (stopped early)"
    )
    damping: float | None = Field(
        default=None, gt=0, description="added to the curvature; empty: the mean of its eigenvalues that are not zero"
    )
    matched: bool = Field(
        default=False,
        description="damp so that training molecules left out are predicted as badly as the target's are (dual alone)",
    )
    scope: Literal["all", "head", "last layer"] = Field(default="all", description="weights that are thought to move")
    curvature_rows: int = Field(default=0, ge=0, description="training molecules the curvature is taken from; 0 is all")
    route: Literal["one-sided", "central", "forward-mode"] = Field(
        default="one-sided",
        description="how the pool is scored: 1, 2 or about 2.5 forward passes beside the prediction",
    )
    stability: bool = Field(
        default=True,
        description="solve also at a third and at three times the damping (for nothing where the dual does it)",
    )
    batch_size: int = Field(default=64, ge=1, le=4096, description="molecules in a batch")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the curvature's sample and the trace estimate")

    @field_validator("fit")
    @classmethod
    def _followed(cls, fit: Spec[Fit]) -> Spec[Fit]:
        check_gradient(fit)
        return fit

    @property
    def title(self) -> str:
        return f"influence of {self.pool.title} by {self.solver.kind}, {self.scope} weights"

    def early(self) -> dict[str, Spec]:
        train = self.fit.split_parts.get("train")
        return {} if train is None else {"train": train, "pool": self.pool, "target": self.target}

    def foresee(self, train: Dataset, pool: Dataset, target: Dataset) -> None:
        """Raises `BadInput` where the tables cannot be used together: before the training that is needed for it."""
        check_use(train.tasks, train, pool, target)

    def make(self, report: Report, fit: Fit, pool: Dataset, target: Dataset) -> Scores:
        from core.influence.directional import Slopes, choose_step
        from core.influence.linear_system import NEIGHBOURS, solved, split
        from core.influence.view import view
        from core.models.predictor import Predictor

        began = time.monotonic()
        train, digest = fit.table("train"), pool.digest
        pool = for_tasks(fit, pool)
        parts = {"train": train, "target": target, "pool": pool}
        warnings = check_tables(fit, train, pool, target)
        report(0, "loading the predictor")
        predictor = Predictor.load(fit.folder / "predictor")
        warnings += unreadable(predictor.backbone, {"pool": pool})
        seen = view(predictor, self.scope, moved(self.scope, predictor, fit))
        seen, arrays, record = solved(self, predictor, seen, parts, report.part(0, 0.7))
        pilot = np.random.default_rng(self.seed).permutation(len(pool))[:PILOT]
        inputs = [
            seen.inputs(predictor.encode([pool.smiles[row] for row in rows]))
            for rows in split(pilot, min(32, self.batch_size))
        ]
        step = choose_step(seen, arrays["vector"], inputs, self.route)
        slopes = Slopes(seen, arrays["vector"], step.size, step.route)
        keep = len(pool) <= FEATURES_AT_MOST
        swept = {}
        for name, (start, stop) in {"pool": (0.7, 0.9), "train": (0.9, 0.94), "target": (0.94, 0.96)}.items():
            part = report.part(start, stop, phase=f"scoring the {name}")
            given = (parts[name], record["cells_train"], self.batch_size, keep, part)
            swept[name] = scored_rows(predictor, seen, slopes, *given)
        table, training = swept["pool"].table, swept["train"].table
        check_scores(table)
        labels = {name: predictor.scaled(part.targets).double().cpu().numpy() for name, part in parts.items()}
        record |= self._about(fit, train, pool, target, predictor, seen, step)
        record["digests"]["pool"] = digest
        record["stability"] = stability(
            record, {name: arrays[name] for name in NEIGHBOURS if name in arrays}, slopes, predictor, pool, table,
            report.part(0.96, 0.99, phase="other dampings"),
        )  # fmt: skip
        tangent = {}
        if "pairs" in arrays:
            held = {name: value.double().cpu().numpy() for name, value in arrays.items()}
            shown = {name: Part(swept[name].outputs, labels[name]) for name in parts}
            tangent = linear(held, shown, record)
            record["pairs_check"] = whole_steps(table, tangent, record, self.seed)
        leave_one_out(training, arrays.get("leverage"), record, predictor)
        kept = {}
        for name in swept if keep else ():
            kept |= {name: swept[name].features, f"{name}_labels": labels[name]}
        record["warnings"] = [*warnings, *record["warnings"], *step.warnings]
        if not keep:
            record["warnings"].append(
                f"the pool has more than {FEATURES_AT_MOST:,} rows: no features kept, no greedy choice"
            )
        record["detection"] = detection(table, self.seed)
        record["seconds_in_all"] = time.monotonic() - began
        return Scores(
            table,
            arrays["vector"].cpu().numpy(),
            kept,
            record,
            training,
            swept["target"].table.filter(regex="^(smiles|label|prediction|residual)"),
            tangent,
        )

    def _about(
        self,
        fit: Fit,
        train: Dataset,
        pool: Dataset,
        target: Dataset,
        predictor: "Predictor",
        seen: "View",
        step: "Step",
    ) -> dict[str, Any]:
        kinds, spread = tuple(predictor.kinds), predictor.spread.double().cpu().numpy()
        return {
            "unit": unit_words(kinds, fit.record["unit"]),
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
