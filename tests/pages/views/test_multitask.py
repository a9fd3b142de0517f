"""The page Multitask: the form and the result of each question."""

import shlex
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st

from core.engine.job_queue import JobQueue
from core.engine.spec import Spec, read_spec_json
from core.engine.store import Store
from core.experiments import (
    Ablation,
    MixtureStudy,
    Multitask,
    MultitaskHead,
)
from core.models.backbones import Gnn
from core.results.predictions import Predictions
from pages.results.predictions import tasks_table
from tests.pages.conftest import find_door, list_doors, page_text, without_exception

NETWORK = Gnn(width=8, depth=1, walk=2, eigenvectors=2)


def button(at, label: str):
    return next(one for one in at.button if one.label == label)


def asked(at, cache: Path) -> Spec:
    without_exception(button(at, "Run").click().run())
    return read_spec_json(JobQueue(cache).jobs()[0].spec)


def question(at, kind: str):
    return without_exception(at.segmented_control(key="question-multitask").set_value(kind).run())


def test_the_default_mixture_is_small(open_page, cache):
    spec = asked(open_page("multitask"), cache)
    assert isinstance(spec, Multitask) and spec.epochs == 8 and spec.backbone.width == 48
    assert [one.called for one in spec.members] == ["solubility", "hydration", "computed properties of 800 drugs"]
    assert all(len(one.tests) == 2 and len(one.valids) == 2 for one in spec.members), "no overlap between the tables"


def test_the_study_form_has_layers_controls_and_seeds(open_page, cache):
    at = question(open_page("multitask"), "mixture-study")
    at.multiselect(key="study-layers").set_value(["gcn", "gine"])
    at.multiselect(key="study-controls").set_value(["steps"])
    at.text_input(key="study-seeds").set_value("1, 2").run()
    assert "16 training runs." in page_text(without_exception(at))
    spec = asked(at, cache)
    assert isinstance(spec, MixtureStudy) and spec.seeds == (1, 2) and spec.controls == ("steps",)
    assert [one.layer for one in spec.backbones] == ["gcn", "gine"]


def test_transfer_needs_a_shared_backbone(open_page):
    at = question(open_page("multitask"), "transfer")
    assert "No shared backbone is chosen" in page_text(at) and button(at, "Run").disabled


def test_an_ablation_excludes_the_small_tables_held_out_molecules(open_page, cache):
    at = question(open_page("multitask"), "ablation")
    at.text_input(key="variety-totals").set_value("100, 200").run()
    spec = asked(without_exception(at), cache)
    assert isinstance(spec, Ablation) and spec.totals == (100, 200)
    assert spec.fit.test.key in {test.key for one in spec.multi.members for test in (*one.tests, one.test)}


def test_a_study_of_one_table_is_refused(open_page):
    at = question(open_page("multitask"), "mixture-study")
    at.multiselect(key="study-of-tables").set_value(at.multiselect(key="study-of-tables").value[:1]).run()
    assert "at least two members" in without_exception(at).error[0].value


@pytest.fixture
def cache(request, tmp_path, answers, monkeypatch):
    root = answers[0] if getattr(request, "param", "") == "made" else tmp_path / "cache"
    monkeypatch.setenv("MOLSWAY_CACHE", str(root))
    monkeypatch.setattr("core.engine.worker.Worker.start", lambda self: self)
    monkeypatch.chdir(Path(__file__).parents[3])
    st.cache_resource.clear()
    yield root
    st.cache_resource.clear()


@pytest.mark.parametrize("cache", ["made"], indirect=True)
def test_every_result_is_shown_with_its_noise(open_page, answers):
    specs = answers[1]
    text = page_text(open_page("multitask", run=specs["multitask"].key))
    assert "Tables 2" in text and f"python -m core embed {specs['multitask'].key}" in text
    at = open_page("multitask", run=specs["study"].key)
    assert "training together" in page_text(at) and "“as many steps”" in page_text(at)
    table = next(one.value for one in at.dataframe if "arm" in one.value and "table" in one.value)
    arms = {"all together", "alone, as many steps", "alone, as many molecules"}
    averaged = table["arm"].str.endswith("predictions averaged over seeds")
    assert set(table["arm"][~averaged]) == arms and averaged.sum() == (~averaged).sum()
    assert all("±" in value for value in table["MAE in standard deviations"][~averaged])
    tasks = next(one.value for one in at.dataframe if "task" in one.value and "arm" in one.value)
    assert set(tasks["arm"]) == arms and all("±" in value for value in tasks["R²"])
    at = open_page("multitask", run=specs["transfer"].key)
    assert "“shared, full” against “random, full”" in page_text(
        at
    ) and "“shared” was trained on the same table" in page_text(at)
    sizes, apart = (one.value for one in at.dataframe)
    assert {"30", "all"} == set(apart["molecules"]) and all("±" in value for value in sizes["30"])
    charts = [chart.proto.spec for chart in at.get("plotly_chart")]
    assert "shared, full" in charts[0] and "support vectors" in charts[0] and "head" not in charts[0], (
        "a method at a time"
    )
    at = open_page("multitask", run=specs["ablation"].key)
    assert "wice as many molecules" in page_text(at)
    assert len(at.get("plotly_chart")) == 2
    at = open_page("multitask", run=specs["representation"].key)
    assert "best probes of" in page_text(at) and len(at.get("plotly_chart")) == 2


@pytest.mark.parametrize("cache", ["made"], indirect=True)
def test_a_shared_backbone_is_compared_with_random_weights(open_page, cache, answers):
    at = question(open_page("multitask"), "representation")
    at.text_input(key="hold-properties").set_value("TPSA").run()
    assert "multitask: " in at.multiselect(key="hold-trunks").value[0]
    assert not button(without_exception(at), "Run").disabled
    at = question(open_page("multitask"), "transfer")
    assert not button(without_exception(at), "Run").disabled and "training runs." in page_text(at)
    at.selectbox(key="transfer-features").set_value("descriptors").run()
    assert any('"features":"descriptors"' in one.value.replace(" ", "") for one in without_exception(at).code)


@pytest.mark.parametrize("cache", ["made"], indirect=True)
def test_a_table_of_a_multitask_model_predicts(open_page, cache, answers):
    model = answers[1]["multitask"]
    at = without_exception(open_page("multitask", run=model.key))
    assert find_door(at, "Predict with it") == ("predict", {"fit": model.key})
    at = without_exception(open_page("predict", fit=model.key))
    assert at.selectbox(key="predict-fit").value == model.key
    table = at.selectbox(key=f"head-{model.key}")
    assert table.options == ["solubility", "hydration"]
    without_exception(table.set_value("hydration").run())
    without_exception(at.text_area(key="pasted").set_value("CCO").run())
    spec = read_spec_json(
        next(word for word in shlex.split(at.code[0].value) if word.startswith("{"))
    )  # of the form; what is shown has its own
    assert spec.kind == "predict" and spec.fit == MultitaskHead(model, model.members[1])


@pytest.mark.parametrize("cache", ["made"], indirect=True)
def test_predictions_of_several_tasks_are_shown_side_by_side(open_page, cache, answers):
    at = without_exception(open_page("predict", run=answers[1]["predictions"].key))
    assert "All 3 properties" in [one.label for one in at.expander]
    (rows,) = (one.value for one in at.dataframe if "TPSA" in one.value)
    predictions = Store(answers[0]).get(answers[1]["predictions"]).table
    assert list(rows) == ["structure", "name", "MolLogP", "TPSA", "MolMR", "similarity", "part", "smiles"]
    assert rows["TPSA"].tolist() == predictions["prediction: TPSA"].tolist() and len(rows) == 9
    without_exception(at.selectbox(key=f"task-{answers[1]['predictions'].key}").set_value("TPSA").run())
    assert at.metric[0].value == "9"


@pytest.mark.parametrize("cache", ["made"], indirect=True)
def test_a_multitask_head_is_shown_as_a_model(open_page, cache, answers):
    head = answers[1]["head"]
    at = without_exception(open_page("train", run=head.key))
    assert at.metric[0].label.startswith("RMSE")
    costs = next(one.value for one in at.dataframe if "what" in one.value)
    facts = dict(zip(costs["what"], costs["value"], strict=True))
    assert facts["Method"] == "head of a multitask model" and facts["Trainable in the backbone"].endswith(" weights")
    labels = list_doors(at)
    assert "Predict with it" in labels and "Score candidates with it" not in labels
    at = without_exception(open_page("predict", fit=head.key))
    model = head.multitask_model.key
    assert (at.selectbox(key="predict-fit").value, at.selectbox(key=f"head-{model}").value) == (model, "hydration")
    assert (
        "Influence needs a single trained network"
        in without_exception(open_page("influence", fit=head.key)).warning[0].value
    )


def test_a_task_named_like_a_column_has_its_full_name():
    tasks = ("similarity", "logD")
    table = pd.DataFrame({"smiles": ["CCO"], "similarity": [0.5], "part": [""], "name": ["ethanol"]})
    table["prediction: similarity"], table["prediction: logD"] = [1.0], [2.0]
    rows, short = tasks_table(Predictions(table, {"tasks": list(tasks)}))
    assert short == ["prediction: similarity", "logD"]
    assert list(rows) == ["name", "prediction: similarity", "logD", "similarity", "part", "smiles"]
    assert rows.iloc[0].tolist() == ["ethanol", 1.0, 2.0, 0.5, "", "CCO"]
