"""An ensemble: one recipe with several seeds → a Fit that predicts their mean, and how far they are apart."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.models.ensemble import collect_members, member_spread
from core.results.fit import PARTS, Fit, evaluate_parts, prediction_table
from core.stats.metrics import spearman

SUMMED_FIELDS = (  # over the members
    *("trainable", "parameters", "trainable_bytes", "backbone_trainable", "backbone_parameters"),
    *("seconds", "steps", "energy"),
)
COPIED_FIELDS = ("backbone", "features", "beside", "method", "trainable_share", "learning_rate", "precision", "device")


@settings
class Ensemble(Spec[Fit]):
    """The mean of a fit made again with several seeds: mostly better than one of them, at their price together.

    Hansen & Salamon 1990 (doi:10.1109/34.58871). The members learn from the same rows and begin from the same
    backbone; head, batches and dropout are drawn anew. How far they are apart on a molecule is a first word on how sure
    the mean is there (Lakshminarayanan et al. 2017, arXiv 1612.01474); what all of them get wrong it does not show. An
    ensemble has no gradient of its own: influence is taken of a member.
    """

    kind: ClassVar[str] = "ensemble"
    page: ClassVar[str] = "train"
    effort: ClassVar[float] = 0.1

    fit: Spec[Fit] = Field(description="the recipe to repeat: a fine-tuning or a baseline")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), description="of its members")

    def __post_init__(self) -> None:
        if not self.fit.repeatable:
            raise BadInput(f"`fit` wants a recipe with a seed to repeat, as a fine-tuning has; got {self.fit.kind!r}")
        if len(set(self.seeds)) < max(2, len(self.seeds)):
            raise BadInput(f"`seeds` wants at least two seeds, all different; got {list(self.seeds)}")
        self.parts()  # a seed that a member refuses is refused here

    @property
    def title(self) -> str:
        seeds = ", ".join(map(str, self.seeds))
        return f"mean of {len(self.seeds)}: {self.fit.title.removesuffix(f', seed {self.fit.seed}')}, seeds {seeds}"

    def parts(self) -> dict[str, Any]:
        return {"fits": tuple(dataclasses.replace(self.fit, seed=seed) for seed in self.seeds)}

    def make(self, report: Report, fits: Sequence[Fit]) -> Fit:
        report(0, "taking the mean")
        first, records = fits[0], [fit.record for fit in fits]
        parts = {name: first.table(name) for name in PARTS}
        each = {name: np.stack([fit.matrices(name)[1] for fit in fits]) for name in PARTS}  # (m, n, t) of each part
        means = {name: values.mean(0) for name, values in each.items()}
        apart = {name: member_spread(values) for name, values in each.items()}
        tables = [prediction_table(name, parts[name], means[name]).assign(spread=apart[name].ravel()) for name in PARTS]
        warnings = list(dict.fromkeys(warning for record in records for warning in record["warnings"]))
        if not any(values.any() for values in apart.values()):
            warnings.append("the members are all the same: nothing in this recipe is drawn by chance, one would do")
        record = {
            **evaluate_parts(parts, means),
            **{name: records[0][name] for name in COPIED_FIELDS if name in records[0]},
            "seed": None,
            "forms": [],
            "members": [
                {"seed": seed, "fit": spec.key, "metrics": fit.metrics}
                for seed, spec, fit in zip(self.seeds, self.parts()["fits"], fits, strict=True)
            ],
            "apart": {
                task: spread_diagnostics(
                    apart["test"][:, place], parts["test"].targets[:, place] - means["test"][:, place]
                )
                for place, task in enumerate(first.tasks)
            },
            **{name: _sum(record.get(name) for record in records) for name in SUMMED_FIELDS},
            **dict.fromkeys(("best_epoch", "best_step", "seconds_to_best", "seconds_per_epoch", "proof")),
            "peak_memory": max((record["peak_memory"] or 0 for record in records), default=0) or None,
            "warnings": warnings,
        }
        folder = report.folder()
        collect_members([fit.folder / "predictor" for fit in fits], folder / "predictor")
        return Fit(first.curve.iloc[:0], pd.concat(tables, ignore_index=True), record, folder)


def spread_diagnostics(apart: np.ndarray, errors: np.ndarray) -> dict[str, float | None]:
    """Of one task of the test part: the members' mean spread (n,), and whether it tells the errors (n,) of their mean.

    `spearman`: rank correlation of spread and |error| over the molecules with a label; None where one is constant.
    """
    known = ~np.isnan(errors)
    found = spearman(apart[known], np.abs(errors[known])) if known.sum() > 2 else None
    return {"spread": float(apart.mean()), "spearman": found}


def _sum(values: Any) -> Any:
    """None where a member has none."""
    found = list(values)
    return None if None in found else sum(found)
