"""The mean of the scores by several fits of one recipe: what hangs on the fit's own chance, and what does not."""

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

INTERVAL_COLUMNS = ("delta_loss", "whole_step")  # columns with an interval


@settings
class SeedAverage(Spec[Scores]):
    """The same scores by the fit made again with several seeds: their mean, and how far the fits agree.

    Head, batches and dropout are drawn anew, and with them the order of the scores changes (Basu et al. 2021, arXiv
    2006.14651); the mean foretells retraining better than one of them (Park et al. 2023, arXiv 2303.14186, who average
    over models). An interval knows both chances, of the fit and of which molecules happen to be in the target.
    """

    kind: ClassVar[str] = "seed-average"
    page: ClassVar[str] = "influence"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 0.1

    scores: Spec[Scores] = Field(description="the scoring to repeat")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), description="of the fits")

    def __post_init__(self) -> None:
        if not isinstance(self.scores, Influence) or not self.scores.fit.repeatable:
            raise BadInput("`scores` wants an influence of a fine-tuning, which can be made again with another seed")
        if len(set(self.seeds)) < max(2, len(self.seeds)):
            raise BadInput(f"`seeds` wants at least two seeds, all different; got {list(self.seeds)}")
        self.parts()  # a seed that a member refuses is refused here

    @property
    def fit(self) -> Spec[Fit]:
        """The first member's."""
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
        fits = (fit if seed == fit.seed else fit.with_seed(seed) for seed in self.seeds)  # its own is the fit itself
        return tuple(dataclasses.replace(self.scores, fit=one) for one in fits)

    @property
    def title(self) -> str:
        return f"mean of {len(self.seeds)} fits: {self.scores.title}"

    def parts(self) -> dict[str, Any]:
        return {"members": self.members}

    def make(self, report: Report, members: tuple[Scores, ...]) -> Scores:
        report(0, "taking the mean")
        first, records = members[0], [one.record for one in members]
        table = average_tables([one.table for one in members])
        deltas = np.stack([one.table["delta_loss"].to_numpy(float) for one in members])  # (m, n)
        table["delta_loss_sd"] = deltas.std(0, ddof=1)
        for name in [one for one in table if str(one).split(":")[0] == "prediction"]:
            each = np.stack([one.table[name].to_numpy(float) for one in members])
            table[str(name).replace("prediction", "prediction_sd", 1)] = each.std(0, ddof=1)
        clear = {}
        for name in INTERVAL_COLUMNS:
            if name in table:
                low, high = combined_interval([one.table for one in members], name)
                table[f"{name}_low"], table[f"{name}_high"] = low, high
                clear[f"{name}_clear"] = int(((low > 0) | (high < 0)).sum())
        record = first.record | {
            "members": [
                {"seed": seed, "scores": spec.key} for seed, spec in zip(self.seeds, self.members, strict=True)
            ],
            "seeds": list(self.seeds),
            "agreement": seed_agreement(deltas),
            "residual": max(one["residual"] for one in records),
            "converged": all(one["converged"] for one in records),
            "seconds": sum(one["seconds"] for one in records),
            "stability": _worst([one.get("stability") or {} for one in records]),
            "pairs_check": clear,
            "detection": evaluate_detection(table),
            "warnings": list(dict.fromkeys(warning for one in records for warning in one["warnings"])),
        }
        if "whole_step" in table:
            known = table["delta_loss"].notna()
            record["pairs_check"]["spearman"] = spearman(
                *(table[name][known].to_numpy(float) for name in INTERVAL_COLUMNS)
            )
        return Scores(
            table,
            np.zeros(0),  # each fit has a vector of its own
            first.last_layer,
            record,
            average_tables([one.training for one in members]),
            average_tables([one.target for one in members]),
        )


def average_tables(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Measured columns averaged over tables of the same rows; all else as in the first."""
    found = tables[0].copy()
    for name in found:
        if pd.api.types.is_float_dtype(found[name]):
            found[name] = np.mean([one[name].to_numpy(float) for one in tables], axis=0)
    return found


def combined_interval(tables: list[pd.DataFrame], name: str) -> np.ndarray:
    """(2, n) the 95 % interval of a column's mean over m fits.

    Half of it, squared: Student's over the fits, and, where each has an interval over the target's molecules, which all
    have in common, the mean of the squares of those halves.
    """
    from scipy.stats import t

    values = np.stack([one[name].to_numpy(float) for one in tables])
    m = len(values)
    half = t.ppf(0.975, m - 1) ** 2 * values.var(0, ddof=1) / m
    if f"{name}_low" in tables[0]:
        wide = np.stack([(one[f"{name}_high"] - one[f"{name}_low"]).to_numpy(float) for one in tables])
        half = half + ((wide / 2) ** 2).mean(0)
    return np.stack([values.mean(0) - np.sqrt(half), values.mean(0) + np.sqrt(half)])


def seed_agreement(deltas: np.ndarray) -> dict[str, float | int | None]:
    """Over pairs of m fits' scores (m, n): Spearman's correlation, mean and lowest; overlap of the best tenth."""
    known = deltas[:, np.isfinite(deltas).all(0)]
    pairs = [(one, other) for place, one in enumerate(known) for other in known[place + 1 :]]
    if known.shape[1] < 3:
        return {"spearman": None, "lowest": None, "overlap": None, "molecules": known.shape[1]}
    orders = [spearman(one, other) or 0.0 for one, other in pairs]
    return {
        "spearman": float(np.mean(orders)),
        "lowest": float(min(orders)),
        "overlap": float(np.mean([top_overlap(one, other, TOP_SHARE) for one, other in pairs])),
        "molecules": known.shape[1],
    }


def _worst(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each other damping what it says in the fit whose order hangs on it most."""
    names = [name for name in found[0] if all(name in one for one in found)]
    return {name: min((one[name] for one in found), key=lambda one: one["spearman"] or -1.0) for name in names}
