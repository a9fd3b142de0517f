"""Verify: retrainings and scores → whether the scores foretell them."""

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
    """Whether scores foretell what training again does: the linear datamodelling score of each way to predict it.

    A subset's predicted change of the target loss is the sum of its members' scores: to first order, by whole steps,
    and, where pairs are known, by what all members do together in one step, which counts shared lessons once. Its
    Spearman correlation with the loss measured after real retraining is the score (Park et al. 2023, arXiv
    2303.14186). Below zero or near it, the ranking is worth nothing for this fit.
    """

    kind: ClassVar[str] = "lds"
    page: ClassVar[str] = "influence"
    effort: ClassVar[float] = 0.1

    retrained: Spec[SubsetLosses] = Field(description="trainings with random subsets of the pool")
    scores: tuple[Spec[Scores], ...] = Field(description="scores of the same pool by the same fit, by one or more ways")

    def __post_init__(self) -> None:
        if not self.scores or len({one.key for one in self.scores}) < len(self.scores):
            raise BadInput("`scores` wants at least one recipe of scores, all different")
        for one in self.scores:
            for name in ("fit", "pool", "target"):
                if getattr(one, name).key != getattr(self.retrained, name).key:
                    raise BadInput(f"the scores are of another {name} than the retrainings; give both the same")

    @classmethod
    def of(cls, scores: Influence | SeedAverage, subsets: int = 32, seed: int = 0) -> "LDS":
        """The verification of one scoring."""
        retrained = SubsetRetraining(scores.fit, scores.pool, scores.target, subsets=subsets, seed=seed)
        return cls(retrained, (scores,))

    @property
    def title(self) -> str:
        return f"verification of {len(self.scores)} scorings by {self.retrained.title}"

    @property
    def page_owner(self) -> Spec:
        return self.scores[0]

    def make(self, report: Report, retrained: SubsetLosses, scores: tuple[Scores, ...]) -> DatamodelCheck:
        report(0, "comparing scores with retrainings")
        members, base = retrained.members, retrained.record["base_loss"]
        measured = retrained.losses - base
        columns, ways = {"subset": np.arange(len(measured)), "measured": measured}, []
        for recipe, found in zip(self.scores, scores, strict=True):
            solver = found.record["solver"].get("chosen", recipe.solver.kind)
            predicted = {"first order": members @ np.nan_to_num(found.table["delta_loss"].to_numpy(float))}
            if "whole_step" in found.table:
                predicted["whole steps"] = members @ np.nan_to_num(found.table["whole_step"].to_numpy(float))
            if found.tangent:
                predicted["whole steps together"] = subset_predictions(found, members)
            fits = len(found.record.get("members", ()))
            for way, values in predicted.items():
                name = f"{way}, {solver}, {recipe.scope} weights" + (f", mean of {fits} fits" if fits else "")
                name += f" ({recipe.key[:6]})" if name in columns else ""
                columns[name] = values
                ways.append({"name": name, "way": way, "solver": solver, "scope": recipe.scope, "scores": recipe.key})
                ways[-1] |= datamodelling_score(values, measured, self.retrained.seed)
        best = max(ways, key=lambda one: one["spearman"])
        record = {
            "ways": ways,
            "scores": [recipe.key for recipe in self.scores],
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
    """(K,) change of the mean target loss, in its unit, if all members of a subset are taken up in one step."""
    found = []
    for mine in members:
        tangent = linearized_model(scores.tangent, scores.record)
        before = tangent.error()
        tangent.add_rows(np.flatnonzero(mine))
        found.append((tangent.error() - before) / tangent.n_cells)
    return scores.record["unit_factor"] * np.array(found)


def verdict(best: dict[str, Any], subsets: int) -> str:
    """What the best way's score says, in a sentence."""
    size = f"{best['spearman']:.2f} ({best['low']:.2f} to {best['high']:.2f})"
    told = f"over {subsets} retrainings with random subsets of the pool, {best['name']}, correlates {size}"
    if best["low"] > 0:
        return f"Scores foretell retraining: {told}."
    return f"Whether scores foretell retraining cannot be told: {told}, which does not leave zero out."
