"""The benchmark of errors: the same rows for every arm, kept fits, honest verdicts."""

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
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (cells, quality):
        monkeypatch.setattr(module, "TABLES", {"hydration": TableSource("kcal/mol", source="bundled:hydration")})
    monkeypatch.setattr(quality, "ARMS", ARMS)


def measured(store: Store, **asked: object) -> list[dict]:
    given = {"tables": ("hydration",), "splits": ("random",), "arms": tuple(ARMS), "seeds": (0, 1)}
    return quality.run(store, Report(files=store.files), **given | asked)


def test_every_arm_is_tested_on_the_same_rows_and_the_numbers_are_those_of_the_fits(few: None, cache: Path) -> None:
    store, said = Store(cache), []
    rows = measured(store, show=said.append)
    assert [row["arm"] for row in rows] == list(ARMS) and len(said) == 2
    assert rows[0]["test_digests"] == rows[1]["test_digests"] and len(set(rows[0]["test_digests"])) == 2
    for row in rows:
        errors = []
        for key in row["fits"]:
            fit = store.get(store.find(key).spec)
            labels, predicted, _ = fit.matrices("test")
            errors.append(float(np.sqrt(np.mean((labels - predicted) ** 2))))
        assert row["rmse"] == pytest.approx(np.mean(errors)) and row["sd"] == pytest.approx(np.std(errors, ddof=1))
        assert errors == pytest.approx(row["rmse_of_seeds"])


def test_it_goes_on_where_it_was(few: None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measured(Store(cache), seeds=(0,))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("made twice")

    monkeypatch.setattr(Baseline, "make", refuse)
    assert measured(Store(cache), seeds=(0,)) == first


def test_a_network_is_known_by_its_weights_and_not_by_their_name(
    few: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[FineTune] = []

    class Enough(Exception):
        pass

    def seen(spec: FineTune, *_: object) -> None:
        asked.append(spec)
        raise Enough

    monkeypatch.setattr(cells, "make", seen)
    monkeypatch.setattr(quality, "ARMS", {"full": quality.network_fit})
    with pytest.raises(Enough):
        measured(Store(cache), arms=("full",))
    assert asked[0].backbone == Pretrained("molsway-mini").with_digests() and asked[0].backbone.digest
    other = Pretrained("elsewhere", digest="0" * 64)
    with pytest.raises(Enough):
        measured(Store(cache), arms=("full",), backbone=other)
    assert asked[1].backbone == other


def test_a_table_that_is_not_there_is_asked_for_by_name(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"BACE wants bace.csv or bace.csv.gz .* --data"):
        quality.run(Store(cache), Report(), None, tables=("BACE",))
    with pytest.raises(BadInput, match=r"Lipophilicity\.csv"):
        quality.run(Store(cache), Report(), tmp_path, tables=("Lipophilicity",))


def test_the_grid_has_a_line_for_each_split_and_a_column_for_each_arm() -> None:
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


def test_the_network_of_a_verdict_is_chosen_by_its_validation_error() -> None:
    def row(arm: str, valid: float, test: float, baseline: bool) -> dict:
        return {"table": "T", "split": "random", "arm": arm, "valid_rmse": valid, "rmse": test, "baseline": baseline}

    networks = [row("lucky on test", 0.9, 0.5, False), row("chosen", 0.6, 0.7, False)]
    (said,) = quality.compare_with_baselines(
        [*networks, row("forest", 0.8, 0.65, True), row("vectors", 0.7, 0.8, True)]
    )
    assert said == "T, random: chosen 0.700 is NOT below forest 0.650"
    (said,) = quality.compare_with_baselines([*networks, row("vectors", 0.7, 0.8, True)])
    assert said == "T, random: chosen 0.700 is below vectors 0.800"
