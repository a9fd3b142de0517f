"""Influence: a fit, a pool and a target → the predicted change of the target loss for each molecule of the pool."""

import json
import time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from core.data import Dataset
from core.experiments.scoring import check_scores, check_tables, encoded, score_table, scored_rows, scorer
from core.experiments.soundness import unreadable
from core.fits import Fit
from core.report import SILENT, Report
from core.scores import CONVENTION, Scores, detection, unit_factor, unit_words
from core.solvers import CG, SOLVERS
from core.spec import BadInput, Spec, as_json, settings

if TYPE_CHECKING:
    import torch

    from core.directional import Step
    from core.influence import View
    from core.predictor import Predictor

__all__ = ["Influence", "score_table", "scorer"]

PILOT = 96  # molecules on which the step is set
FEATURES_AT_MOST = 100_000  # molecules of a pool whose features are kept for greedy selection


@settings
class Influence(Spec[Scores]):
    """Which molecules of a pool would help the fit, which would hurt: the change of the target loss if each were added.

    Influence functions (Koh & Liang, 2017, arXiv:1703.04730) with the Gauss-Newton curvature: one linear system for the
    whole pool, then one or two forward passes a molecule. First order: it judges each molecule alone and sees a small
    change of weight. The target should be the validation part; with the test part the answer chooses.
    """

    kind: ClassVar[str] = "influence"
    effort: ClassVar[float] = 3.0

    fit: Spec[Fit] = Field(description="the trained predictor whose training part the pool would join")
    pool: Spec[Dataset] = Field(description="molecules to score, with labels of the same tasks")
    target: Spec[Dataset] = Field(description="molecules whose loss should fall: the validation part")
    solver: Annotated[Any, SOLVERS] = Field(default=CG(), description="how the linear system is solved")
    curvature: Literal["gauss-newton", "hessian"] = Field(
        default="gauss-newton", description="hessian is exact, and refused where it bends downwards (stopped early)"
    )
    damping: float | None = Field(
        default=None, gt=0, description="added to the curvature; empty: the mean of its eigenvalues that are not zero"
    )
    scope: Literal["all", "head", "last layer"] = Field(default="all", description="weights that are thought to move")
    curvature_rows: int = Field(default=0, ge=0, description="training molecules the curvature is taken from; 0 is all")
    route: Literal["one-sided", "central", "forward-mode"] = Field(
        default="one-sided",
        description="how the pool is scored: 1, 2 or about 2.5 forward passes beside the prediction",
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

    def make(self, report: Report, fit: Fit, pool: Dataset, target: Dataset) -> Scores:
        from core.directional import Slopes, choose_step, swept
        from core.influence import view
        from core.predictor import Predictor

        began = time.monotonic()
        train = fit.table("train")
        warnings = check_tables(fit, train, pool, target)
        report(0, "loading the predictor")
        predictor = Predictor.load(fit.folder / "predictor")
        warnings += unreadable(predictor.backbone, {"pool": pool})
        seen = view(predictor, self.scope, self._names(predictor, fit))
        vector, seen, record = self._solved(report.part(0, 0.7), predictor, seen, train, target)
        pilot = np.random.default_rng(self.seed).permutation(len(pool))[:PILOT]
        inputs = [
            seen.inputs(predictor.encode([pool.smiles[row] for row in part]))
            for part in _split(pilot, min(32, self.batch_size))
        ]
        step = choose_step(seen, vector, inputs, self.route)
        slopes = Slopes(seen, vector, step.size, step.route)
        keep = len(pool) <= FEATURES_AT_MOST
        part = report.part(0.7, 0.95, phase="scoring the pool")
        table, features = scored_rows(predictor, seen, slopes, pool, record["cells_train"], self.batch_size, keep, part)
        check_scores(table)
        arrays = {}
        for place, (name, dataset) in enumerate((("train", train), ("target", target), ("pool", pool)) if keep else ()):
            if features is None or name != "pool":
                part = report.part(0.95 + 0.02 * place, 0.97 + 0.02 * place, phase=f"features of the {name}")
                arrays[name] = swept(predictor, seen, None, list(dataset.smiles), self.batch_size, True, part)[2]
            else:
                arrays[name] = features
            arrays[f"{name}_labels"] = predictor.scaled(dataset.targets).double().cpu().numpy()
        record |= self._about(fit, train, pool, target, predictor, seen, step)
        record["warnings"] = [*warnings, *record["warnings"], *step.warnings]
        if not keep:
            record["warnings"].append(
                f"the pool has more than {FEATURES_AT_MOST:,} rows: no features kept, no greedy choice"
            )
        record["detection"] = detection(table, self.seed)
        record["seconds_in_all"] = time.monotonic() - began
        return Scores(table, vector.cpu().numpy(), arrays, record, {"train": train.smiles, "target": target.smiles})

    def _names(self, predictor: "Predictor", fit: Fit) -> list[str] | None:
        """The weights that training moved, for the scope "all": those that still require a gradient."""
        if self.scope != "all":
            return None
        if fit.record["method"]["kind"] == "head":
            predictor.backbone.requires_grad_(False)
        return [name for name, weight in predictor.named_parameters() if weight.requires_grad]

    def _solved(
        self, report: Report, predictor: "Predictor", seen: "View", train: Dataset, target: Dataset
    ) -> "tuple[torch.Tensor, View, dict[str, Any]]":
        """The vector C⁻¹∇L_target, the view over the weights that matter, and how it went; kept in `scratch`."""
        from core.influence import Curvature, target_gradient, used

        kept = _kept(report)
        if kept is not None:
            vector, record = kept
            return vector.to(seen.binary.device), _narrowed(seen, record["weights"]), record
        size = self.batch_size
        rows = np.arange(len(train))
        if 0 < self.curvature_rows < len(train):
            rows = np.random.default_rng([self.seed, 1]).permutation(len(train))[: self.curvature_rows]
        sample, cells = train.take(rows), int((~np.isnan(train.targets)).sum())
        batches = encoded(predictor, seen, sample, None, size, report.part(0, 0.1, phase="reading the training part"))
        seen = used(seen, batches[0][0])
        aims = encoded(predictor, seen, target, None, size, report.part(0.1, 0.15, phase="reading the target"))
        report(0.15, "gradient of the target loss")
        gradient = target_gradient(seen, aims)

        def draws() -> list:
            order = np.random.default_rng([self.seed, 2]).permutation(len(sample))
            return encoded(predictor, seen, sample, _split(order, size), size, SILENT)

        curvature = Curvature(seen, batches, form=self.curvature, draws=draws, pulse=lambda: report.check("solving"))
        found: dict[str, Any] = {"damping_from": "given"}
        curvature.damping = self.damping or 0.0
        if not self.damping:
            trace = curvature.trace(self.seed, report=report.part(0.15, 0.3))
            curvature.damping = trace / min(cells, seen.d)
            found = {"trace": trace, "damping_from": "trace / min(training cells, parameters), Hutchinson's estimate"}
        if self.curvature == "hessian":
            found["lowest_eigenvalue"] = curvature.refuse_if_indefinite(report.part(0.3, 0.4))
        solution = self.solver(curvature, gradient, report.part(0.4, 1.0, phase="solving"))
        record = {
            "scope": self.scope,
            "parameters": seen.d,
            "weights": list(seen.params),
            "curvature": self.curvature,
            "curvature_rows": len(sample),
            "cells_train": cells,
            "damping": curvature.damping,
            **found,
            "solver": {**as_json(self.solver), **solution.numbers},
            "residual": solution.residual,
            "steps": solution.steps,
            "seconds": solution.seconds,
            "converged": solution.converged,
            "history": [[step, residual] for step, residual in solution.history],
            "warnings": list(solution.warnings),
        }
        if len(sample) < len(train):
            record["warnings"].append(f"the curvature is of {len(sample):,} of {len(train):,} training molecules")
        _keep(report, solution.answer, record)
        return solution.answer, seen, record

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


def check_gradient(fit: Spec[Fit]) -> None:
    """Raises `BadInput` where a recipe yields a model without weights that a gradient could follow."""
    if not getattr(fit, "gradient", True):
        one = "an" if fit.kind[0] in "aeiou" else "a"
        raise BadInput(f"{one} {fit.kind} has no gradient, so that no influence can be taken of it; give a fine-tuning")


def _split(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _narrowed(seen: "View", names: list[str]) -> "View":
    import dataclasses

    return dataclasses.replace(seen, params={name: seen.params[name] for name in names})


def _keep(report: Report, vector: "torch.Tensor", record: dict[str, Any]) -> None:
    """Leave the solved system in the scratch folder, for a job that is interrupted later."""
    from safetensors.torch import save_file

    if report.scratch:
        draft = report.scratch / "solved.draft"
        save_file({"vector": vector.cpu()}, draft, metadata={"record": json.dumps(record)})
        draft.replace(report.scratch / "solved.safetensors")


def _kept(report: Report) -> "tuple[torch.Tensor, dict[str, Any]] | None":
    from safetensors import SafetensorError, safe_open

    path = report.scratch / "solved.safetensors" if report.scratch else None
    if path is None or not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            return file.get_tensor("vector"), json.loads(file.metadata()["record"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):  # cut short by a power cut
        path.unlink()
        return None
