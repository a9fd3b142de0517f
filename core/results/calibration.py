"""Calibration of a fit on its validation set: prediction intervals and the applicability domain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.engine.report import SILENT_REPORT, Report
from core.results.domain import Domain, Position
from core.results.fit import Fit
from core.stats.conformal import (
    ConformalIntervals,
    estimate_share,
    merge_probabilities,
    venn_abers,
    widen_probabilities,
)
from core.stats.metrics import compute_metrics
from core.stats.undefined import explain_prediction_intervals

REMOTE_SHARE = 0.05  # share of validation molecules below `remote_threshold`
TINY = 1e-6  # fraction of the spread of predictions below which ensemble members count as equal


@dataclass(frozen=True, eq=False)
class Calibration:
    """Errors of a fit on its validation set, and the intervals that follow from them (`core.stats.conformal`)."""

    level: float
    domain: Domain  # of the training molecules
    kinds: tuple[str, ...]
    intervals: tuple[ConformalIntervals | None, ...]  # per task; None for binary tasks and too few labels
    labels: np.ndarray  # (v, t) of the validation part
    predictions: np.ndarray  # (v, t)
    min_spread: np.ndarray  # (t,) spread below which ensemble members count as equal
    remote_threshold: float  # similarity to the training set that 95 % of the validation molecules exceed

    @classmethod
    def of(cls, fit: Fit, level: float = 0.9, report: Report = SILENT_REPORT) -> "Calibration":
        """The calibration of a fit; `level`: coverage of the intervals, 0 to 1."""
        labels, predictions, smiles = fit.matrices("valid")
        domain = Domain.of(list(map(str, fit.matrices("train")[2])), report.part(0, 0.5))
        near = domain.locate(list(map(str, smiles)), report.part(0.5, 1))
        min_spread = np.maximum(TINY * predictions.std(0), 1e-12)
        spread = ensemble_spread(fit, "valid")
        intervals: list[ConformalIntervals | None] = []
        for task, kind in enumerate(fit.record["kinds"]):
            measured = ~np.isnan(labels[:, task])
            errors = np.abs(labels - predictions)[measured, task]
            features = _difficulty_features(near, spread, task, min_spread)[measured]
            arguments = errors, features, level, near.distance[measured]
            intervals.append(None if kind == "binary" else ConformalIntervals.of(*arguments))
        remote = float(np.quantile(near.similarity, REMOTE_SHARE)) if len(smiles) else 0.0
        kinds = tuple(fit.record["kinds"])
        return cls(level, domain, kinds, tuple(intervals), labels, predictions, min_spread, remote)

    def locate(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> Position:
        """Where `smiles` (n,) lie with respect to the training set."""
        return self.domain.locate(smiles, report)

    def is_remote(self, near: Position) -> np.ndarray:
        """Whether molecules (n,) are outside the applicability domain: dissimilar, or beyond the training range."""
        return (near.similarity < self.remote_threshold) | (near.distance > 0)

    def explain_missing(self) -> list[str]:
        """For each task, why there are no intervals; "" where there are."""
        return [
            explain_prediction_intervals(kind, self.labels[:, task], self.level) for task, kind in enumerate(self.kinds)
        ]

    def missing_sentences(self, tasks: Sequence[str]) -> list[str]:
        """The reasons of the tasks without intervals, with the task's name where there are several tasks."""
        reasons = zip(tasks, self.explain_missing(), strict=True)
        return [f"{task}: {reason}" if len(tasks) > 1 else reason for task, reason in reasons if reason]

    def interval_bounds(
        self, predictions: np.ndarray, near: Position, spread: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Low and high ends (n, t) of the intervals around predictions (n, t); NaN where there is none.

        `spread` (n, t): standard deviation over ensemble members. For a binary task the interval is the range of the
        calibrated probability (Venn–Abers). Both are wider beyond the range of the training set.
        """
        low, high = np.full(predictions.shape, np.nan), np.full(predictions.shape, np.nan)
        for task, kind in enumerate(self.kinds):
            values = predictions[:, task]
            if kind == "binary":
                measured = ~np.isnan(self.labels[:, task])
                if len(set(self.labels[measured, task])) == 2:
                    arguments = (self.labels[measured, task], self.predictions[measured, task], values)
                    low[:, task], high[:, task] = widen_probabilities(*venn_abers(*arguments), near.distance)
            elif (intervals := self.intervals[task]) is not None:
                features = _difficulty_features(near, spread, task, self.min_spread)
                half = intervals.half_width(features, near.distance)
                low[:, task], high[:, task] = values - half, values + half
        return low, high

    def test_coverage(self, fit: Fit, report: Report = SILENT_REPORT) -> list[dict[str, Any] | None]:
        """For each task, the share of test labels inside their intervals, with Wilson's interval.

        For a binary task, the log loss on the test set of predicted and of calibrated probabilities. None without
        intervals or labels.
        """
        labels, predictions, smiles = fit.matrices("test")
        near = self.locate(list(map(str, smiles)), report)
        low, high = self.interval_bounds(predictions, near, ensemble_spread(fit, "test"))
        coverage: list[dict[str, Any] | None] = []
        for task, kind in enumerate(self.kinds):
            covered_rows = ~np.isnan(labels[:, task]) & ~np.isnan(low[:, task])
            if not covered_rows.any():
                coverage.append(None)
            elif kind == "binary":
                probabilities = (
                    predictions[covered_rows, task],
                    merge_probabilities(low[covered_rows, task], high[covered_rows, task]),
                )
                losses = [
                    compute_metrics(kind, labels[covered_rows, task], values)["log_loss"] for values in probabilities
                ]
                coverage.append({"n": int(covered_rows.sum()), "log_loss": losses[0], "calibrated_log_loss": losses[1]})
            else:
                inside = (low <= labels) & (labels <= high)
                coverage.append(estimate_share(inside[covered_rows, task]))
        return coverage


def ensemble_spread(fit: Fit, part: str) -> np.ndarray | None:
    """Standard deviation over ensemble members (n, t) on a part of the table; None for a single model."""
    if "spread" not in fit.predictions:
        return None
    values = fit.predictions.loc[fit.predictions["part"] == part, "spread"]
    return values.to_numpy(float).reshape(-1, len(fit.tasks))


def _difficulty_features(near: Position, spread: np.ndarray | None, task: int, min_spread: np.ndarray) -> np.ndarray:
    """Features of difficulty (n, 2 or 3): distance to the nearest training molecule, to the nearest five, spread."""
    features = [1 - near.similarity, 1 - near.similarities.mean(1)]
    if spread is not None:
        features.append(np.log(np.maximum(spread[:, task], min_spread[task])))
    return np.stack(features, 1).astype(float)
