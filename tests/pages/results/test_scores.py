"""Scores: what is shown of them, their checks, and the comparison with gradient similarity."""

import dataclasses

import numpy as np
import pytest

from core.engine.report import Report
from core.engine.store import Store
from core.experiments import LDS, SeedAverage, Select
from core.influence.solvers import CG, Auto, GradientSimilarity
from core.selection import Top
from core.stats.formatting import format_interval, format_number, sd_of_interval
from pages.base.text import escape_markdown, format_signed
from tests.pages import filled_store
from tests.pages.conftest import find_button, page_text, without_exception


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_gradient_similarity_is_submitted_and_explained(open_page, copied, asked):
    without_exception(
        find_button(open_page("influence", fit=filled_store.FIT.key), "Gradient similarity, test set as target")
        .click()
        .run()
    )
    (spec,) = asked
    assert spec.solver == GradientSimilarity() and spec.target == filled_store.TEST and spec.pool == filled_store.POOL
    store, scores = Store(copied), Store(copied).get(filled_store.SCORES)
    warnings = ["the target is the test part: a selection by these scores cannot be tested on it"]
    record = scores.record | {
        "solver": {"kind": "gradient-similarity"},
        "residual": 0.93,
        "converged": False,
        "warnings": warnings,
    }
    store.put(spec, dataclasses.replace(scores, record=record), 2.0)
    text = page_text(open_page("influence", run=spec.key))
    assert (
        "No curvature" in text
        and "93 % of the linear system is unsolved" in text
        and "The target is the test set" in text
    )
    assert (
        "ranking by the largest raw influence selects the most harmful ones" in text and "did not converge" not in text
    )


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_an_unlabelled_pool_is_ranked_by_information_gain(open_page, copied, monkeypatch):
    store, spec = Store(copied), dataclasses.replace(filled_store.SCORES, seed=1)
    scores = store.get(filled_store.SCORES)
    bare = scores.table.assign(delta_loss=np.nan, benefit=np.nan, label=np.nan, information=np.linspace(0, 0.03, 60))
    store.put(spec, dataclasses.replace(scores, table=bare), 2.0)
    text = page_text(open_page("influence", run=spec.key))
    assert "Most worth measuring" in text and "information gain 3.00%" in text and "molecules help" not in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_scores_state_their_meaning_and_unit(open_page, cache):
    text = page_text(open_page("train", run=filled_store.FIT.key))
    fit = Store(cache).get(filled_store.FIT)
    rmse, span = fit.metrics["test"]["logS"]["rmse"], fit.interval("logS", "rmse")
    assert format_number(rmse, sd_of_interval(span)) in text and f"95 %: {format_interval(span)}; validation" in text
    assert "the validation metrics are too optimistic" in text
    text = page_text(open_page("influence"))
    assert "molecules help" in text and "(log10" in text.replace("\\", "") and "AUROC" in text
    text = page_text(open_page("compare"))
    assert "has the lowest mean test error" in text and "swapped on purpose" in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_scores_show_their_reliability(open_page, cache):
    scores = Store(cache).get(filled_store.SCORES)
    at = open_page("influence", run=filled_store.SCORES.key)
    text = page_text(at)
    clear = scores.record["pairs_check"]["delta_loss_clear"]
    assert f"95 % interval excludes zero {clear} of 60" in text and "Ranking stable to regularisation ρ 0.91" in text
    assert "Agrees with the full update" in text and "the full update, AUROC" in text
    verdict = Store(cache).get(filled_store.VERIFY).record["verdict"]
    assert verdict.startswith("Scores predict retraining: over 24") and escape_markdown(verdict) in text
    assert "Predicted against measured effects" in text and "random subset of 30 candidates" in text
    assert "Selections compared." in text and "has the lowest mean test error" in text  # the study of these very scores
    assert "own loss is lowered most" in text or "own loss is raised most" in text
    row = int(scores.table["delta_loss"].idxmin())
    assert format_signed(scores.table["whole_step"][row]) in text
    made_by = scores.linearized["made_by"][40 + row] * 2  # 40 target molecules first; a spread of 2
    assert "Training molecules that raise this prediction most" in text and f"by {format_signed(made_by.max())}" in text
    left = next(frame.value for frame in at.dataframe if "prediction without it" in frame.value)
    worst = scores.training["leave_one_out"].abs().idxmax()
    assert left["smiles"].iloc[0] == scores.training["smiles"][worst] and len(left) == 12
    assert "its nearest training molecules" in text and "the suspect" in text and "similarity " in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_two_scores_of_a_pool_are_compared(open_page, copied, asked):
    store, other = Store(copied), dataclasses.replace(filled_store.SCORES, solver=CG())
    scores = store.get(filled_store.SCORES)
    turned = scores.table.assign(delta_loss=-scores.table["delta_loss"], benefit=-scores.table["benefit"])
    store.put(other, dataclasses.replace(scores, table=turned), 3.0)
    text = page_text(open_page("influence", run=filled_store.SCORES.key))
    assert "Compare with other scores of these candidates" in text and "Spearman ρ **−1.00**" in text
    assert "tenth, **0 %** is shared; 0 % of the molecules have the same sign" in text
    at = open_page("influence", run=other.key)
    text = page_text(at)
    assert "Not tested yet" in text and "training the model took 18 s." in text.replace("\\", "")
    without_exception(find_button(at, "Test by retraining").click().run())
    assert asked == [LDS.of(other, 32)]


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_scores_over_seeds_show_the_agreement(open_page, copied, asked):
    store, spec = Store(copied), SeedAverage(filled_store.SCORES, (0, 1))
    scores, random = store.get(filled_store.SCORES), np.random.default_rng(0)
    noise = random.normal(0, scores.table["delta_loss"].std(), len(scores.table))
    other = dataclasses.replace(scores, table=scores.table.assign(delta_loss=scores.table["delta_loss"] + noise))
    mean = spec.make(Report(), members=(scores, other))
    store.put(spec, mean, 5.0)
    text = page_text(open_page("influence", run=spec.key))
    agreement = mean.record["agreement"]
    assert 0.4 < agreement["spearman"] < 0.95 and f"2 training seeds agree ρ {agreement['spearman']:.2f}" in text
    assert "over validation molecules and training seeds" in text and "own loss is" not in text
    at = open_page("influence")
    at.number_input(key="score-fits").set_value(3).run()
    without_exception(find_button(at, "Score the candidates").click().run())
    assert isinstance(asked[0], SeedAverage) and len(asked[0].seeds) == 3
    assert {member.pool for member in asked[0].members} == {asked[0].scores.pool}


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_the_best_of_a_large_pool_are_scored_again(open_page, copied, monkeypatch, asked):
    store, other = Store(copied), dataclasses.replace(filled_store.SCORES, scope="head", solver=CG())
    scores = store.get(filled_store.SCORES)
    few = [name for name in scores.table if "whole_step" not in name and not name.endswith(("_low", "_high"))]
    store.put(other, dataclasses.replace(scores, table=scores.table[few], linearized={}), 3.0)
    assert "in more detail" not in page_text(open_page("influence", run=other.key))
    monkeypatch.setattr("pages.results.score_checks.MAX_DETAILED", 20)
    assert "in more detail" not in page_text(open_page("influence", run=filled_store.SCORES.key))
    at = open_page("influence", run=other.key)
    without_exception(find_button(at, "Score these with all weights").click().run())
    assert asked[0].pool == Select(other.pool, Top(count=20), other)
    assert (asked[0].scope, asked[0].solver, asked[0].fit) == ("all", Auto(), other.fit)
