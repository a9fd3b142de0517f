"""What a visitor does: start, stop, go on, forget, open, delete."""

import dataclasses
import io
import shutil

import numpy as np
import openpyxl
import pandas as pd
import pytest
import streamlit as st

from core.engine.job_queue import Line
from core.engine.report import Report
from core.engine.spec import read_json
from core.engine.store import Store
from core.experiments import Adapt, FineTune, Influence, MeanInfluence, Select, Suspects, Verify
from core.influence.solvers import CG, Auto, Identity
from core.models.backbones.checkpoint import Checkpoint
from core.results.datamodel_check import Verification
from core.results.label_errors import Suspicion, ask
from core.selection import Top
from core.stats.formatting import bounds, noise_of, number
from pages.base.text import plain, signed
from pages.widgets.run_picker import open_run
from tests.pages import stage
from tests.pages.conftest import button, checked, words


def test_the_demo_is_put_in_the_line_once_and_opened(open_page, cache):
    at = open_page("start")
    checked(button(at, "Run the demo").click().run())
    (job,) = Line(cache).jobs()
    assert (job.key, job.state) == (stage.STUDY.key, "waiting")
    at = open_page("start")
    checked(button(at, "Run the demo").click().run())
    assert len(Line(cache).jobs()) == 1


def test_a_fine_tuning_is_submitted_as_the_form_says(open_page, cache):
    at = open_page("train")
    at.number_input(key="finetune-epochs").set_value(7)
    at.number_input(key="finetune-seed").set_value(11).run()
    checked(button(at, "Start").click().run())
    (job,) = Line(cache).jobs()
    spec = read_json(job.spec)
    assert isinstance(spec, FineTune) and (spec.epochs, spec.seed) == (7, 11)
    assert (spec.train.part, spec.valid.part, spec.test.part) == ("train", "valid", "test")
    assert at.query_params["run"] in (job.key, [job.key])
    assert "waiting" in words(at)


def test_a_wrong_split_is_said_and_cannot_be_started(open_page, cache):
    at = open_page("train")
    key = next(box.key for box in at.number_input if box.label == "Test part")
    at.number_input(key=key).set_value(0.99).run()
    checked(at)
    assert "the shares add up" in at.error[0].value
    assert button(at, "Start").disabled and not Line(cache).jobs()


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_scores_are_asked_for_with_the_validation_part(open_page, cache, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "core.engine.job_queue.Line.submit", lambda self, spec: asked.append(spec) or type("Job", (), {"key": spec.key})
    )
    at = open_page("influence", fit=stage.FIT.key)
    checked(button(at, "Score the pool").click().run())
    (spec,) = asked
    assert isinstance(spec, Influence) and spec.fit == stage.FIT
    assert spec.target == stage.VALID and spec.pool == stage.POOL


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_what_the_report_did_can_be_asked_for_and_is_taken_apart(open_page, copied, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "core.engine.job_queue.Line.submit", lambda self, spec: asked.append(spec) or type("Job", (), {"key": spec.key})
    )
    checked(button(open_page("influence", fit=stage.FIT.key), "As the report did it").click().run())
    (spec,) = asked
    assert spec.solver == Identity() and spec.target == stage.TEST and spec.pool == stage.POOL
    store, scores = Store(copied), Store(copied).get(stage.SCORES)
    warnings = ["the target is the test part: what these scores choose is chosen by the answer"]
    record = scores.record | {
        "solver": {"kind": "identity"},
        "residual": 0.93,
        "converged": False,
        "warnings": warnings,
    }
    store.put(spec, dataclasses.replace(scores, record=record), 2.0)
    text = words(open_page("influence", run=spec.key))
    assert (
        "No Hessian was inverted" in text and "93% is left unsolved" in text and "The target is the test part" in text
    )
    assert "kept the largest influences as its best samples" in text and "did not converge" not in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_wrong_labels_are_looked_for_from_the_page_of_a_fit(open_page, copied, monkeypatch):
    asked, recipe = [], Suspects.of(stage.FIT)
    with monkeypatch.context() as within:
        within.setattr(
            "core.engine.job_queue.Line.submit",
            lambda self, spec: asked.append(spec) or type("Job", (), {"key": spec.key}),
        )
        checked(button(open_page("train", run=stage.FIT.key), "Look for them").click().run())
    assert asked == [recipe]
    store = Store(copied)
    training = store.get(stage.SCORES).training.copy()
    ask(training, np.where(np.arange(len(training)) == 5, 1e4, training["label"])[:, None], ["y"])
    found = Suspicion(
        training, {"label_unit": ["mg"], "detection": {"residual": {"auroc": 0.7, "low": 0.6, "high": 0.8}}}
    )
    store.put(recipe, found, 2.0)
    at = open_page("train", run=stage.FIT.key)
    shown = next(frame.value for frame in at.dataframe if "prediction without it" in frame.value)
    assert shown["smiles"].iloc[0] == training["smiles"][5] and shown["second opinion"].iloc[0] == 1e4
    assert "by plain residuals with AUROC 0.70 (0.60 to 0.80)" in words(at)


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_pool_without_labels_is_ranked_by_what_measuring_would_tell(open_page, copied, monkeypatch):
    store, spec = Store(copied), dataclasses.replace(stage.SCORES, seed=1)
    scores = store.get(stage.SCORES)
    bare = scores.table.assign(delta_loss=np.nan, benefit=np.nan, label=np.nan, information=np.linspace(0, 0.03, 60))
    store.put(spec, dataclasses.replace(scores, table=bare), 2.0)
    text = words(open_page("influence", run=spec.key))
    assert "Most worth measuring" in text and "information 3.00%" in text and "molecules help" not in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_verification_opens_where_its_scores_are(open_page, monkeypatch):
    gone = []
    monkeypatch.setattr(st, "switch_page", lambda page, query_params: gone.append((page, query_params)))
    open_page("runs")
    open_run(stage.VERIFY.key, "verify")
    open_run(stage.FIT.key, "finetune")
    assert gone == [
        ("pages/views/influence.py", {"run": stage.SCORES.key}),
        ("pages/views/train.py", {"run": stage.FIT.key}),
    ]
    record = {"ways": [{"spearman": 0.2}, {"spearman": 0.64}], "subsets": 24}
    assert Verification.headline(record) == "ρ 0.640 with 24 retrainings"


@pytest.mark.parametrize("cache", ["running"], indirect=True)
def test_stop_asks_the_job_to_stop(open_page, cache):
    at = open_page("influence", run=stage.SCORES.key)
    checked(button(at, "Stop").click().run())
    assert Line(cache).job(stage.SCORES.key).cancelling
    assert button(at, "Stop").disabled


@pytest.mark.parametrize("cache", ["failed"], indirect=True)
def test_a_failed_job_goes_on_or_is_forgotten(open_page, cache):
    at = open_page("compare")
    assert any("Traceback" in code.value for code in at.code)
    checked(button(at, "Go on").click().run())
    assert Line(cache).job(stage.STUDY.key).state == "waiting"
    at = open_page("train")
    checked(button(at, "Forget").click().run())
    assert Line(cache).job(stage.FIT.key) is None


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_the_address_names_the_run(open_page, cache):
    at = open_page("train", run=stage.OTHER.key)
    assert next(box for box in at.selectbox if box.label == "Run").value == stage.OTHER.key
    at = open_page("train", run="0" * 16)
    assert "not here any more" in words(at)


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_results_say_what_they_are(open_page, cache):
    text = words(open_page("train", run=stage.FIT.key))
    fit = Store(cache).get(stage.FIT)
    rmse, span = fit.metrics["test"]["logS"]["rmse"], fit.interval("logS", "rmse")
    assert number(rmse, noise_of(span)) in text and f"95 %: {bounds(span)}; validation" in text
    assert "its numbers flatter" in text
    text = words(open_page("influence"))
    assert "molecules help" in text and "(log10" in text.replace("\\", "") and "AUROC" in text
    text = words(open_page("compare"))
    assert "has the lowest mean test error" in text and "planted" in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_scores_say_how_far_they_can_be_believed(open_page, cache):
    scores = Store(cache).get(stage.SCORES)
    at = open_page("influence", run=stage.SCORES.key)
    text = words(at)
    clear = scores.record["pairs_check"]["delta_loss_clear"]
    assert f"Clear of zero {clear} of 60" in text and "Order at other dampings ρ 0.91" in text
    assert "Whole steps agree" in text and "by whole steps with AUROC" in text
    verdict = Store(cache).get(stage.VERIFY).record["verdict"]
    assert verdict.startswith("Scores foretell retraining: over 24") and plain(verdict) in text
    assert "Retrainings against what was predicted" in text and "another random 30 molecules" in text
    assert "Trained again:" in text and "has the lowest mean test error" in text  # the study of these very scores
    assert "helps most" in text or "hurts most" in text
    row = int(scores.table["delta_loss"].idxmin())
    assert signed(scores.table["whole_step"][row]) in text
    made_by = scores.tangent["made_by"][40 + row] * 2  # 40 target molecules first; a spread of 2
    assert "Training molecules that raised this prediction most" in text and f"by {signed(made_by.max())}" in text
    left = next(frame.value for frame in at.dataframe if "prediction without it" in frame.value)
    worst = scores.training["leave_one_out"].abs().idxmax()
    assert left["smiles"].iloc[0] == scores.training["smiles"][worst] and len(left) == 12
    assert "training molecules most like it" in text and "the suspect" in text and "similar " in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_two_scorings_of_a_pool_stand_beside_each_other(open_page, copied, monkeypatch):
    store, other = Store(copied), dataclasses.replace(stage.SCORES, solver=CG())
    scores = store.get(stage.SCORES)
    turned = scores.table.assign(delta_loss=-scores.table["delta_loss"], benefit=-scores.table["benefit"])
    store.put(other, dataclasses.replace(scores, table=turned), 3.0)
    text = words(open_page("influence", run=stage.SCORES.key))
    assert "Beside other scores of this pool" in text and "Spearman’s ρ **−1.00**" in text
    assert "**0** are among the most helpful 6 by the other; 0% have the same sign" in text
    asked = []
    monkeypatch.setattr(
        "core.engine.job_queue.Line.submit", lambda self, spec: asked.append(spec) or type("Job", (), {"key": spec.key})
    )
    at = open_page("influence", run=other.key)
    text = words(at)
    assert "Not verified yet" in text and "here: the fit took 18 s." in text.replace("\\", "")
    checked(button(at, "Verify").click().run())
    assert asked == [Verify.of(other, 32)]


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_scores_by_several_fits_say_how_far_these_agree(open_page, copied, monkeypatch):
    store, spec = Store(copied), MeanInfluence(stage.SCORES, (0, 1))
    scores, random = store.get(stage.SCORES), np.random.default_rng(0)
    noise = random.normal(0, scores.table["delta_loss"].std(), len(scores.table))
    other = dataclasses.replace(scores, table=scores.table.assign(delta_loss=scores.table["delta_loss"] + noise))
    mean = spec.make(Report(), members=(scores, other))
    store.put(spec, mean, 5.0)
    text = words(open_page("influence", run=spec.key))
    agreement = mean.record["agreement"]
    assert 0.4 < agreement["spearman"] < 0.95 and f"2 fits agree ρ {agreement['spearman']:.2f}" in text
    assert "95 % over the target’s molecules and the fits" in text and "helps most" not in text
    asked = []
    monkeypatch.setattr(
        "core.engine.job_queue.Line.submit", lambda self, spec: asked.append(spec) or type("Job", (), {"key": spec.key})
    )
    at = open_page("influence")
    at.number_input(key="score-fits").set_value(3).run()
    checked(button(at, "Score the pool").click().run())
    assert isinstance(asked[0], MeanInfluence) and len(asked[0].seeds) == 3
    assert {member.pool for member in asked[0].members} == {asked[0].scores.pool}


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_the_best_of_a_large_pool_are_looked_at_more_closely(open_page, copied, monkeypatch):
    store, other = Store(copied), dataclasses.replace(stage.SCORES, scope="head", solver=CG())
    scores = store.get(stage.SCORES)
    few = [name for name in scores.table if "whole_step" not in name and not name.endswith(("_low", "_high"))]
    store.put(other, dataclasses.replace(scores, table=scores.table[few], tangent={}), 3.0)
    assert "more closely" not in words(open_page("influence", run=other.key))
    monkeypatch.setattr("pages.results.score_diagnostics.FEW", 20)
    asked = []
    monkeypatch.setattr(
        "core.engine.job_queue.Line.submit", lambda self, spec: asked.append(spec) or type("Job", (), {"key": spec.key})
    )
    assert "more closely" not in words(open_page("influence", run=stage.SCORES.key))
    at = open_page("influence", run=other.key)
    checked(button(at, "Score these by all weights").click().run())
    assert asked[0].pool == Select(other.pool, Top(count=20), other)
    assert (asked[0].scope, asked[0].solver, asked[0].fit) == ("all", Auto(), other.fit)


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_fits_stand_side_by_side(open_page, cache):
    at = open_page("compare", fits=f"{stage.FIT.key},{stage.OTHER.key}")
    assert "Settings that differ" in words(at)
    differ, metrics = at.dataframe[0].value, at.dataframe[1].value
    assert "learning rate" in differ.index and "reference" in metrics.iloc[0].tolist()


def test_a_table_is_kept_and_used(open_page, cache):
    at = open_page("data")
    assert "1,274" in words(at)
    button(at, "Use this table").click().run()
    entries = Store(cache).entries()
    assert [entry.kind for entry in entries] == ["load"]
    assert entries[0].key == at.session_state["table"]


def test_who_starts_from_a_table_is_asked_for_a_file(open_page, cache, monkeypatch):
    gone = []
    monkeypatch.setattr(st, "switch_page", lambda page, query_params: gone.append((page, query_params)))
    button(open_page("start"), "Choose a table").click().run()
    ((page, wanted),) = gone
    assert page == "pages/views/data.py"
    at = open_page("data", **wanted)
    assert at.get("button_group")[0].value == "My file" and "No table chosen yet" in words(at)
    assert at.file_uploader(key="file").value is None
    assert open_page("data", **{"from": "elsewhere"}).get("button_group")[0].value == "Comes with Molsway"


def test_a_file_is_mapped_and_read(open_page, cache):
    at = open_page("data")
    at.get("button_group")[0].set_value("My file").run()
    at.file_uploader(key="file").upload(
        "mine.csv", b"name;smiles;logD\na;CCO;1,5\nb;c1ccccc1;2,5\nc;not a molecule;3\n", "text/csv"
    )
    checked(at.run())
    assert next(box for box in at.selectbox if box.label == "SMILES column").value == "smiles"
    text = words(at)
    assert "Molecules 2" in text and "Left out 1" in text


def test_a_sheet_of_a_workbook_is_chosen(open_page, cache):
    book, held = openpyxl.Workbook(), io.BytesIO()
    for title, rows in {
        "About": [["made by hand"]],
        "First": [["smiles", "y"], ["CCO", 1.5], ["CCC", 2.5], ["CCN", 3]],
        "Second": [["structure", "z"], ["CCCl", 1], ["CCF", 2]],
    }.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(held)
    at = open_page("data")
    at.get("button_group")[0].set_value("My file").run()
    at.file_uploader(key="file").upload("mine.xlsx", held.getvalue(), "application/vnd.ms-excel")
    checked(at.run())
    sheets = next(box for box in at.selectbox if box.label == "Sheet")
    assert sheets.options == ["About", "First", "Second"] and sheets.value == "First"
    assert "Molecules 3" in words(at)
    assert "has a header and no rows" in sheets.set_value("About").run().error[0].value
    sheets = next(box for box in at.selectbox if box.label == "Sheet")
    checked(sheets.set_value("Second").run())
    assert next(box for box in at.selectbox if box.label == "SMILES column").value == "structure"
    assert "Molecules 2" in words(at)
    checked(button(at, "Use this table").click().run())
    (entry,) = Store(cache).entries()
    assert entry.spec.source == "file:mine.xlsx#Second"


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_run_is_changed_and_asked_for_again(open_page, cache, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "core.engine.job_queue.Line.submit", lambda self, spec: asked.append(spec) or type("Job", (), {"key": spec.key})
    )
    at = open_page("train", run=stage.OTHER.key)
    checked(button(at, "Change and run again").click().run())
    next(box for box in at.number_input if box.label == "Epochs").set_value(3)
    checked(button(at, "Start").click().run())
    assert asked == [dataclasses.replace(stage.OTHER, epochs=3)]


def test_a_backbone_is_adapted_without_the_test_part(open_page, cache):
    at = open_page("train")
    at.get("button_group")[0].set_value("Adapt a backbone first (no labels needed)").run()
    checked(button(at, "Start").click().run())
    spec = read_json(Line(cache).jobs()[0].spec)
    assert (spec.kind, spec.corpus.kind, spec.leave_out.part) == ("adapt", "load", "test")


@pytest.mark.parametrize(
    ("objective", "numbers", "loss"),
    [
        ("masked tokens", ["perplexity"], "masked-token loss (nat)"),
        ("properties", ["property_error"], "property loss (scaled units)"),
        ("both", ["perplexity", "property_error"], "masked-token and property loss"),
    ],
)
def test_an_adaptation_shows_the_numbers_of_its_objective(open_page, cache, tmp_path, objective, numbers, loss):
    spec = Adapt(stage.TABLE, objective=objective, epochs=2)
    (tmp_path / "made" / "backbone").mkdir(parents=True)
    curve = pd.DataFrame({"epoch": [1.0, 2.0], "train_loss": [3.0, 2.0], "valid_loss": [2.5, 1.25]})
    record = {"objective": objective, "properties": 93, "valid_loss": 1.25, "valid_loss_before": 5.5, "best_epoch": 2}
    record |= {name: 0.25 for name in numbers} | {f"{name}_before": 7.75 for name in numbers}
    Store(cache).put(spec, Checkpoint(curve, record, tmp_path / "made"), 1.0)
    at = open_page("train", run=spec.key)
    shown = {metric.label: metric.value for metric in at.metric}
    labels = {"perplexity": "Perplexity, held out", "property_error": "Property error, held out"}
    assert shown == {labels[name]: "0.250" for name in numbers} | {"Loss": "1.25"}
    assert words(at).count("before 7.75") == len(numbers) and "before 5.50" in words(at)
    assert ("93 RDKit properties" in words(at)) == ("property_error" in numbers)
    assert loss in at.get("plotly_chart")[0].proto.spec


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_kept_run_is_deleted_only_when_asked_twice(open_page, cache, tmp_path, monkeypatch):
    shutil.copytree(cache, tmp_path / "copy")
    monkeypatch.setenv("MOLSWAY_CACHE", str(tmp_path / "copy"))
    at = open_page("runs")
    monkeypatch.setattr(
        "pages.widgets.store_table.overview",
        lambda kept: next((n for n, run in enumerate(kept) if run.key == stage.FIT.key), None),
    )
    checked(at.run())
    checked(button(at, "Delete").click().run())
    assert Store(tmp_path / "copy").has(stage.FIT) and "Kept runs that were made from it stay" in words(at)
    checked(button(at, "Delete it").click().run())
    assert not Store(tmp_path / "copy").has(stage.FIT)


def test_a_run_of_an_earlier_version_is_no_end_of_the_page(open_page, cache, tmp_path):
    spec, store = Adapt(stage.TABLE, epochs=2), Store(cache)
    (tmp_path / "made" / "backbone").mkdir(parents=True)
    curve = pd.DataFrame({"epoch": [1.0, 2.0], "train_loss": [3.0, 2.0], "valid_loss": [2.5, 1.25]})
    store.put(spec, Checkpoint(curve, {"objective": "both", "best_epoch": 2}, tmp_path / "made"), 1.0)
    kept = store.folder(spec) / "spec.json"
    kept.write_text(kept.read_text().replace(f'"revision": {Adapt.revision}', '"revision": 0', 1))
    at = checked(open_page("train", run=spec.key))
    assert "revision 0" in " ".join(box.value for box in (*at.error, *at.warning))
    assert button(at, "Start")
