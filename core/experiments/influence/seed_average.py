"""The mean of scores over models trained with different seeds, and how far the seeds agree."""

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.influence.influence import Influence
from core.influence.diagnostics import TOP_SHARE, top_overlap
from core.results.fit import Fit
from core.results.scores import Scores, evaluate_detection
from core.stats.metrics import spearman
from core.stats.undefined import NAME

INTERVAL_COLUMNS = ("delta_loss", "whole_step")  # columns with an interval


@settings
class SeedAverage(Spec[Scores]):
    """The same scores of the model retrained with several seeds: their mean, and how far the seeds agree.

    Each seed has another head, batch order and dropout, and the ranking changes with it (Basu et al. 2021, arXiv
    2006.14651). The mean predicts retraining better than a single model (Park et al. 2023, arXiv 2303.14186, who
    average over models). The intervals cover both the seed and the sampling of target molecules.
    """

    kind: ClassVar[str] = "seed-average"
    page: ClassVar[str] = "influence"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 0.1

    scores: Spec[Scores] = Field(description="the scoring to repeat")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), description="random seeds of the models")

    def __post_init__(self) -> None:
        if not isinstance(self.scores, Influence) or not self.scores.fit.repeatable:
            raise BadInput("`scores` wants an influence spec of a fine-tuning, which can be repeated with another seed")
        if len(set(self.seeds)) < max(2, len(self.seeds)):
            raise BadInput(f"`seeds` wants two or more different seeds, got {list(self.seeds)}")
        self.parts()  # raises for a seed that a member refuses

    @property
    def fit(self) -> Spec[Fit]:
        """The model of the first member."""
        return self.members[0].fit

    @property
    def pool(self) -> Spec[Dataset]:
        return self.scores.pool

    @property
    def target(self) -> Spec[Dataset]:
        return self.scores.target

    @property
    def scope(self) -> str:
        return self.scores.scope

    @property
    def solver(self) -> Any:
        return self.scores.solver

    @property
    def members(self) -> tuple[Influence, ...]:
        fit = self.scores.fit
        fits = (fit if seed == fit.seed else fit.with_seed(seed) for seed in self.seeds)
        return tuple(dataclasses.replace(self.scores, fit=member_fit) for member_fit in fits)

    @property
    def title(self) -> str:
        return f"mean of {len(self.seeds)} seeds: {self.scores.title}"

    def parts(self) -> dict[str, Any]:
        return {"members": self.members}

    def make(self, report: Report, members: tuple[Scores, ...]) -> Scores:
        report(0, "averaging over seeds")
        first, records = members[0], [member.record for member in members]
        table = average_tables([member.table for member in members])
        deltas = np.stack([member.table["delta_loss"].to_numpy(float) for member in members])  # (m, n)
        table["delta_loss_sd"] = deltas.std(0, ddof=1)
        for name in [column for column in table if str(column).split(":")[0] == "prediction"]:
            predictions = np.stack([member.table[name].to_numpy(float) for member in members])
            table[str(name).replace("prediction", "prediction_sd", 1)] = predictions.std(0, ddof=1)
        n_clear = {}
        for name in INTERVAL_COLUMNS:
            if name in table:
                low, high = combined_interval([member.table for member in members], name)
                table[f"{name}_low"], table[f"{name}_high"] = low, high
                n_clear[f"{name}_clear"] = int(((low > 0) | (high < 0)).sum())
        record = first.record | {
            "members": [
                {"seed": seed, "scores": spec.key} for seed, spec in zip(self.seeds, self.members, strict=True)
            ],
            "seeds": list(self.seeds),
            "agreement": seed_agreement(deltas),
            "residual": max(record["residual"] for record in records),
            "converged": all(record["converged"] for record in records),
            "seconds": sum(record["seconds"] for record in records),
            "stability": _worst([record.get("stability") or {} for record in records]),
            "pairs_check": n_clear,
            "detection": evaluate_detection(table),
            "warnings": list(dict.fromkeys(warning for record in records for warning in record["warnings"])),
        }
        if "whole_step" in table:
            scored_rows = table["delta_loss"].notna()
            record["pairs_check"]["spearman"] = spearman(
                *(table[name][scored_rows].to_numpy(float) for name in INTERVAL_COLUMNS)
            )
        return Scores(
            table,
            np.zeros(0),  # no common vector: each model has its own
            first.last_layer,
            record,
            average_tables([member.training for member in members]),
            average_tables([member.target for member in members]),
        )


def average_tables(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Float columns averaged over tables of the same rows; other columns as in the first."""
    average = tables[0].copy()
    for name in average:
        if pd.api.types.is_float_dtype(average[name]):
            average[name] = np.mean([table[name].to_numpy(float) for table in tables], axis=0)
    return average


def combined_interval(tables: list[pd.DataFrame], name: str) -> np.ndarray:
    """(2, n) the 95 % interval of a column's mean over m models.

    The squared half-width is Student's over the models; if each model has an interval over the target molecules, the
    mean of those squared half-widths is added, because all models share the target molecules.
    """
    from scipy.stats import t

    values = np.stack([table[name].to_numpy(float) for table in tables])
    m = len(values)
    squared_half_width = t.ppf(0.975, m - 1) ** 2 * values.var(0, ddof=1) / m
    if f"{name}_low" in tables[0]:
        widths = np.stack([(table[f"{name}_high"] - table[f"{name}_low"]).to_numpy(float) for table in tables])
        squared_half_width = squared_half_width + ((widths / 2) ** 2).mean(0)
    return np.stack([values.mean(0) - np.sqrt(squared_half_width), values.mean(0) + np.sqrt(squared_half_width)])


def seed_agreement(deltas: np.ndarray) -> dict[str, Any]:
    """Agreement of scores (m, n) over pairs of models: Spearman correlation, and overlap of the best tenth."""
    finite = deltas[:, np.isfinite(deltas).all(0)]
    pairs = [(first, second) for index, first in enumerate(finite) for second in finite[index + 1 :]]
    if finite.shape[1] < 3:
        names = ("spearman", "lowest", "overlap")
        reason = f"only {finite.shape[1]} molecules have a score of every model"
        return {**dict.fromkeys(names), "molecules": finite.shape[1], NAME: dict.fromkeys(names, reason)}
    correlations = [spearman(first, second) or 0.0 for first, second in pairs]
    return {
        "spearman": float(np.mean(correlations)),
        "lowest": float(min(correlations)),
        "overlap": float(np.mean([top_overlap(first, second, TOP_SHARE) for first, second in pairs])),
        "molecules": finite.shape[1],
    }


def _worst(stabilities: list[dict[str, Any]]) -> dict[str, Any]:
    """For each other damping, the entry of the model whose ranking is least stable."""
    names = [name for name in stabilities[0] if all(name in stability for stability in stabilities)]
    return {
        name: min((stability[name] for stability in stabilities), key=lambda entry: entry["spearman"] or -1.0)
        for name in names
    }
