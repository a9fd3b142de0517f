"""What the validation part of a fit says of predictions to come: their intervals, and how far is too far away."""

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
REMOTE_SHARE = 0.05  # share of the validation molecules that are no nearer to the training part
TINY = 1e-6  # of the spread of a fit's predictions, below which members are taken to agree
CHUNK_MOLECULES = 2000  # molecules that are compared with the training part between two reports


@dataclass(frozen=True, eq=False)
class NearestMolecules:
    """Of n molecules: which training molecule is nearest (n,), and Tanimoto similarities of the nearest ones (n, c)."""

    nearest: np.ndarray
    similarities: np.ndarray

    @property
    def similarity(self) -> np.ndarray:
        """Of the nearest (n,)."""
        return self.similarities[:, 0]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a fit got wrong of molecules that it did not learn from, as a measure of what it will."""

    level: float
    train: tuple[str, ...]
    kinds: tuple[str, ...]
    intervals: tuple[ConformalIntervals | None, ...]  # a task; None for a binary one, and where labels are too few
    labels: np.ndarray  # (v, t) of the validation part
    predictions: np.ndarray  # (v, t)
    median_spread: np.ndarray  # (t,) spread below which members are taken to agree
    remote_threshold: (
        float  # similarity below which a molecule is further from the training part than 95 % of the validation
    )

    @classmethod
    def of(cls, fit: Fit, level: float = 0.9, report: Report = SILENT_REPORT) -> "Calibration":
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
        return find_nearest(smiles, self.train, report)

    def interval_bounds(
        self, predictions: np.ndarray, near: NearestMolecules, spread: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Low and high ends (n, t) of the intervals round predictions (n, t); NaN where there is none.

        `spread` (n, t): how far the members of an ensemble are apart. For a binary task: between which numbers a
        calibrated probability lies.
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
                half = intervals.half_width(_difficulty_features(near, spread, task, self.median_spread))
                low[:, task], high[:, task] = values - half, values + half
        return low, high

    def test_coverage(self, fit: Fit, report: Report = SILENT_REPORT) -> list[dict[str, Any] | None]:
        """Of each task, the share of the test part's labels that lie in their intervals, with Wilson's interval.

        Of a binary one, the log loss there of the predicted probabilities and of those that the ranges stand for. None
        where there are no intervals, or no labels.
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
    """The nearest training molecules of some, by Morgan fingerprints."""
    rows, similarities = [np.zeros(0, int)], [np.zeros((0, min(NEIGHBOURS, len(train))), np.float32)]
    for start in range(0, len(smiles), CHUNK_MOLECULES):
        report(start / len(smiles), f"compared {start:,} of {len(smiles):,} with the training part")
        neighbours, similarity = chem.nearest(smiles[start : start + CHUNK_MOLECULES], train, NEIGHBOURS)
        rows.append(neighbours[:, 0])
        similarities.append(similarity)
    return NearestMolecules(np.concatenate(rows), np.concatenate(similarities))


def ensemble_spread(fit: Fit, part: str) -> np.ndarray | None:
    """How far the members of an ensemble are apart (n, t) on a part of its tables; None for a single model."""
    if "spread" not in fit.predictions:
        return None
    values = fit.predictions.loc[fit.predictions["part"] == part, "spread"]
    return values.to_numpy(float).reshape(-1, len(fit.tasks))


def _difficulty_features(
    near: NearestMolecules, spread: np.ndarray | None, task: int, min_spread: np.ndarray
) -> np.ndarray:
    """Signs of difficulty (n, 2 or 3): the nearest training molecule, the nearest five, how far members are apart."""
    features = [1 - near.similarity, 1 - near.similarities.mean(1)]
    if spread is not None:
        features.append(np.log(np.maximum(spread[:, task], min_spread[task])))
    return np.stack(features, 1).astype(float)
