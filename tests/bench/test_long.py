"""The benchmarks of hours, on a little table: what they measure is what the store holds."""

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
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"hydration": public_tables.TableSource("kcal/mol", source="bundled:hydration")}
    for module in (label_noise, lds):
        monkeypatch.setattr(module, "TABLES", source)
        monkeypatch.setattr(module, "SMALL", {"hydration": TINY})
    monkeypatch.setattr(public_tables, "STEPS", 3)


def measured(module: object, store: Store, **asked: object) -> list[dict]:
    given = {"tables": ("hydration",), "seeds": (0,), "backbone": Untrained("molsway-tiny")} | asked
    return module.run(store, Report(files=store.files), **given)


def test_planted_labels_are_looked_for_in_the_pool_and_among_what_is_learned(
    few: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_noise, "SELECTED", 10)
    monkeypatch.setattr(label_noise, "NOISE_RATES", (0.2,))
    store, arms = Store(cache), ("none", "random", "greedy")
    (row,) = measured(label_noise, store, seeds=(0, 1), arms=arms)
    assert set(row["found"]) == {
        *(f"pool: {way}" for way in ("delta_loss", "whole_step", "residual")),
        *(f"learned: {way}" for way in ("leave_one_out", "opinion", "removal", "residual", "suspicion")),
    }
    for one in row["found"].values():
        assert len(one["of_seeds"]) == 2 and all(0 <= each["low"] <= each["high"] <= 1 for each in one["of_seeds"])
        assert one["mean"] == pytest.approx(np.mean([each["auroc"] for each in one["of_seeds"]]))
    fits = [entry for entry in store.entries() if entry.kind == "finetune"]
    rows = sorted(entry.summary["rows"]["train"] for entry in fits)
    assert rows == [40, 40, 50, 50, 50, 50, 80, 80]  # none, random and greedy, and what is looked at for suspects
    assert "against_random" not in row["arms"]["random"]
    gap = row["arms"]["greedy"]["against_random"]
    each = np.subtract(row["arms"]["greedy"]["rmse_of_seeds"], row["arms"]["random"]["rmse_of_seeds"])
    assert gap["mean"] == pytest.approx(each.mean()) and gap["low"] < gap["mean"] < gap["high"]
    assert gap["high"] - gap["mean"] == pytest.approx(12.706 * each.std(ddof=1) / 2**0.5, rel=1e-3)  # Student's, 1
    assert "20% of the pool wrong" in label_noise.as_text([row]) and "below in" in label_noise.as_text([row])


def test_what_all_tables_say_counts_a_split_once() -> None:
    def row(table: str, ours: list[float]) -> dict:
        arms = {"random": {"rmse_of_seeds": [1.0, 2.0]}, "greedy": {"rmse_of_seeds": ours}}
        return {"table": table, "arms": arms}

    rows = [row("a", [0.9, 2.0]), row("a", [0.7, 2.2]), row("b", [1.0, 1.8])]
    greedy = label_noise.summarise_rows(rows)["greedy"]
    splits = np.array(
        [-20.0, 5.0, 0.0, -10.0]
    )  # of a and its two seeds, of b: the mean over the shares of wrong labels
    assert greedy["mean"] == pytest.approx(splits.mean()) and greedy["splits"] == 4
    assert greedy["high"] - greedy["mean"] == pytest.approx(
        3.182 * splits.std(ddof=1) / 4**0.5, rel=1e-3
    )  # Student's, 3
    assert (greedy["below"], greedy["cases"]) == (3, 6)
    assert label_noise.summarise_rows([{"table": "a", "arms": {"greedy": {"rmse_of_seeds": [1.0]}}}]) == {}


def test_every_way_is_put_beside_the_same_retrainings(few: None, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tested, finetune = [], Spec.kinds["finetune"]
    make = finetune.make
    monkeypatch.setattr(
        finetune, "make", lambda self, report, **parts: tested.append(len(parts["test"])) or make(self, report, **parts)
    )
    monkeypatch.setattr(lds, "SUBSETS", 5)
    store = Store(cache)
    (row,) = measured(lds, store, arms=("head",))
    solved = [one["solved by"] for one in row["ways"]]
    assert solved.count("dual") == solved.count("dual, matched damping") == 3
    assert {"cg", "lissa", "plain similarity"} <= set(solved)
    kinds = [entry.kind for entry in store.entries()]
    assert kinds.count("subset-retraining") == 1 and kinds.count("influence") == len(lds._SCORINGS)
    assert "hydration, head, seed 0" in lds.as_text([row])
    assert sorted(tested)[:6] == [8] * 6 and sorted(tested)[6] > 400, "a retraining reports nothing of its test part"


def test_classes_are_foretold_too(few: None, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = dm.data.freesolv()
    frame.assign(Class=(frame["expt"] > frame["expt"].median()).astype(int)).to_csv(tmp_path / "bace.csv", index=False)
    monkeypatch.setattr(lds, "SUBSETS", 5)
    monkeypatch.setattr(lds, "SMALL_CLASS_SIZES", {"BACE classes": TINY})
    store = Store(cache)
    (row,) = measured(lds, store, arms=("head",), tables=("BACE classes",), folder=tmp_path)
    assert len(row["ways"]) == 9
    scores = next(entry for entry in store.entries() if entry.kind == "influence")
    assert scores.summary["kinds"] == ["binary"] and "cross-entropy" in scores.summary["unit"]


def test_what_a_long_benchmark_has_none_of_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        (("label-noise", "--split", "scaffold"), "no split 'scaffold' in this benchmark; it has none to choose from"),
        (("lds", "--arm", "LoRA"), "no arm 'LoRA' in this benchmark; there are head, full"),
        (("quality", "--table", "Tox21"), "no table 'Tox21' in this benchmark; there are Lipophilicity, ESOL"),
        (("speed",), "there is no benchmark 'speed'"),
        (("lds",), "the benchmark 'foretelling' is now called 'lds'"),
    ):
        assert main(["bench", *words]) == 2
        assert told in capsys.readouterr().err
