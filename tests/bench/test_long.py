"""The benchmarks of accuracy on a small table: their numbers agree with the stored runs."""

from pathlib import Path

import datamol as dm
import numpy as np
import pytest

from core.bench import label_noise, lds, public_tables
from core.cli.parser import main
from core.engine.report import Report
from core.engine.spec import Spec
from core.engine.store import Store
from core.models.backbones import Untrained

TINY = {"train": 40, "valid": 30, "pool": 40, "test": None}


@pytest.fixture
def small_table(monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"hydration": public_tables.TableSource("kcal/mol", source="bundled:hydration")}
    for module in (label_noise, lds):
        monkeypatch.setattr(module, "TABLES", source)
        monkeypatch.setattr(module, "SMALL_SIZES", {"hydration": TINY})
    monkeypatch.setattr(public_tables, "STEPS", 3)


def run_benchmark(module: object, store: Store, **settings: object) -> list[dict]:
    defaults = {"tables": ("hydration",), "seeds": (0,), "backbone": Untrained("molsway-tiny")}
    return module.run(store, Report(files=store.files), **defaults | settings)


def test_swapped_labels_are_detected_in_the_pool_and_in_training(
    small_table: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_noise, "SELECTED", 10)
    monkeypatch.setattr(label_noise, "NOISE_RATES", (0.2,))
    store, arms = Store(cache), ("none", "random", "greedy")
    (row,) = run_benchmark(label_noise, store, seeds=(0, 1), arms=arms)
    assert set(row["found"]) == {
        *(f"pool: {score}" for score in ("delta_loss", "whole_step", "residual")),
        *(f"learned: {score}" for score in ("leave_one_out", "opinion", "removal", "residual", "suspicion")),
    }
    for score in row["found"].values():
        assert len(score["of_seeds"]) == 2 and all(0 <= each["low"] <= each["high"] <= 1 for each in score["of_seeds"])
        assert score["mean"] == pytest.approx(np.mean([each["auroc"] for each in score["of_seeds"]]))
    fits = [entry for entry in store.entries() if entry.kind == "finetune"]
    rows = sorted(entry.summary["rows"]["train"] for entry in fits)
    assert rows == [40, 40, 50, 50, 50, 50, 80, 80]  # none, random, greedy, and with the whole pool
    assert "against_random" not in row["arms"]["random"]
    gap = row["arms"]["greedy"]["against_random"]
    each = np.subtract(row["arms"]["greedy"]["rmse_of_seeds"], row["arms"]["random"]["rmse_of_seeds"])
    assert gap["mean"] == pytest.approx(each.mean()) and gap["low"] < gap["mean"] < gap["high"]
    assert gap["high"] - gap["mean"] == pytest.approx(12.706 * each.std(ddof=1) / 2**0.5, rel=1e-3)  # Student's, 1
    assert "20% of the pool mislabelled" in label_noise.as_text([row]) and "below in" in label_noise.as_text([row])


def test_the_summary_counts_a_split_once() -> None:
    def row(table: str, ours: list[float]) -> dict:
        arms = {"random": {"rmse_of_seeds": [1.0, 2.0]}, "greedy": {"rmse_of_seeds": ours}}
        return {"table": table, "arms": arms}

    rows = [row("a", [0.9, 2.0]), row("a", [0.7, 2.2]), row("b", [1.0, 1.8])]
    greedy = label_noise.summarise_rows(rows)["greedy"]
    splits = np.array([-20.0, 5.0, 0.0, -10.0])  # means over the noise rates: table a with two seeds, table b with two
    assert greedy["mean"] == pytest.approx(splits.mean()) and greedy["splits"] == 4
    assert greedy["high"] - greedy["mean"] == pytest.approx(
        3.182 * splits.std(ddof=1) / 4**0.5, rel=1e-3
    )  # Student's, 3
    assert (greedy["below"], greedy["cases"]) == (3, 6)
    assert label_noise.summarise_rows([{"table": "a", "arms": {"greedy": {"rmse_of_seeds": [1.0]}}}]) == {}


def test_all_scores_are_compared_with_the_same_retrainings(
    small_table: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested, finetune = [], Spec.kinds["finetune"]
    make = finetune.make
    monkeypatch.setattr(
        finetune, "make", lambda self, report, **parts: tested.append(len(parts["test"])) or make(self, report, **parts)
    )
    monkeypatch.setattr(lds, "SUBSETS", 5)
    store = Store(cache)
    (row,) = run_benchmark(lds, store, arms=("head",))
    solvers = [way["solved by"] for way in row["ways"]]
    assert solvers.count("dual") == solvers.count("dual, matched damping") == 3
    assert {"cg", "lissa", "gradient similarity"} <= set(solvers)
    kinds = [entry.kind for entry in store.entries()]
    assert kinds.count("subset-retraining") == 1 and kinds.count("influence") == len(lds._SCORINGS)
    assert "hydration, head, seed 0" in lds.as_text([row])
    assert sorted(tested)[:6] == [8] * 6 and sorted(tested)[6] > 400, "a retraining evaluates no test set"


def test_classes_are_scored_too(
    small_table: None, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = dm.data.freesolv()
    frame.assign(Class=(frame["expt"] > frame["expt"].median()).astype(int)).to_csv(tmp_path / "bace.csv", index=False)
    monkeypatch.setattr(lds, "SUBSETS", 5)
    monkeypatch.setattr(lds, "SMALL_CLASS_SIZES", {"BACE classes": TINY})
    store = Store(cache)
    (row,) = run_benchmark(lds, store, arms=("head",), tables=("BACE classes",), folder=tmp_path)
    assert len(row["ways"]) == 9
    scores = next(entry for entry in store.entries() if entry.kind == "influence")
    assert scores.summary["kinds"] == ["binary"] and "cross-entropy" in scores.summary["unit"]


def test_unknown_tables_splits_and_arms_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (("label-noise", "--split", "scaffold"), "no split 'scaffold' in this benchmark; it has no such option"),
        (("lds", "--arm", "LoRA"), "no arm 'LoRA' in this benchmark; there are head, full"),
        (("quality", "--table", "Tox21"), "no table 'Tox21' in this benchmark; there are Lipophilicity, ESOL"),
        (("speed",), "there is no benchmark 'speed'"),
        (("foretelling",), "the benchmark 'foretelling' is now called 'lds'"),
    ):
        assert main(["bench", *words]) == 2
        assert message in capsys.readouterr().err
