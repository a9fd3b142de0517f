"""Study: same rows and seeds for all arms, failed arms, notes and verdicts."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.engine import spec as specs
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


def with_methods(fit: FineTune, *methods: Any) -> tuple[FineTune, ...]:
    return tuple(dataclasses.replace(fit, method=method) for method in methods)


def test_arms_are_compared_on_the_same_molecules(fit: FineTune, store: Store) -> None:
    baseline = Baseline(fit.train, fit.valid, fit.test, baseline=RandomForest(trees=3))
    spec = Study((*with_methods(fit, Full(), LoRA(), IA3()), baseline), seeds=(0, 1))
    comparison = make(spec, store, Report())
    record, arms = comparison.record, {arm["name"]: arm for arm in comparison.record["arms"]}
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
            fit_of_seed = store.get(store.find(key).spec)
            assert fit_of_seed.metrics["test"]["size"]["rmse"] == value and fit_of_seed.record["seed"] == seed
            rows = comparison.predictions[
                (comparison.predictions["arm"] == name) & (comparison.predictions["seed"] == seed)
            ]
            np.testing.assert_array_equal(rows["prediction"], fit_of_seed.matrices("test")[1][:, 0])
    assert arms["(IA)³"]["trainable"] < arms["LoRA"]["trainable"] < arms["full"]["trainable"]
    assert arms["full"]["trainable_bytes"] == 4 * arms["full"]["trainable"]
    assert all(arms["full"][name]["mean"] > 0 for name in ("seconds", "seconds_to_best", "peak_memory"))
    assert arms["random forest"]["trainable"] is None and arms["random forest"]["seconds_to_best"]["mean"] is None
    assert any("3 differences from “full” are shown" in note for note in record["notes"]) and record["failed"] == []
    assert not any("unequal" in note for note in record["notes"])


def test_failed_arm_is_left_out_and_named(fit: FineTune, store: Store) -> None:
    spec = Study(with_methods(fit, Full(), OFT(block=24), LoRA()), names=("all", "turned", "thin"), seeds=(0, 1))
    record = make(spec, store, Report()).record
    assert [arm["name"] for arm in record["arms"]] == ["all", "thin"]
    assert [(one["arm"], one["seed"]) for one in record["failed"]] == [("turned", 0), ("turned", 1)]
    assert "oft rotates blocks of 24 inputs" in record["failed"][0]["reason"]
    assert any(note.startswith("“turned” with seed 0 failed: oft") for note in record["notes"])


def test_next_arm_is_the_reference_if_the_first_fails(fit: FineTune, store: Store) -> None:
    record = make(Study(with_methods(fit, OFT(block=24), LoRA(), Head()), seeds=(0,)), store, Report()).record
    assert record["reference"] == "LoRA"
    assert [(row["arm"], row["against"]) for row in record["differences"]] == [("head", "LoRA"), ("LoRA", "head")]


def test_failed_seed_affects_no_other(fit: FineTune, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fit = FineTune.make

    def sometimes(self: FineTune, *args: Any, **parts: Any) -> Any:
        if self.seed == 1 and self.method == LoRA():
            raise MemoryError
        return make_fit(self, *args, **parts)

    monkeypatch.setattr(FineTune, "make", sometimes)
    record = make(Study(with_methods(fit, Full(), LoRA()), seeds=(0, 1, 2)), store, Report()).record
    lora = record["arms"][1]
    assert lora["rmse"]["values"][1] is None and lora["rmse"]["sd"] > 0 and lora["n_train"][1] is None
    assert record["differences"][0]["repeats"] == 2
    assert "lower `batch_size`" in record["failed"][0]["reason"]


def test_fewer_than_two_trained_arms_are_refused(fit: FineTune, store: Store) -> None:
    with pytest.raises(BadInput, match="1 of 2 arms were trained, two are needed; “OFT”: oft rotates blocks"):
        make(Study(with_methods(fit, Full(), OFT(block=24)), seeds=(0,)), store, Report())
    assert store.has(fit.with_seed(0))


def test_studies_with_one_or_no_network(fit: FineTune, store: Store) -> None:
    forest, vectors = (
        Baseline(fit.train, fit.valid, fit.test, baseline=baseline)
        for baseline in (RandomForest(trees=3), SupportVectors())
    )
    verdict = make(Study((fit, forest), seeds=(0, 1)), store, Report()).record["verdict"]
    assert verdict.startswith("“full” has a mean test error of RMSE ") and "“random forest” is" in verdict
    record = make(Study((forest, vectors), seeds=(0, 1)), store, Report()).record
    assert {arm["role"] for arm in record["arms"]} == {"selection"} and record["reference"] == "random forest"
    assert "has the lowest mean test error (RMSE" in record["verdict"]
    failed = dataclasses.replace(fit, method=OFT(block=24))
    record = make(Study((failed, forest, vectors), seeds=(0, 1)), store, Report()).record
    assert record["reference"] == "random forest" and len(record["failed"]) == 2


def test_seed_sets_everything_random(fit: FineTune) -> None:
    adapted = dataclasses.replace(fit, backbone=Adapt(fit.train, backbone=Untrained("molsway-tiny"), seed=0))
    read = dataclasses.replace(fit, backbone=Pretrained("molsway-mini"))
    first, second, third = Study((fit, adapted, read), names=("a", "b", "c"), seeds=(7, 8)).parts()["fits"]
    assert [one.backbone.seed for one in first] == [7, 8] == [one.seed for one in first]
    assert [one.backbone.seed for one in second] == [7, 8]
    assert third == (read.with_seed(7), read.with_seed(8)) and third[0].backbone == read.backbone


def test_arms_are_named_by_their_differences(fit: FineTune) -> None:
    read = dataclasses.replace(fit, backbone=Pretrained("molsway-mini"))
    adapted = dataclasses.replace(read, backbone=Adapt(fit.train))
    assert Study(with_methods(fit, Full(), BitFit())).arm_names == ("full", "BitFit")
    assert Study((read, adapted)).arm_names == ("full, from molsway-mini", "full, from adapted molsway-mini")
    assert Study((read, dataclasses.replace(read, dropout=0.1))).arm_names == (
        "full, from molsway-mini (1)", "full, from molsway-mini (2)",
    )  # fmt: skip
    assert Study((read, LearningRateSearch(read))).arm_names == (
        "full, from molsway-mini",
        "full, from molsway-mini, tuned",
    )
    assert list(Study((read, fit)).roles.values()) == ["selection", "control"]
    assert list(Study(with_methods(fit, Full(), LoRA())).roles.values()) == ["selection", "selection"]


def test_bad_settings_are_refused(fit: FineTune) -> None:
    other = dataclasses.replace(fit, test=fit.valid)
    two = with_methods(fit, Full(), LoRA())
    for fields, words in (
        ({"arms": (fit, fit)}, "at least two specs, all different"),
        ({"arms": (fit,)}, "at least two specs"),
        ({"arms": two, "seeds": (1, 1)}, "different seeds"),
        ({"arms": two, "seeds": (0, -1)}, "seed"),
        ({"arms": two, "names": ("a",)}, "one name per arm or none"),
        ({"arms": two, "names": ("a", "a")}, "different `names`"),
        ({"arms": (fit, other)}, "different test sets"),
    ):
        with pytest.raises(BadInput, match=words):
            Study(**fields)


def test_network_with_fewest_weights_on_par_is_named() -> None:
    def arm(name: str, error: float, trainable: int, role: str = "selection") -> dict[str, Any]:
        share = {"trainable": trainable or None, "backbone_trainable": trainable, "backbone_parameters": 1000}
        return {"name": name, "role": role, "rmse": {"mean": error}, **share}

    def row(name: str, verdict: str) -> dict[str, str]:
        return {"arm": name, "against": "full", "verdict": verdict}

    arms = [arm("full", 0.5, 1000), arm("LoRA", 0.51, 50), arm("(IA)³", 0.52, 5), arm("forest", 0.4, 0, "baseline")]
    level, worse = "not distinguishable", "worse"
    assert fewest_weights_sentence(arms, [row("LoRA", level), row("(IA)³", level)]) == (
        "“(IA)³” trains 0.5 % of the backbone and the head and is not distinguishable from “full”."
    )
    alone = [*arms, arm("head", 0.53, 1) | {"backbone_trainable": 0}]
    assert "“head” trains only the head and" in fewest_weights_sentence(alone, [row("head", level)])
    assert "“LoRA” trains 5 %" in fewest_weights_sentence(arms, [row("LoRA", level), row("(IA)³", worse)])
    assert fewest_weights_sentence(arms, [row("LoRA", worse), row("(IA)³", worse)]) == (
        "No network with fewer trainable weights is on par with “full” (100 % of the backbone)."
    )
    assert fewest_weights_sentence(arms[:1], []) == ""
    assert fewest_weights_sentence(arms, [row("LoRA", "one seed: noise unknown")]) == ""


def test_json_round_trip(fit: FineTune) -> None:
    spec = Study((fit, LearningRateSearch(fit), Baseline(fit.train, fit.valid, fit.test, baseline=SupportVectors())))
    assert specs.read_spec_json(spec.text) == spec
