"""The benchmark of intervals: what it measures is what the fits and their calibrations say."""

from pathlib import Path

import numpy as np
import pytest

from core.bench import cells, intervals, quality
from core.bench.public_tables import TableSource
from core.engine.report import Report
from core.engine.store import Store
from core.models.baselines import RandomForest
from core.results.calibration import Calibration


def test_it_measures_what_the_fits_say(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"hydration": TableSource("kcal/mol", source="bundled:hydration")}
    monkeypatch.setattr(cells, "TABLES", few)
    arm = {"forest": quality.baseline_fit(RandomForest(features="fingerprints", trees=5))}
    monkeypatch.setattr(intervals, "ARMS", arm)
    store, said = Store(cache), []
    given = {"tables": ("hydration",), "splits": ("random", "scaffold"), "arms": tuple(arm), "seeds": (0, 1)}
    rows = intervals.run(store, Report(files=store.files), show=said.append, **given)
    assert [row["split"] for row in rows] == ["random", "scaffold"] and len(said) == 2
    for row in rows:
        for one in row["seeds"]:
            fit = store.get(store.find(one["fit"]).spec)
            assert one["held"] == pytest.approx(Calibration.of(fit).test_coverage(fit)[0]["share"])
            labels, predictions, _ = fit.matrices("valid")
            errors = np.sort(np.abs(labels - predictions)[:, 0])
            far_out = errors[int(np.ceil(0.9 * (len(errors) + 1))) - 1]
            tested = np.abs(np.subtract(*fit.matrices("test")[:2]))[:, 0]
            assert one["plain_held"] == pytest.approx(np.mean(tested <= far_out), abs=0.05)  # but for the folds
            assert one["ratio"] == pytest.approx(one["score"] / one["plain_score"])
    assert intervals.verdict(rows) in intervals.as_text(rows) and "of 2 cases" in intervals.verdict(rows)
    assert intervals.as_json(rows)["rows"] is rows
