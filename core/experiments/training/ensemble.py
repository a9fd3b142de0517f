"""Ensemble: one model trained with several seeds; predicts the mean of its members and their spread."""

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
from core.stats.undefined import NAME, describe_correlation

SUMMED_FIELDS = (  # record entries that are summed over the members
    *("trainable", "parameters", "trainable_bytes", "backbone_trainable", "backbone_parameters"),
    *("seconds", "steps", "energy"),
)
COPIED_FIELDS = ("backbone", "features", "beside", "method", "trainable_share", "learning_rate", "precision", "device")


@settings
class Ensemble(Spec[Fit]):
    """The mean of one model trained with several seeds: mostly more accurate than one member, at the cost of all.

    Hansen & Salamon 1990 (doi:10.1109/34.58871). The members have the same training rows and the same initial backbone;
    head, batches and dropout differ by the seed. The spread of the members estimates the uncertainty of a prediction
    (Lakshminarayanan et al. 2017, arXiv 1612.01474); it does not show errors that all members share. An ensemble has no
    gradient: compute influence scores of a member.
    """

    kind: ClassVar[str] = "ensemble"
    page: ClassVar[str] = "train"
    effort: ClassVar[float] = 0.1

    fit: Spec[Fit] = Field(description="the model to train with each seed: a fine-tuning or a baseline")
    seeds: tuple[int, ...] = Field(default=(0, 1, 2), description="random seeds, one for each member")

    def __post_init__(self) -> None:
        if not self.fit.repeatable:
            raise BadInput(f"`fit` wants a spec with a seed, such as a fine-tuning; got {self.fit.kind!r}")
        if len(set(self.seeds)) < max(2, len(self.seeds)):
            raise BadInput(f"`seeds` wants at least two seeds, all different; got {list(self.seeds)}")
        self.parts()  # raises where a seed is invalid for a member

    @property
    def title(self) -> str:
        seeds = ", ".join(map(str, self.seeds))
        return f"mean of {len(self.seeds)}: {self.fit.title.removesuffix(f', seed {self.fit.seed}')}, seeds {seeds}"

    def parts(self) -> dict[str, Any]:
        return {"fits": tuple(dataclasses.replace(self.fit, seed=seed) for seed in self.seeds)}

    def make(self, report: Report, fits: Sequence[Fit]) -> Fit:
        report(0, "averaging predictions")
        first, records = fits[0], [fit.record for fit in fits]
        parts = {name: first.table(name) for name in PARTS}
        predictions = {
            name: np.stack([fit.matrices(name)[1] for fit in fits]) for name in PARTS
        }  # (m, n, t) of each set
        means = {name: values.mean(0) for name, values in predictions.items()}
        spreads = {name: member_spread(values) for name, values in predictions.items()}
        tables = [
            prediction_table(name, parts[name], means[name]).assign(spread=spreads[name].ravel()) for name in PARTS
        ]
        warnings = list(dict.fromkeys(warning for record in records for warning in record["warnings"]))
        if not any(values.any() for values in spreads.values()):
            warnings.append("all members are the same: this model does not depend on the seed; use one member")
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
                    spreads["test"][:, column], parts["test"].targets[:, column] - means["test"][:, column]
                )
                for column, task in enumerate(first.tasks)
            },
            **{name: _sum_or_none(record.get(name) for record in records) for name in SUMMED_FIELDS},
            **dict.fromkeys(("best_epoch", "best_step", "seconds_to_best", "seconds_per_epoch", "proof")),
            "peak_memory": max((record["peak_memory"] or 0 for record in records), default=0) or None,
            "warnings": warnings,
        }
        folder = report.folder()
        collect_members([fit.folder / "predictor" for fit in fits], folder / "predictor")
        return Fit(first.curve.iloc[:0], pd.concat(tables, ignore_index=True), record, folder)


def spread_diagnostics(spread: np.ndarray, errors: np.ndarray) -> dict[str, Any]:
    """Of one task of the test set: the mean spread (n,) of the members, and whether it predicts their errors (n,).

    `spearman`: rank correlation of spread and |error| over labelled molecules; None where one of them is constant, with
    the reason in `undefined`.
    """
    labelled = ~np.isnan(errors)
    pair = spread[labelled], np.abs(errors[labelled])
    correlation, n = None, int(labelled.sum())
    reason = f"{n} molecules with a label are too few" if n < 3 else describe_correlation(*pair, ("spreads", "errors"))
    if not reason:
        correlation = spearman(*pair)
    answer = {"spread": float(spread.mean()), "spearman": correlation}
    return answer | ({NAME: {"spearman": reason}} if reason else {})


def _sum_or_none(values: Any) -> Any:
    """The sum; None where a member has no value."""
    terms = list(values)
    return None if None in terms else sum(terms)
