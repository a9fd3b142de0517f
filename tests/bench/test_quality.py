"""The benchmark `quality`: the same rows for every arm, stored fits, fair verdicts."""

from pathlib import Path

import numpy as np
import pytest

from core.bench import cells, quality
from core.bench.public_tables import TableSource
from core.engine.report import Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Baseline, FineTune
from core.models.backbones import Pretrained
from core.models.baselines import RandomForest, SupportVectors

ARMS = {
    "support vectors": quality.baseline_fit(SupportVectors(features="fingerprints")),
    "random forest": quality.baseline_fit(RandomForest(features="fingerprints", trees=5)),
}


@pytest.fixture
def small_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (cells, quality):
        monkeypatch.setattr(module, "TABLES", {"hydration": TableSource("kcal/mol", source="bundled:hydration")})
    monkeypatch.setattr(quality, "ARMS", ARMS)


def run_benchmark(store: Store, **settings: object) -> list[dict]:
    defaults = {"tables": ("hydration",), "splits": ("random",), "arms": tuple(ARMS), "seeds": (0, 1)}
    return quality.run(store, Report(files=store.files), **defaults | settings)


def test_arms_share_their_test_rows_and_errors_agree_with_the_fits(small_table: None, cache: Path) -> None:
    store, lines = Store(cache), []
    rows = run_benchmark(store, show=lines.append)
    assert [row["arm"] for row in rows] == list(ARMS) and len(lines) == 2
    assert rows[0]["test_digests"] == rows[1]["test_digests"] and len(set(rows[0]["test_digests"])) == 2
    for row in rows:
        errors = []
        for key in row["fits"]:
            fit = store.get(store.find(key).spec)
            labels, predicted, _ = fit.matrices("test")
            errors.append(float(np.sqrt(np.mean((labels - predicted) ** 2))))
        assert row["rmse"] == pytest.approx(np.mean(errors)) and row["sd"] == pytest.approx(np.std(errors, ddof=1))
        assert errors == pytest.approx(row["rmse_of_seeds"])


def test_stored_fits_are_not_made_again(small_table: None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_benchmark(Store(cache), seeds=(0,))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("made twice")

    monkeypatch.setattr(Baseline, "make", refuse)
    assert run_benchmark(Store(cache), seeds=(0,)) == first


def test_a_network_is_keyed_by_the_digest_of_its_weights(
    small_table: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs: list[FineTune] = []

    class Stop(Exception):
        pass

    def record(spec: FineTune, *_: object) -> None:
        specs.append(spec)
        raise Stop

    monkeypatch.setattr(cells, "make", record)
    monkeypatch.setattr(quality, "ARMS", {"full": quality.network_fit})
    with pytest.raises(Stop):
        run_benchmark(Store(cache), arms=("full",))
    assert specs[0].backbone == Pretrained("molsway-mini").with_digests() and specs[0].backbone.digest
    other = Pretrained("elsewhere", digest="0" * 64)
    with pytest.raises(Stop):
        run_benchmark(Store(cache), arms=("full",), backbone=other)
    assert specs[1].backbone == other


def test_a_missing_table_is_refused_with_its_file_name(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"BACE needs bace.csv or bace.csv.gz .* --data"):
        quality.run(Store(cache), Report(), None, tables=("BACE",))
    with pytest.raises(BadInput, match=r"Lipophilicity\.csv"):
        quality.run(Store(cache), Report(), tmp_path, tables=("Lipophilicity",))


def test_the_grid_has_a_row_for_each_split_and_a_column_for_each_arm() -> None:
    rows = [
        {"table": "ESOL", "split": "random", "arm": "full", "rmse": 0.61234, "sd": 0.0456},
        {"table": "ESOL", "split": "random", "arm": "random forest", "rmse": 0.7, "sd": None},
        {"table": "BACE", "split": "scaffold", "arm": "full", "rmse": 0.8, "sd": 0.1},
    ]
    assert quality.format_grid(rows).splitlines() == [
        "| table | split | full | random forest |",
        "| --- | --- | --- | --- |",
        "| ESOL (log10(mol/L)) | random | 0.612 ± 0.046 | 0.700 |",
        "| BACE (pIC50) | scaffold | 0.800 ± 0.100 |  |",
    ]


def test_the_verdict_selects_the_network_by_validation_error() -> None:
    def row(arm: str, valid: float, test: float, baseline: bool) -> dict:
        return {"table": "T", "split": "random", "arm": arm, "valid_rmse": valid, "rmse": test, "baseline": baseline}

    networks = [row("lucky on test", 0.9, 0.5, False), row("chosen", 0.6, 0.7, False)]
    (verdict,) = quality.compare_with_baselines(
        [*networks, row("forest", 0.8, 0.65, True), row("vectors", 0.7, 0.8, True)]
    )
    assert verdict == "T, random: chosen 0.700 is NOT below forest 0.650"
    (verdict,) = quality.compare_with_baselines([*networks, row("vectors", 0.7, 0.8, True)])
    assert verdict == "T, random: chosen 0.700 is below vectors 0.800"
