"""Calibration of a fit on its validation set: prediction intervals and the applicability domain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.chem import molecules as chem
from core.engine.report import SILENT_REPORT, Report
from core.results.fit import Fit
from core.stats.conformal import ConformalIntervals, estimate_share, merge_probabilities, venn_abers
from core.stats.metrics import compute_metrics

NEIGHBOURS = 5
REMOTE_SHARE = 0.05  # share of validation molecules below `remote_threshold`
TINY = 1e-6  # fraction of the spread of predictions below which ensemble members count as equal
CHUNK_MOLECULES = 2000  # molecules that are compared with the training set between two progress reports


@dataclass(frozen=True, eq=False)
class NearestMolecules:
    """For n molecules: the nearest training molecule (n,), and Tanimoto similarities of the nearest c (n, c)."""

    nearest: np.ndarray
    similarities: np.ndarray

    @property
    def similarity(self) -> np.ndarray:
        """Tanimoto similarity to the nearest training molecule (n,)."""
        return self.similarities[:, 0]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Errors of a fit on its validation set, and the intervals that follow from them (`core.stats.conformal`)."""

    level: float
    train: tuple[str, ...]
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
        train = tuple(map(str, fit.matrices("train")[2]))
        near = find_nearest(list(map(str, smiles)), train, report)
        min_spread = np.maximum(TINY * predictions.std(0), 1e-12)
        spread = ensemble_spread(fit, "valid")
        intervals: list[ConformalIntervals | None] = []
        for task, kind in enumerate(fit.record["kinds"]):
            measured = ~np.isnan(labels[:, task])
            errors = np.abs(labels - predictions)[measured, task]
            features = _difficulty_features(near, spread, task, min_spread)[measured]
            intervals.append(None if kind == "binary" else ConformalIntervals.of(errors, features, level))
        remote = float(np.quantile(near.similarity, REMOTE_SHARE)) if len(smiles) else 0.0
        kinds = tuple(fit.record["kinds"])
        return cls(level, train, kinds, tuple(intervals), labels, predictions, min_spread, remote)

    def find_nearest(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> NearestMolecules:
        """The nearest training molecules of `smiles` (n,)."""
        return find_nearest(smiles, self.train, report)

    def interval_bounds(
        self, predictions: np.ndarray, near: NearestMolecules, spread: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Low and high ends (n, t) of the intervals around predictions (n, t); NaN where there is none.

        `spread` (n, t): standard deviation over ensemble members. For a binary task the interval is the range of the
        calibrated probability (Venn–Abers).
        """
        low, high = np.full(predictions.shape, np.nan), np.full(predictions.shape, np.nan)
        for task, kind in enumerate(self.kinds):
            values = predictions[:, task]
            if kind == "binary":
                measured = ~np.isnan(self.labels[:, task])
                if len(set(self.labels[measured, task])) == 2:
                    arguments = (self.labels[measured, task], self.predictions[measured, task], values)
                    low[:, task], high[:, task] = venn_abers(*arguments)
            elif (intervals := self.intervals[task]) is not None:
                half = intervals.half_width(_difficulty_features(near, spread, task, self.min_spread))
                low[:, task], high[:, task] = values - half, values + half
        return low, high

    def test_coverage(self, fit: Fit, report: Report = SILENT_REPORT) -> list[dict[str, Any] | None]:
        """For each task, the share of test labels inside their intervals, with Wilson's interval.

        For a binary task, the log loss on the test set of predicted and of calibrated probabilities. None without
        intervals or labels.
        """
        labels, predictions, smiles = fit.matrices("test")
        near = self.find_nearest(list(map(str, smiles)), report)
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


def find_nearest(smiles: Sequence[str], train: Sequence[str], report: Report = SILENT_REPORT) -> NearestMolecules:
    """The nearest training molecules by Tanimoto similarity of Morgan fingerprints."""
    rows, similarities = [np.zeros(0, int)], [np.zeros((0, min(NEIGHBOURS, len(train))), np.float32)]
    for start in range(0, len(smiles), CHUNK_MOLECULES):
        report(start / len(smiles), f"compared {start:,} of {len(smiles):,} molecules with the training set")
        neighbours, similarity = chem.nearest(smiles[start : start + CHUNK_MOLECULES], train, NEIGHBOURS)
        rows.append(neighbours[:, 0])
        similarities.append(similarity)
    return NearestMolecules(np.concatenate(rows), np.concatenate(similarities))


def ensemble_spread(fit: Fit, part: str) -> np.ndarray | None:
    """Standard deviation over ensemble members (n, t) on a part of the table; None for a single model."""
    if "spread" not in fit.predictions:
        return None
    values = fit.predictions.loc[fit.predictions["part"] == part, "spread"]
    return values.to_numpy(float).reshape(-1, len(fit.tasks))


def _difficulty_features(
    near: NearestMolecules, spread: np.ndarray | None, task: int, min_spread: np.ndarray
) -> np.ndarray:
    """Features of difficulty (n, 2 or 3): distance to the nearest training molecule, to the nearest five, spread."""
    features = [1 - near.similarity, 1 - near.similarities.mean(1)]
    if spread is not None:
        features.append(np.log(np.maximum(spread[:, task], min_spread[task])))
    return np.stack(features, 1).astype(float)
