"""Selection study on sixty molecules: arms, noise, digests, notes."""

import dataclasses
from pathlib import Path

import pytest

from core.engine import spec as specs
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import (
    Adapt,
    BuildCorpus,
    FineTune,
    LabelNoise,
    Load,
    Pretrain,
    SelectionStudy,
    build_preset,
    import_files,
    split_table,
)
from core.experiments.studies.arms import ARMS, FORMER_ARMS
from core.experiments.studies.selection import find_smallest_sufficient
from core.models import random_weights
from core.models.backbones import Pretrained, Untrained, pretrained
from core.models.backbones.molformer.untrained import UntrainedMolformer
from core.models.baselines import GradientBoosting, RandomForest, SupportVectors
from core.selection import SAMPLERS, Top


def study(table: Path, **fields: object) -> SelectionStudy:
    train, valid, test, pool = split_table(Load(f"file:{table}"), seed=0, train=18, valid=10, pool=20, test=None)
    fit = FineTune(
        train, valid, test, backbone=Untrained("molsway-tiny"), steps=12, evaluations=3, batch_size=8, seed=5
    )
    return SelectionStudy(fit=fit, pool=LabelNoise(pool, fraction=0.3), **{"count": 6, "seeds": (5, 6)} | fields)


def test_arms_have_the_same_training_and_test_set(table: Path, cache: Path) -> None:
    store = Store(cache)
    spec = import_files(study(table), store.files)
    comparison = make(spec, store, Report())
    record = comparison.summary()
    arms = {arm["name"]: arm for arm in record["arms"]}
    assert list(arms) == ["none", "all", "random", "top", "bottom", "greedy", "support vectors"]
    assert [arms[name]["n_train"][0] for name in arms] == [18, 38, 24, 24, 24, 24, 18]
    strategies = {name: arm for name, arm in arms.items() if arm["role"] == "selection"}
    assert len(strategies) == 6 and arms["support vectors"]["role"] == "baseline"
    assert {step for arm in strategies.values() for step in arm["steps"]} == {12}
    assert all(arm["rmse"]["sd"] > 0 and len(arm["rmse"]["values"]) == 2 for arm in strategies.values())
    assert {row["against"] for row in record["differences"]} == {"none", "random"}
    assert {row["verdict"] for row in record["differences"]} <= {"better", "worse", "not distinguishable"}
    assert set(record["detection"]) == {"delta_loss", "whole_step", "residual"}
    assert record["verdict"].startswith("“") and "baseline: “support vectors” is" in record["verdict"]
    assert not any("unequal work" in note for note in record["notes"])  # a baseline takes no steps
    assert record["n_test"] == 12 and len(record["test_digest"]) == 16
    random_picks = comparison.picks[comparison.picks["arm"] == "random"]
    assert len(random_picks) == 12 and set(random_picks[random_picks.seed == 5].smiles) != set(
        random_picks[random_picks.seed == 6].smiles
    )
    top = set(comparison.picks[(comparison.picks["arm"] == "top")].smiles)
    assert not top & set(comparison.picks[comparison.picks["arm"] == "bottom"].smiles)
    fits = [entry for entry in store.entries() if entry.kind == "finetune"]
    assert len(fits) == 12  # the scored fit is the first of “none”
    assert len([entry for entry in store.entries() if entry.kind == "baseline"]) == 2
    assert len(comparison.predictions) == 7 * 2 * 12


def test_several_sizes_give_a_curve(table: Path, cache: Path) -> None:
    store = Store(cache)
    spec = study(table, arms=("none", "all", "random", "top"), counts=(3, 10), baselines=())
    assert spec.sizes == (3, 6, 10)
    comparison = make(import_files(spec, store.files), store, Report())
    record = comparison.summary()
    names = [f"{strategy} {size}" for strategy in ("random", "top") for size in (3, 6, 10)]
    arms = {arm["name"]: arm for arm in record["arms"]}
    assert list(arms) == ["none", "all", *names]
    assert (arms["top 3"]["rule"], arms["top 3"]["kept"], arms["none"]["kept"]) == ("top", 3, None)
    assert [max(arms[name]["n_train"]) for name in names] == [21, 24, 28] * 2
    pairs = {(row["arm"], row["against"]) for row in record["differences"]}
    assert ("top 6", "random 6") in pairs and ("top 3", "random 6") not in pairs
    assert {("top 10", "none"), ("top 10", "all"), ("random 3", "all")} <= pairs
    smaller, larger = (set(comparison.picks[comparison.picks["arm"] == f"top {size}"]["smiles"]) for size in (3, 10))
    assert smaller < larger
    assert any("excludes zero by chance" in note for note in record["notes"])
    assert "select 3, 6, 10" in spec.title


def test_smallest_sufficient_selection() -> None:
    strategies = {"none": ("none", None), "all": ("all", None)}
    strategies |= {
        f"{strategy} {size}": (strategy, size) for strategy in ("top", "random", "greedy") for size in (20, 50, 100)
    }
    verdicts_of = {
        "top": ("worse", "not distinguishable", "better"),
        "random": ("not distinguishable", "worse", "worse"),
        "greedy": ("better", "not distinguishable", "not distinguishable"),
    }
    rows = [
        {"arm": f"{strategy} {size}", "against": "all", "verdict": verdict}
        for strategy, verdicts in verdicts_of.items()
        for size, verdict in zip((20, 50, 100), verdicts, strict=True)
    ]
    rows += [
        {"arm": "none", "against": "all", "verdict": "worse"},
        {"arm": "top 20", "against": "none", "verdict": "worse"},
    ]
    assert find_smallest_sufficient(rows, strategies) == {"top": 50, "greedy": 20}


VARIANTS = [word for sampler in SAMPLERS.values() for word in sampler.variants]
OBJECTS = [
    {"kind": "greedy", "damping": 5.0},
    {"kind": "kmeans", "within": "benefit"},
    {"kind": "top", "cost": "price"},
]


@pytest.mark.parametrize("arm", [*SAMPLERS, *VARIANTS, *OBJECTS], ids=str)
def test_every_sampler_is_an_arm(table: Path, arm: str | dict) -> None:
    spec = study(table, arms=("none", arm), counts=(3,))
    parts = spec.parts()
    assert len(parts["picks"]) == 2 and len(parts["fits"]) == 1 + 2 + 1, "two sizes; none, both sizes, and a baseline"
    (fewer, fewer_again), (more, _) = parts["picks"]
    assert (fewer.sampler.count, more.sampler.count) == (3, 6)
    assert (fewer != fewer_again) == fewer.sampler.uses_seed
    assert (fewer.scores is not None) == ("scores" in fewer.sampler.needs)
    title = fewer.sampler.title
    assert spec.arm_settings == {"none": ("none", None), f"{title} 3": (title, 3), f"{title} 6": (title, 6)}
    assert ARMS.describe(title)
    again = specs.read_spec_json(spec.text)
    assert again == spec and again.key == spec.key


@pytest.mark.parametrize(
    ("arm", "word"),
    [
        ("uniform", "random"),
        *FORMER_ARMS.items(),
        ({"kind": "uniform"}, "random"),
        (Top(worst=True), "bottom"),
        ({"kind": "greedy", "features": "all weights"}, "greedy, all weights"),
        ({"kind": "maxmin", "space": "fingerprints"}, "maxmin"),
    ],
    ids=str,
)
def test_arm_has_one_name_in_all_notations(table: Path, arm: object, word: str) -> None:
    assert study(table, arms=("none", arm)).key == study(table, arms=("none", word)).key


def test_two_settings_of_one_sampler_are_two_arms(table: Path) -> None:
    spec = study(table, arms=("greedy", {"kind": "greedy", "damping": 5}, {"kind": "greedy", "features": "last layer"}))
    assert list(spec.arm_settings) == ["greedy", "greedy (damping 5)", "greedy (features last layer)"]
    assert [spec.select(name, 0).sampler.damping for name in spec.arm_settings] == [20, 5, 20]


def test_former_names_map_to_arms() -> None:
    assert set(FORMER_ARMS.values()) <= set(ARMS) and not set(FORMER_ARMS) & set(ARMS)


def test_arms_of_unequal_work_are_noted(table: Path, cache: Path) -> None:
    store = Store(cache)

    spec = study(table, arms=("none", "all"), seeds=(5,))
    spec = dataclasses.replace(spec, fit=dataclasses.replace(spec.fit, steps=None, epochs=1))
    record = make(import_files(spec, store.files), store, Report()).summary()
    assert any("unequal work" in note for note in record["notes"])
    assert "one seed says nothing" in record["verdict"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seeds": (1, 1)}, "wants different seeds, got [1, 1]"),
        ({"seeds": (0, -4)}, "finetune.seed: input should be greater than or equal to 0; got -4"),
        ({"seeds": ()}, "wants different seeds"),
        ({"counts": (5, 0)}, "`counts` wants numbers of molecules, 1 or more, got [5, 0]"),
        ({"arms": ("none",)}, "at least two different arms"),
        ({"arms": ("none", "best")}, "there is no arm 'best'; there are 'none', 'all', 'random'"),
        ({"arms": ("none", {"kind": "top", "count": 5})}, "'count' is set by the study, got 5 for top; leave it out"),
        ({"arms": ("none", {"kind": "kmeans", "seed": 5})}, "'seed' is set by the study, got 5 for kmeans"),
        ({"arms": ("top", {"kind": "top"})}, "at least two different arms, got ['top', 'top']"),
        ({"arms": ("none", {"kind": "topp"})}, "there is no sampler of kind 'topp'"),
        ({"baselines": ("forest",)}, "there is no baseline of kind 'forest'; there are support-vectors"),
        ({"baselines": ("random-forest", "random-forest")}, "differ in kind or features, got"),
        ({"control": True}, "this model starts from untrained weights; leave `control` out"),
    ],
)
def test_meaningless_studies_are_refused(table: Path, fields: dict, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        study(table, **fields)
    assert words in str(caught.value)


def test_more_molecules_than_the_pool_are_refused(table: Path, cache: Path) -> None:
    store = Store(cache)
    with pytest.raises(BadInput, match="21"):
        make(import_files(study(table, count=21), store.files), store, Report())


def test_json_round_trip(table: Path) -> None:
    spec = study(table)
    assert specs.read_spec_json(spec.text) == spec


def test_bad_pools_are_refused_before_training(table: Path, cache: Path) -> None:
    store = Store(cache)
    spec = study(table)
    for pool, words in (
        (spec.fit.test, "12 of 12 pool molecules are test molecules"),
        (spec.pool, "an arm selects 60 molecules"),
    ):
        other = dataclasses.replace(spec, pool=pool, count=6 if pool is spec.fit.test else 60)
        with pytest.raises(BadInput, match=words):
            make(import_files(other, store.files), store, Report())
    assert not any(entry.kind == "finetune" for entry in store.entries())


def test_warnings_of_some_arms_name_them(table: Path) -> None:
    from types import SimpleNamespace

    def fit(*warnings: str) -> SimpleNamespace:
        return SimpleNamespace(record={"steps": 12, "warnings": list(warnings)}, tasks=("size",))

    spec = study(table, arms=("none", "all", "top"))
    fits = (
        (fit("short"), fit("short")),
        (fit("short", "shared"), fit("short")),
        (fit("short"), fit("short", "shared")),
        (fit("flat"), fit()),
    )
    notes = ["short", "“all”, “top”: shared", "“support vectors”: flat"]
    assert spec.collect_notes(fits, SimpleNamespace(record={})) == notes


def bare(spec: SelectionStudy, **fields: object) -> SelectionStudy:
    """The smallest study: two arms, no baselines."""
    return dataclasses.replace(spec, **{"arms": ("none", "random"), "baselines": ()} | fields)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a checkpoint of `molsway-tiny`."""
    monkeypatch.setattr(pretrained, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(pretrained, "SHIPPED", {})
    Untrained("molsway-tiny", seed=9)().save(tmp_path / "checkpoints" / "molsway-tiny")
    return tmp_path / "checkpoints" / "molsway-tiny"


def with_backbone(spec: SelectionStudy, backbone: object) -> SelectionStudy:
    return dataclasses.replace(spec, fit=dataclasses.replace(spec.fit, backbone=backbone))


def test_baselines_and_control_train_on_the_rows_of_none(table: Path, cache: Path, checkpoint: Path) -> None:
    store = Store(cache)
    baselines = (
        SupportVectors(),
        SupportVectors(features="fingerprints"),
        GradientBoosting(trees=3),
        RandomForest(trees=3),
    )
    spec = with_backbone(bare(study(table), baselines=baselines), Pretrained("molsway-tiny"))
    spec = import_files(dataclasses.replace(spec, control=True), store.files)
    comparison = make(spec, store, Report())
    arms = {arm["name"]: arm for arm in comparison.record["arms"]}
    names = ["support vectors of descriptors", "support vectors of fingerprints", "gradient boosting", "random forest"]
    assert list(arms) == ["none", "random", *names, "random weights"]
    assert [arm["role"] for arm in arms.values()] == ["selection"] * 2 + ["baseline"] * 4 + ["control"]
    none = store.get(spec.refit("none", 5))
    for name in [*names, "random weights"]:
        for seed, key in zip(spec.seeds, arms[name]["fits"], strict=True):
            fit = store.get(store.find(key).spec)
            assert fit.record["digests"] == none.record["digests"] and fit.record["seed"] == seed
        assert [row["against"] for row in comparison.record["differences"] if row["arm"] == name] == ["none", "random"]
    assert arms["random forest"]["rmse"]["sd"] > 0 and arms["gradient boosting"]["steps"] == [None, None]
    control, fit = spec.refit("random weights", 6), spec.refit("none", 6)
    assert control == dataclasses.replace(fit, backbone=Untrained("molsway-tiny", seed=6))
    assert "random weights" in comparison.record["verdict"].partition("Pre-training")[2]
    assert set(comparison.predictions["arm"]) == set(arms) and set(comparison.picks["arm"]) == {"random"}
    assert comparison.record["scores"] == spec.scores().key and "baseline" not in spec.scores().text


def test_a_study_needs_neither_baselines_nor_control(table: Path) -> None:
    spec = bare(study(table))
    assert list(spec.roles) == ["none", "random"] and len(spec.parts()["fits"]) == 2
    assert SelectionStudy(fit=spec.fit, pool=spec.pool).baselines == (SupportVectors(),)


def test_baselines_are_compared_with_none_for_any_reference(table: Path, cache: Path) -> None:
    store = Store(cache)
    spec = bare(study(table), arms=("random", "none"), baselines=(SupportVectors(features="fingerprints"),))
    record = make(import_files(spec, store.files), store, Report()).record
    assert {row["against"] for row in record["differences"] if row["arm"] == "support vectors"} == {"random", "none"}
    assert record["reference"] == "random"
    assert any(
        f"“support vectors” is {word} “none”" in record["verdict"]
        for word in ("better than", "worse than", "not distinguishable from")
    )


def test_random_weights_have_the_shape_of_the_backbone(table: Path, checkpoint: Path, tmp_path: Path) -> None:
    fit = study(table).fit
    tiny, adapted = Untrained("molsway-tiny", seed=4), Adapt(fit.train, backbone=Untrained("molsway-tiny", seed=1))
    folder = Pretrained(str(checkpoint))
    for read in (Pretrained("molsway-tiny"), folder, adapted, Adapt(fit.train, backbone=folder)):
        assert random_weights.with_random_weights(read, 4) == tiny
    assert random_weights.with_random_weights(Pretrained("molformer-xl"), 0) == Untrained("molformer-xl", seed=0)
    mini = Pretrain(BuildCorpus(files=("corpus.smi",)), backbone=UntrainedMolformer(seed=3))
    assert random_weights.with_random_weights(mini, 2) == Untrained("molsway-mini", seed=2)
    odd = Pretrain(BuildCorpus(files=("corpus.smi",)), backbone=UntrainedMolformer(depth=2))
    with pytest.raises(
        BadInput, match="only molsway-mini, molsway-tiny, molformer-xl are available: leave `control` out"
    ):
        random_weights.with_random_weights(odd, 2)


def test_iterate_parts_reaches_any_depth():
    study = build_preset("demo")
    keys = {spec.key for spec in study.iterate_parts()}
    assert study.fit.key in keys and study.scores().key in keys
