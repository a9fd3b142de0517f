"""The proof, end to end on sixty molecules: arms, noise, digests, notes."""

import dataclasses
from pathlib import Path

import pytest

from core import spec as recipes
from core.backbones import Untrained
from core.experiments import FineTune, Load, Plant, SelectionStudy, parts, settled
from core.report import Report
from core.spec import BadInput
from core.store import Store, make


def study(table: Path, **fields: object) -> SelectionStudy:
    train, valid, test, pool = parts(Load(f"file:{table}"), seed=0, train=18, valid=10, pool=20, test=None)
    fit = FineTune(
        train, valid, test, backbone=Untrained("molsway-tiny"), steps=12, evaluations=3, batch_size=8, seed=5
    )
    return SelectionStudy(fit=fit, pool=Plant(pool, fraction=0.3), **{"count": 6, "seeds": (5, 6)} | fields)


def test_every_arm_is_trained_alike_and_tested_on_the_same(table: Path, cache: Path) -> None:
    store = Store(cache)
    spec = settled(study(table), store.files)
    found = make(spec, store, Report())
    record = found.summary()
    arms = {arm["name"]: arm for arm in record["arms"]}
    assert list(arms) == ["none", "all", "random", "top", "bottom", "greedy"]
    assert [arms[name]["n_train"][0] for name in arms] == [18, 38, 24, 24, 24, 24]
    assert {step for arm in arms.values() for step in arm["steps"]} == {12}
    assert all(arm["rmse"]["sd"] > 0 and len(arm["rmse"]["values"]) == 2 for arm in arms.values())
    assert {row["against"] for row in record["differences"]} == {"none", "random"}
    assert {row["verdict"] for row in record["differences"]} <= {"better", "worse", "not distinguishable"}
    assert set(record["detection"]) == {"delta_loss", "residual"}
    assert record["verdict"].startswith("“") and record["n_test"] == 12 and len(record["test_digest"]) == 16
    drawn = found.picks[found.picks["arm"] == "random"]
    assert len(drawn) == 12 and set(drawn[drawn.seed == 5].smiles) != set(drawn[drawn.seed == 6].smiles)
    top = set(found.picks[(found.picks["arm"] == "top")].smiles)
    assert not top & set(found.picks[found.picks["arm"] == "bottom"].smiles)
    fits = [entry for entry in store.entries() if entry.kind == "finetune"]
    assert len(fits) == 12  # the fit that was scored is the first of “none”
    assert len(found.predictions) == 6 * 2 * 12


def test_arms_of_unequal_work_are_noted(table: Path, cache: Path) -> None:
    store = Store(cache)

    spec = study(table, arms=("none", "all"), seeds=(5,))
    spec = dataclasses.replace(spec, fit=dataclasses.replace(spec.fit, steps=None, epochs=1))
    record = make(settled(spec, store.files), store, Report()).summary()
    assert any("unequal work" in note for note in record["notes"])
    assert "one seed says nothing" in record["verdict"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seeds": (1, 1)}, "wants different seeds, got [1, 1]"),
        ({"seeds": ()}, "wants different seeds"),
        ({"arms": ("none",)}, "at least two different arms"),
        ({"arms": ("none", "best")}, "'top'"),
    ],
)
def test_a_study_that_proves_nothing_is_refused(table: Path, fields: dict, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        study(table, **fields)
    assert words in str(caught.value)


def test_more_molecules_than_the_pool_has_are_refused(table: Path, cache: Path) -> None:
    store = Store(cache)
    with pytest.raises(BadInput, match="21"):
        make(settled(study(table, count=21), store.files), store, Report())


def test_its_text_gives_it_back(table: Path) -> None:
    spec = study(table)
    assert recipes.read_json(spec.text) == spec


def test_what_could_not_end_is_refused_before_anything_is_trained(table: Path, cache: Path) -> None:
    store = Store(cache)
    spec = study(table)
    for pool, words in (
        (spec.fit.test, "12 of 12 pool molecules are test molecules"),
        (spec.pool, "keep 60 molecules"),
    ):
        other = dataclasses.replace(spec, pool=pool, count=6 if pool is spec.fit.test else 60)
        with pytest.raises(BadInput, match=words):
            make(settled(other, store.files), store, Report())
    assert not any(entry.kind == "finetune" for entry in store.entries())


def test_a_warning_of_some_arms_names_them(table: Path) -> None:
    from types import SimpleNamespace

    def fit(*warnings: str) -> SimpleNamespace:
        return SimpleNamespace(record={"steps": 12, "warnings": list(warnings)}, tasks=("size",))

    spec = study(table, arms=("none", "all", "top"))
    fits = (
        (fit("short"), fit("short")),
        (fit("short", "shared"), fit("short")),
        (fit("short"), fit("short", "shared")),
    )
    assert spec.notes(fits, SimpleNamespace(record={})) == ["short", "“all”, “top”: shared"]
