"""The benchmark `intervals`: its numbers are those of the fits and their calibrations."""

from pathlib import Path

import numpy as np
import pytest

from core.bench import cells, intervals, quality
from core.bench.public_tables import TableSource
from core.engine.report import Report
from core.engine.store import Store
from core.models.baselines import RandomForest
from core.results.calibration import Calibration


def test_coverage_and_scores_agree_with_the_fits(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {"hydration": TableSource("kcal/mol", source="bundled:hydration")}
    monkeypatch.setattr(cells, "TABLES", tables)
    arm = {"forest": quality.baseline_fit(RandomForest(features="fingerprints", trees=5))}
    monkeypatch.setattr(intervals, "ARMS", arm)
    store, lines = Store(cache), []
    settings = {"tables": ("hydration",), "splits": ("random", "scaffold"), "arms": tuple(arm), "seeds": (0, 1)}
    rows = intervals.run(store, Report(files=store.files), show=lines.append, **settings)
    assert [row["split"] for row in rows] == ["random", "scaffold"] and len(lines) == 2
    for row in rows:
        for seed in row["seeds"]:
            fit = store.get(store.find(seed["fit"]).spec)
            assert seed["held"] == pytest.approx(Calibration.of(fit).test_coverage(fit)[0]["share"])
            labels, predictions, _ = fit.matrices("valid")
            errors = np.sort(np.abs(labels - predictions)[:, 0])
            quantile = errors[int(np.ceil(0.9 * (len(errors) + 1))) - 1]
            tested = np.abs(np.subtract(*fit.matrices("test")[:2]))[:, 0]
            assert seed["plain_held"] == pytest.approx(np.mean(tested <= quantile), abs=0.05)  # apart from the folds
            assert seed["ratio"] == pytest.approx(seed["score"] / seed["plain_score"])
    assert intervals.verdict(rows) in intervals.as_text(rows) and "2 cases" in intervals.verdict(rows)
    assert intervals.as_json(rows)["rows"] is rows
