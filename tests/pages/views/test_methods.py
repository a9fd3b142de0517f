"""The page Methods: the form, and the result of a study."""

import pytest

from core.engine.job_queue import JobQueue
from core.engine.spec import read_spec_json
from core.experiments import Adapt, LearningRateSearch, Study
from tests.pages import filled_store
from tests.pages.conftest import page_text, without_exception


def button(at, label: str):
    return next(one for one in at.button if one.label == label)


def submitted(at, cache) -> Study:
    without_exception(button(at, "Run the comparison").click().run())
    (job,) = JobQueue(cache).jobs()
    return read_spec_json(job.spec)


def test_the_default_compares_the_common_methods(open_page, cache):
    spec = submitted(open_page("methods"), cache)
    assert isinstance(spec, Study) and spec.arm_names == ("full", "LoRA", "(IA)³", "BitFit", "head", "support vectors")
    assert all(isinstance(arm, LearningRateSearch) for arm in spec.arms[:5]) and spec.seeds == (0, 1, 2)
    assert spec.arms[0].fit.backbone.name == "molsway-mini"


def test_methods_rates_and_adaptation_follow_the_form(open_page, cache):
    at = open_page("methods")
    at.multiselect(key="methods-Common methods and the head alone").set_value(["full", "vera"])
    at.multiselect(key="methods-learners").set_value([])
    at.toggle(key="methods-tuned").set_value(False)
    at.toggle(key="methods-adapted").set_value(True)
    at.text_input(key="methods-seeds").set_value("4, 5").run()
    assert "8 training runs." in page_text(without_exception(at))
    spec = submitted(at, cache)
    assert [arm.method.kind for arm in spec.arms] == ["full", "vera"] * 2 and spec.seeds == (4, 5)
    adapted = [isinstance(arm.backbone, Adapt) for arm in spec.arms]
    assert adapted == [False, False, True, True] and spec.arms[2].backbone.leave_out == spec.arms[2].test


def test_a_single_method_is_refused(open_page):
    at = open_page("methods")
    at.multiselect(key="methods-Common methods and the head alone").set_value(["full"])
    at.multiselect(key="methods-learners").set_value([]).run()
    assert "at least two specs" in without_exception(at).error[0].value and button(at, "Run the comparison").disabled


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_study_shows_errors_costs_and_failures(open_page, cache):
    at = open_page("methods", run=filled_store.METHODS.key)
    text = page_text(at)
    assert "has the lowest mean test error of the networks" in text
    assert "“OFT” with seed 0 failed: oft rotates blocks of 24 inputs" in text.replace("\\", "")
    table = next(frame.value for frame in at.dataframe if "in the backbone" in frame.value)
    assert list(table["method"]) == ["full", "LoRA", "(IA)³", "head", "support vectors"]
    assert list(table["in the backbone"]) == ["4 M (100 %)", "98 k (2.5 %)", "7.7 k (0.19 %)", "0 (0 %)", "–"]
    assert list(table["storage"])[:2] == ["21.6 MB", "6.0 MB"]
    assert len(at.get("plotly_chart")) == 4


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_each_kind_of_study_opens_on_its_own_page(open_page, cache):
    at = open_page("compare")
    assert [run for run in at.selectbox[0].options if "study of full" in run.lower()] == []
    at = open_page("methods")
    assert len(at.selectbox[0].options) > 0
    from pages.widgets.run_picker import page_of

    assert page_of("study").endswith("methods.py") and page_of("selection-study").endswith("compare.py")


def test_trials_of_a_learning_rate_search_are_named():
    from types import SimpleNamespace

    from pages.widgets.run_picker import TRIAL, Run, map_arms

    tuned = SimpleNamespace(summary={"tuned": {"trials": ["a" * 16, "b" * 16]}})
    study = SimpleNamespace(summary={"arms": [{"name": "LoRA", "fits": ["b" * 16]}]})
    assert map_arms([tuned, study]) == {"a" * 16: TRIAL, "b" * 16: "LoRA"}
    entry = SimpleNamespace(summary={"learning_rate": 0.003, "seed": 0})
    run = Run("a" * 16, "finetune", "LoRA fine-tuning of molsway-mini", 0.0, entry, None, TRIAL)
    assert run.name == "Learning-rate trial, 0.003: LoRA fine-tuning of molsway-mini"
