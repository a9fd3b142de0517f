"""Scores averaged over seeds: mean, interval and agreement."""

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


def seed_average(table: Path, store: Store, **changes: object) -> SeedAverage:
    return import_files(SeedAverage(scoring(table, **changes), seeds=(0, 4)), store.files)


def test_mean_over_two_seeds(table: Path, cache: Path, tmp_path: Path) -> None:
    store = Store(cache)
    spec = seed_average(table, store, solver=Dual())
    average = make(spec, store, Report())
    one, other = (store.get(member) for member in spec.members)
    assert spec.members[0].fit.seed == 0 and spec.members[1].fit.seed == 4 and spec.fit == spec.members[0].fit
    deltas = np.stack([each.table["delta_loss"] for each in (one, other)])
    assert np.abs(deltas[0] - deltas[1]).max() > 0, "another seed gives other scores"
    assert np.allclose(average.table["delta_loss"], deltas.mean(0))
    assert np.allclose(average.table["benefit"], -deltas.mean(0))
    assert np.allclose(average.table["delta_loss_sd"], np.abs(deltas[0] - deltas[1]) / 2**0.5)
    assert (average.table["label"] == one.table["label"]).all() and (
        average.table["smiles"] == one.table["smiles"]
    ).all()
    assert np.allclose(average.training["removal"], (one.training["removal"] + other.training["removal"]) / 2)
    assert (average.table["delta_loss_low"] < average.table["delta_loss"]).all()
    assert (average.table["whole_step_high"] > average.table["whole_step"]).all()
    record = average.record
    assert [member["scores"] for member in record["members"]] == [member.key for member in spec.members]
    assert record["agreement"]["spearman"] == record["agreement"]["lowest"] <= 1
    assert record["residual"] == max(one.record["residual"], other.record["residual"])
    assert record["pairs_check"]["delta_loss_clear"] <= len(average.table)
    assert read_spec_json(spec.text) == spec
    rows = make(Select(spec.pool, Top(count=3), spec), store, Report())
    assert set(rows.smiles) == set(average.table.nsmallest(3, "delta_loss")["smiles"])
    with pytest.raises(BadInput, match="no pairwise effects"):
        make(Select(spec.pool, Greedy(count=3, features="all weights"), spec), store, Report())

    verified = make(LDS.of(spec, subsets=4), store, Report())
    assert [way["name"] for way in verified.record["ways"]] == [
        "first order, dual, head weights, mean of 2 fits", "full updates, dual, head weights, mean of 2 fits",
    ]  # fmt: skip

    out = tmp_path / "scored.csv"
    assert main(["score", spec.key, str(table), "--out", str(out), "--cache", str(cache), "--json"]) == 0
    scored = pd.read_csv(out).set_index("smiles")
    again = scored.loc[average.table["smiles"], ["delta_loss", "delta_loss_sd"]].to_numpy()
    assert np.allclose(again, average.table[["delta_loss", "delta_loss_sd"]], rtol=1e-3, atol=1e-9)


def test_without_pairs_the_interval_covers_the_seeds_only(table: Path, cache: Path) -> None:
    store = Store(cache)
    average = make(seed_average(table, store, solver=CG(), stability=False), store, Report())
    half = 12.706 * average.table["delta_loss_sd"] / 2**0.5  # Student's t, one degree of freedom
    assert np.allclose(average.table["delta_loss_high"] - average.table["delta_loss"], half, rtol=1e-3)
    assert average.record["stability"] == {} and "whole_step" not in average.table


def test_interval_covers_seeds_and_target() -> None:
    def tables(apart: float, wide: float) -> list[pd.DataFrame]:
        values = [np.array([1.0, 2.0]) + sign * apart for sign in (-1, 0, 1)]
        return [pd.DataFrame({"x": one, "x_low": one - wide, "x_high": one + wide}) for one in values]

    def half(apart: float, wide: float) -> float:
        low, high = combined_interval(tables(apart, wide), "x")
        assert np.allclose((low + high) / 2, [1, 2])
        return float((high - low)[0] / 2)

    assert half(0, 1.96) == pytest.approx(1.96, rel=1e-3), "more seeds do not narrow the interval over target molecules"
    assert half(3**0.5, 0) == pytest.approx(4.303, rel=1e-3), "Student's t with two degrees of freedom"
    assert half(0.1, 1.96) > half(0, 1.96) and half(3**0.5, 1) > half(3**0.5, 0)


def test_agreement_is_over_pairs_of_models() -> None:
    order = np.arange(20.0)
    agreement = seed_agreement(np.stack([order, order * 2, -order]))
    assert agreement["spearman"] == pytest.approx(-1 / 3) and agreement["lowest"] == -1 and agreement["molecules"] == 20
    assert agreement["overlap"] == pytest.approx(1 / 3)
    assert seed_agreement(np.full((2, 5), np.nan))["spearman"] is None


def test_bad_settings_are_refused(table: Path) -> None:
    scores = scoring(table)
    with pytest.raises(BadInput, match="two or more different seeds"):
        SeedAverage(scores, seeds=(1, 1))
    with pytest.raises(BadInput, match="wants an influence spec of a fine-tuning"):
        SeedAverage(SeedAverage(scores))
    assert isinstance(SeedAverage(scores).members[0], Influence)
    reseeded = dataclasses.replace(scores, fit=dataclasses.replace(scores.fit, seed=7))
    first, second = SeedAverage(reseeded, seeds=(7, 8)).members
    assert first == reseeded and second.fit.backbone.seed == 8, "random weights change with the seed too"
    with pytest.raises(BadInput, match="seed"):
        SeedAverage(dataclasses.replace(scores), seeds=(0, -1))
