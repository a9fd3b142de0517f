"""LDS: do scores predict the target loss after retraining?"""

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.influence.influence import Influence
from core.experiments.influence.seed_average import SeedAverage
from core.experiments.influence.subset_retraining import SubsetRetraining
from core.influence.lds import datamodelling_score
from core.influence.linearized import linearized_model
from core.results.datamodel_check import DatamodelCheck, SubsetLosses
from core.results.scores import Scores


@settings
class LDS(Spec[DatamodelCheck]):
    """Do scores predict retraining? The linear datamodelling score (LDS) of each way to predict the target loss.

    The predicted change of the target loss for a subset is the sum of its members' scores, first order or full updates.
    With the dual it is also the joint full update of all members, which does not count similar molecules twice. The LDS
    is its Spearman correlation with the loss measured after retraining (Park et al. 2023, arXiv 2303.14186). Near or
    below zero, the ranking is worthless for this model.
    """

    kind: ClassVar[str] = "lds"
    page: ClassVar[str] = "influence"
    effort: ClassVar[float] = 0.1

    retrained: Spec[SubsetLosses] = Field(description="retrainings with random subsets of the pool")
    scores: tuple[Spec[Scores], ...] = Field(
        description="scores of the same pool by the same model, of one or more solvers"
    )

    def __post_init__(self) -> None:
        if not self.scores or len({scoring.key for scoring in self.scores}) < len(self.scores):
            raise BadInput("`scores` wants at least one spec of scores, all different")
        for scoring in self.scores:
            for name in ("fit", "pool", "target"):
                if getattr(scoring, name).key != getattr(self.retrained, name).key:
                    raise BadInput(f"the scores have another {name} than the retrainings; give both the same")

    @classmethod
    def of(cls, scores: Influence | SeedAverage, subsets: int = 32, seed: int = 0) -> "LDS":
        """The check of one scoring by retraining."""
        retrained = SubsetRetraining(scores.fit, scores.pool, scores.target, subsets=subsets, seed=seed)
        return cls(retrained, (scores,))

    @property
    def title(self) -> str:
        return f"check of {len(self.scores)} scorings by {self.retrained.title}"

    @property
    def page_owner(self) -> Spec:
        return self.scores[0]

    def make(self, report: Report, retrained: SubsetLosses, scores: tuple[Scores, ...]) -> DatamodelCheck:
        report(0, "comparing scores with retrainings")
        members, base = retrained.members, retrained.record["base_loss"]
        measured = retrained.losses - base
        columns, rows = {"subset": np.arange(len(measured)), "measured": measured}, []
        for spec, scoring in zip(self.scores, scores, strict=True):
            solver = scoring.record["solver"].get("chosen", spec.solver.kind)
            predictions = {"first order": members @ np.nan_to_num(scoring.table["delta_loss"].to_numpy(float))}
            if "whole_step" in scoring.table:
                predictions["full updates"] = members @ np.nan_to_num(scoring.table["whole_step"].to_numpy(float))
            if scoring.linearized:
                predictions["joint full update"] = subset_predictions(scoring, members)
            n_fits = len(scoring.record.get("members", ()))
            for order, values in predictions.items():
                name = f"{order}, {solver}, {spec.scope} weights" + (f", mean of {n_fits} fits" if n_fits else "")
                name += f" ({spec.key[:6]})" if name in columns else ""
                columns[name] = values
                rows.append({"name": name, "way": order, "solver": solver, "scope": spec.scope, "scores": spec.key})
                rows[-1] |= datamodelling_score(values, measured, self.retrained.seed)
        best = max(rows, key=lambda row: row["spearman"])
        record = {
            "ways": rows,
            "scores": [spec.key for spec in self.scores],
            "retrained": self.retrained.key,
            "subsets": len(measured),
            "members": retrained.record["members"],
            "base_loss": base,
            "unit": scores[0].record["unit"],
            "digests": retrained.record["digests"],
            "verdict": verdict(best, len(measured)),
        }
        return DatamodelCheck(pd.DataFrame(columns), record)


def subset_predictions(scores: Scores, members: np.ndarray) -> np.ndarray:
    """(K,) change of the mean target loss, in its unit, by the joint full update of all members of a subset."""
    changes = []
    for subset in members:
        linearized = linearized_model(scores.linearized, scores.record)
        before = linearized.error()
        linearized.add_rows(np.flatnonzero(subset))
        changes.append((linearized.error() - before) / linearized.n_cells)
    return scores.record["unit_factor"] * np.array(changes)


def verdict(best: dict[str, Any], subsets: int) -> str:
    """A sentence on the best row: do scores predict retraining?"""
    size = f"{best['spearman']:.2f} ({best['low']:.2f} to {best['high']:.2f})"
    evidence = f"over {subsets} retrainings with random subsets of the pool, {best['name']} has a correlation of {size}"
    if best["low"] > 0:
        return f"Scores predict retraining: {evidence}."
    return f"Not clear that scores predict retraining: {evidence}, and the interval includes zero."
