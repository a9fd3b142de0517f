"""Recipes side by side: the same rows, every seed, arms that fail, and what is said of them."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.engine import spec as recipes
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Adapt, Baseline, FineTune, LearningRateSearch, Load, Study, import_files, split_table
from core.experiments.studies.study import fewest_weights_sentence
from core.models.backbones import Pretrained, Untrained
from core.models.baselines import RandomForest, SupportVectors
from core.models.methods import IA3, OFT, BitFit, Full, Head, LoRA


@pytest.fixture
def store(cache: Path) -> Store:
    return Store(cache)


@pytest.fixture
def fit(table: Path, store: Store) -> FineTune:
    train, valid, test = split_table(Load(f"file:{table}"), seed=0, train=None, valid=12, test=12)
    spec = FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), steps=6, evaluations=2, batch_size=8)
    return import_files(spec, store.files)


def of(fit: FineTune, *methods: Any) -> tuple[FineTune, ...]:
    return tuple(dataclasses.replace(fit, method=method) for method in methods)


def test_arms_stand_beside_the_first_on_the_same_molecules(fit: FineTune, store: Store) -> None:
    baseline = Baseline(fit.train, fit.valid, fit.test, baseline=RandomForest(trees=3))
    spec = Study((*of(fit, Full(), LoRA(), IA3()), baseline), seeds=(0, 1))
    found = make(spec, store, Report())
    record, arms = found.record, {arm["name"]: arm for arm in found.record["arms"]}
    assert list(arms) == ["full", "LoRA", "(IA)³", "random forest"]
    assert [arm["role"] for arm in arms.values()] == ["selection"] * 3 + ["baseline"]
    networks = ["full", "LoRA", "(IA)³"]
    assert {(row["arm"], row["against"]) for row in record["differences"]} == {
        (name, other) for name in arms for other in networks if name != other
    }
    assert record["reference"] == "full"
    assert record["verdict"].startswith("“") and "of the networks" in record["verdict"]
    for name, arm in arms.items():
        for seed, key, value in zip((0, 1), arm["fits"], arm["rmse"]["values"], strict=True):
            kept = store.get(store.find(key).spec)
            assert kept.metrics["test"]["size"]["rmse"] == value and kept.record["seed"] == seed
            mine = found.predictions[(found.predictions["arm"] == name) & (found.predictions["seed"] == seed)]
            np.testing.assert_array_equal(mine["prediction"], kept.matrices("test")[1][:, 0])
    assert arms["(IA)³"]["trainable"] < arms["LoRA"]["trainable"] < arms["full"]["trainable"]
    assert arms["full"]["trainable_bytes"] == 4 * arms["full"]["trainable"]
    assert all(arms["full"][name]["mean"] > 0 for name in ("seconds", "seconds_to_best", "peak_memory"))
    assert arms["random forest"]["trainable"] is None and arms["random forest"]["seconds_to_best"]["mean"] is None
    assert any("3 differences stand against “full”" in note for note in record["notes"]) and record["failed"] == []
    assert not any("unequal" in note for note in record["notes"])


def test_an_arm_that_fails_is_left_out_and_named(fit: FineTune, store: Store) -> None:
    spec = Study(of(fit, Full(), OFT(block=24), LoRA()), names=("all", "turned", "thin"), seeds=(0, 1))
    record = make(spec, store, Report()).record
    assert [arm["name"] for arm in record["arms"]] == ["all", "thin"]
    assert [(one["arm"], one["seed"]) for one in record["failed"]] == [("turned", 0), ("turned", 1)]
    assert "oft rotates blocks of 24 inputs" in record["failed"][0]["reason"]
    assert any(note.startswith("“turned” with seed 0 failed: oft") for note in record["notes"])


def test_where_the_first_arm_fails_the_next_is_the_reference(fit: FineTune, store: Store) -> None:
    record = make(Study(of(fit, OFT(block=24), LoRA(), Head()), seeds=(0,)), store, Report()).record
    assert record["reference"] == "LoRA"
    assert [(row["arm"], row["against"]) for row in record["differences"]] == [("head", "LoRA"), ("LoRA", "head")]


def test_a_seed_that_fails_takes_only_itself_along(
    fit: FineTune, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_one = FineTune.make

    def sometimes(self: FineTune, *given: Any, **more: Any) -> Any:
        if self.seed == 1 and self.method == LoRA():
            raise MemoryError
        return make_one(self, *given, **more)

    monkeypatch.setattr(FineTune, "make", sometimes)
    record = make(Study(of(fit, Full(), LoRA()), seeds=(0, 1, 2)), store, Report()).record
    lora = record["arms"][1]
    assert lora["rmse"]["values"][1] is None and lora["rmse"]["sd"] > 0 and lora["n_train"][1] is None
    assert record["differences"][0]["repeats"] == 2
    assert "lower `batch_size`" in record["failed"][0]["reason"]


def test_fewer_than_two_arms_are_no_study(fit: FineTune, store: Store) -> None:
    with pytest.raises(BadInput, match="1 of 2 arms could be made, two are needed; “OFT”: oft rotates blocks"):
        make(Study(of(fit, Full(), OFT(block=24)), seeds=(0,)), store, Report())
    assert store.has(fit.with_seed(0))


def test_one_network_beside_baselines_and_baselines_alone_are_studies_too(fit: FineTune, store: Store) -> None:
    forest, vectors = (
        Baseline(fit.train, fit.valid, fit.test, baseline=learner)
        for learner in (RandomForest(trees=3), SupportVectors())
    )
    said = make(Study((fit, forest), seeds=(0, 1)), store, Report()).record["verdict"]
    assert said.startswith("“full” has a mean test error of RMSE ") and "“random forest” is" in said
    record = make(Study((forest, vectors), seeds=(0, 1)), store, Report()).record
    assert {arm["role"] for arm in record["arms"]} == {"selection"} and record["reference"] == "random forest"
    assert "has the lowest mean test error (RMSE" in record["verdict"]
    failed = dataclasses.replace(fit, method=OFT(block=24))
    record = make(Study((failed, forest, vectors), seeds=(0, 1)), store, Report()).record
    assert record["reference"] == "random forest" and len(record["failed"]) == 2


def test_everything_drawn_by_chance_is_drawn_anew_with_a_seed(fit: FineTune) -> None:
    adapted = dataclasses.replace(fit, backbone=Adapt(fit.train, backbone=Untrained("molsway-tiny"), seed=0))
    read = dataclasses.replace(fit, backbone=Pretrained("molsway-mini"))
    first, second, third = Study((fit, adapted, read), names=("a", "b", "c"), seeds=(7, 8)).parts()["fits"]
    assert [one.backbone.seed for one in first] == [7, 8] == [one.seed for one in first]
    assert [one.backbone.seed for one in second] == [7, 8]
    assert third == (read.with_seed(7), read.with_seed(8)) and third[0].backbone == read.backbone


def test_arms_are_called_by_what_tells_them_apart(fit: FineTune) -> None:
    read = dataclasses.replace(fit, backbone=Pretrained("molsway-mini"))
    adapted = dataclasses.replace(read, backbone=Adapt(fit.train))
    assert Study(of(fit, Full(), BitFit())).arm_names == ("full", "BitFit")
    assert Study((read, adapted)).arm_names == ("full, from molsway-mini", "full, from adapted molsway-mini")
    assert Study((read, dataclasses.replace(read, dropout=0.1))).arm_names == (
        "full, from molsway-mini (1)", "full, from molsway-mini (2)",
    )  # fmt: skip
    assert Study((read, LearningRateSearch(read))).arm_names == (
        "full, from molsway-mini",
        "full, from molsway-mini, tuned",
    )
    assert list(Study((read, fit)).roles.values()) == ["selection", "control"]
    assert list(Study(of(fit, Full(), LoRA())).roles.values()) == ["selection", "selection"]


def test_what_could_prove_nothing_is_refused(fit: FineTune) -> None:
    other = dataclasses.replace(fit, test=fit.valid)
    two = of(fit, Full(), LoRA())
    for fields, words in (
        ({"arms": (fit, fit)}, "at least two recipes, all different"),
        ({"arms": (fit,)}, "at least two recipes"),
        ({"arms": two, "seeds": (1, 1)}, "different seeds"),
        ({"arms": two, "seeds": (0, -1)}, "seed"),
        ({"arms": two, "names": ("a",)}, "one name an arm or none"),
        ({"arms": two, "names": ("a", "a")}, "different `names`"),
        ({"arms": (fit, other)}, "different test parts"),
    ):
        with pytest.raises(BadInput, match=words):
            Study(**fields)


def test_the_thriftiest_that_cannot_be_told_from_the_best_is_named() -> None:
    def arm(name: str, error: float, trainable: int, role: str = "selection") -> dict[str, Any]:
        share = {"trainable": trainable or None, "backbone_trainable": trainable, "backbone_parameters": 1000}
        return {"name": name, "role": role, "rmse": {"mean": error}, **share}

    def row(name: str, verdict: str) -> dict[str, str]:
        return {"arm": name, "against": "full", "verdict": verdict}

    arms = [arm("full", 0.5, 1000), arm("LoRA", 0.51, 50), arm("(IA)³", 0.52, 5), arm("forest", 0.4, 0, "baseline")]
    level, worse = "not distinguishable", "worse"
    assert fewest_weights_sentence(arms, [row("LoRA", level), row("(IA)³", level)]) == (
        "“(IA)³” trains 0.5 % of the backbone beside the head and cannot be told from “full”."
    )
    alone = [*arms, arm("head", 0.53, 1) | {"backbone_trainable": 0}]
    assert "“head” trains the head alone and" in fewest_weights_sentence(alone, [row("head", level)])
    assert "“LoRA” trains 5 %" in fewest_weights_sentence(arms, [row("LoRA", level), row("(IA)³", worse)])
    assert fewest_weights_sentence(arms, [row("LoRA", worse), row("(IA)³", worse)]) == (
        "None that trains fewer weights than “full” (100 % of the backbone) is level with it."
    )
    assert fewest_weights_sentence(arms[:1], []) == ""


def test_its_text_gives_it_back(fit: FineTune) -> None:
    spec = Study((fit, LearningRateSearch(fit), Baseline(fit.train, fit.valid, fit.test, baseline=SupportVectors())))
    assert recipes.read_spec_json(spec.text) == spec
