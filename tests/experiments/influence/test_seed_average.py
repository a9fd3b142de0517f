"""Scores by several fits of one recipe: the mean of what each says, an interval that knows both chances, agreement."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.cli.parser import main
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput, read_spec_json
from core.engine.store import Store
from core.experiments import LDS, Influence, SeedAverage, Select, import_files
from core.experiments.influence.seed_average import combined_interval, seed_agreement
from core.influence.solvers import CG, Dual
from core.selection import Greedy, Top
from tests.experiments.influence.test_lds import scoring


def recipe(table: Path, store: Store, **changes: object) -> SeedAverage:
    return import_files(SeedAverage(scoring(table, **changes), seeds=(0, 4)), store.files)


def test_the_mean_of_two_fits_is_that_of_their_scores(table: Path, cache: Path, tmp_path: Path) -> None:
    store = Store(cache)
    spec = recipe(table, store, solver=Dual())
    found = make(spec, store, Report())
    one, other = (store.get(member) for member in spec.members)
    assert spec.members[0].fit.seed == 0 and spec.members[1].fit.seed == 4 and spec.fit == spec.members[0].fit
    deltas = np.stack([each.table["delta_loss"] for each in (one, other)])
    assert np.abs(deltas[0] - deltas[1]).max() > 0, "another seed is another fit"
    assert np.allclose(found.table["delta_loss"], deltas.mean(0))
    assert np.allclose(found.table["benefit"], -deltas.mean(0))
    assert np.allclose(found.table["delta_loss_sd"], np.abs(deltas[0] - deltas[1]) / 2**0.5)
    assert (found.table["label"] == one.table["label"]).all() and (found.table["smiles"] == one.table["smiles"]).all()
    assert np.allclose(found.training["removal"], (one.training["removal"] + other.training["removal"]) / 2)
    assert (found.table["delta_loss_low"] < found.table["delta_loss"]).all()
    assert (found.table["whole_step_high"] > found.table["whole_step"]).all()
    told = found.record
    assert [member["scores"] for member in told["members"]] == [member.key for member in spec.members]
    assert told["agreement"]["spearman"] == told["agreement"]["lowest"] <= 1
    assert told["residual"] == max(one.record["residual"], other.record["residual"])
    assert told["pairs_check"]["delta_loss_clear"] <= len(found.table)
    assert read_spec_json(spec.text) == spec
    rows = make(Select(spec.pool, Top(count=3), spec), store, Report())
    assert set(rows.smiles) == set(found.table.nsmallest(3, "delta_loss")["smiles"])
    with pytest.raises(BadInput, match="no pairwise effects"):
        make(Select(spec.pool, Greedy(count=3, features="all weights"), spec), store, Report())

    verified = make(LDS.of(spec, subsets=4), store, Report())
    assert [way["name"] for way in verified.record["ways"]] == [
        "first order, dual, head weights, mean of 2 fits", "whole steps, dual, head weights, mean of 2 fits",
    ]  # fmt: skip

    out = tmp_path / "scored.csv"
    assert main(["score", spec.key, str(table), "--out", str(out), "--cache", str(cache), "--json"]) == 0
    scored = pd.read_csv(out).set_index("smiles")
    again = scored.loc[found.table["smiles"], ["delta_loss", "delta_loss_sd"]].to_numpy()
    assert np.allclose(again, found.table[["delta_loss", "delta_loss_sd"]], rtol=1e-3, atol=1e-9)


def test_without_pairs_an_interval_is_of_the_fits_alone(table: Path, cache: Path) -> None:
    store = Store(cache)
    found = make(recipe(table, store, solver=CG(), stability=False), store, Report())
    half = 12.706 * found.table["delta_loss_sd"] / 2**0.5  # Student's, one degree of freedom
    assert np.allclose(found.table["delta_loss_high"] - found.table["delta_loss"], half, rtol=1e-3)
    assert found.record["stability"] == {} and "whole_step" not in found.table


def test_an_interval_grows_with_either_chance() -> None:
    def tables(apart: float, wide: float) -> list[pd.DataFrame]:
        values = [np.array([1.0, 2.0]) + sign * apart for sign in (-1, 0, 1)]
        return [pd.DataFrame({"x": one, "x_low": one - wide, "x_high": one + wide}) for one in values]

    def half(apart: float, wide: float) -> float:
        low, high = combined_interval(tables(apart, wide), "x")
        assert np.allclose((low + high) / 2, [1, 2])
        return float((high - low)[0] / 2)

    assert half(0, 1.96) == pytest.approx(1.96, rel=1e-3), "the target is the same for all: no fit makes it surer"
    assert half(3**0.5, 0) == pytest.approx(4.303, rel=1e-3), "Student's with two degrees of freedom"
    assert half(0.1, 1.96) > half(0, 1.96) and half(3**0.5, 1) > half(3**0.5, 0)


def test_agreement_is_over_pairs_of_fits() -> None:
    order = np.arange(20.0)
    found = seed_agreement(np.stack([order, order * 2, -order]))
    assert found["spearman"] == pytest.approx(-1 / 3) and found["lowest"] == -1 and found["molecules"] == 20
    assert found["overlap"] == pytest.approx(1 / 3)
    assert seed_agreement(np.full((2, 5), np.nan))["spearman"] is None


def test_what_cannot_be_repeated_is_refused(table: Path) -> None:
    scores = scoring(table)
    with pytest.raises(BadInput, match="at least two seeds, all different"):
        SeedAverage(scores, seeds=(1, 1))
    with pytest.raises(BadInput, match="wants an influence of a fine-tuning"):
        SeedAverage(SeedAverage(scores))
    assert isinstance(SeedAverage(scores).members[0], Influence)
    drawn = dataclasses.replace(scores, fit=dataclasses.replace(scores.fit, seed=7))
    first, second = SeedAverage(drawn, seeds=(7, 8)).members
    assert first == drawn and second.fit.backbone.seed == 8, "random weights are drawn anew too"
    with pytest.raises(BadInput, match="seed"):
        SeedAverage(dataclasses.replace(scores), seeds=(0, -1))
