"""Baselines on the pages: submitted, shown, compared with networks, refused where a gradient is needed."""

import dataclasses
import re
import shutil

import pytest

from core.engine.job_queue import JobQueue
from core.engine.spec import read_spec_json
from core.engine.store import Store
from core.experiments import Baseline, SelectionStudy
from core.experiments.studies.arms import ARMS
from core.models.backbones import Pretrained, Untrained
from core.models.baselines import GradientBoosting, RandomForest, SupportVectors
from core.stats.formatting import format_interval, format_number, sd_of_interval
from pages.base.text import capitalise
from tests.pages import filled_store
from tests.pages.conftest import find_box, find_button, page_text, text_and_tables, without_exception

done = pytest.mark.parametrize("cache", ["done"], indirect=True)


def test_a_baseline_is_submitted_from_the_form(open_page, cache):
    at = open_page("train")
    at.get("button_group")[0].set_value("Baseline").run()
    at.selectbox(key="baseline-baseline").set_value("random-forest").run()
    at.number_input(key="baseline-baseline-random-forest-trees").set_value(7)
    at.number_input(key="baseline-seed").set_value(3).run()
    without_exception(find_button(at, "Start").click().run())
    (job,) = JobQueue(cache).jobs()
    spec = read_spec_json(job.spec)
    assert isinstance(spec, Baseline) and spec.seed == 3
    assert spec.baseline == RandomForest(trees=7)
    assert (spec.train.part, spec.valid.part, spec.test.part) == ("train", "valid", "test")


@done
def test_a_finished_baseline_shows_no_curve_and_no_gradient_action(open_page, cache):
    at = open_page("train", run=filled_store.BASELINE.key)
    text = text_and_tables(at)
    fit = Store(cache).get(filled_store.BASELINE)
    span = fit.interval("logS", "rmse")
    assert (
        format_number(fit.metrics["test"]["logS"]["rmse"], sd_of_interval(span)) in text
        and format_interval(span) in text
    )
    assert "random forest" in text and "2,048 fingerprint bits" in text
    assert not re.search(r"\b(None|nan|null)\b", text) and "marked epoch" not in text
    assert [tab.label for tab in at.tabs] == ["Predicted against measured", "Largest errors", "Cost"]
    labels = [one.label for one in at.button]
    assert "Score candidates with it" not in labels and "Change and run again" in labels
    assert "Learning curve" in [tab.label for tab in open_page("train", run=filled_store.FIT.key).tabs]


@done
def test_the_settings_of_a_baseline_are_changed_and_submitted(open_page, cache, asked):
    at = open_page("train", run=filled_store.BASELINE.key)
    without_exception(find_button(at, "Change and run again").click().run())
    find_box(at, "Trees").set_value(9)
    without_exception(find_button(at, "Start").click().run())
    assert asked == [
        dataclasses.replace(
            filled_store.BASELINE, baseline=dataclasses.replace(filled_store.BASELINE.baseline, trees=9)
        )
    ]
    at = open_page("train", run=filled_store.OTHER.key)
    without_exception(find_button(at, "Change and run again").click().run())
    without_exception(find_button(at, "Start").click().run())
    assert asked[1:] == [filled_store.OTHER]


@done
def test_a_baseline_is_compared_with_a_network(open_page, cache):
    at = open_page("compare", fits=f"{filled_store.FIT.key},{filled_store.BASELINE.key}")
    differ, metrics = at.dataframe[0].value, at.dataframe[1].value
    assert differ.loc["kind"].tolist() == ["finetune", "baseline"]
    assert metrics["trainable"].tolist() == ["5,400,000", "–"] and "None" not in text_and_tables(at)
    assert "epoch" in at.get("plotly_chart")[0].proto.spec


@done
def test_a_comparison_of_baselines_has_no_learning_curve(open_page, cache, tmp_path, monkeypatch):
    shutil.copytree(cache, tmp_path / "copy")
    store, other = Store(tmp_path / "copy"), dataclasses.replace(filled_store.BASELINE, seed=1)
    store.put(other, store.get(filled_store.BASELINE), 0.1)
    monkeypatch.setenv("MOLSWAY_CACHE", str(tmp_path / "copy"))
    at = open_page("compare", fits=f"{other.key},{filled_store.BASELINE.key}")
    assert len(at.get("plotly_chart")) == 2  # one of predictions for each
    assert at.dataframe[0].value.index.tolist() == ["seed"]


@done
def test_influence_refuses_a_baseline_with_the_reason(open_page, cache):
    at = open_page("influence", fit=filled_store.BASELINE.key)
    assert at.warning[0].value == (
        "Influence needs a single trained network. Choose a fine-tuned model (not a baseline, ensemble or multitask "
        "head)."
    )
    assert len(find_box(at, "Trained model").options) == 2 and not any(
        "baseline" in label for label in find_box(at, "Trained model").options
    )
    assert "Influence needs" not in page_text(open_page("influence", fit=filled_store.FIT.key))


@done
def test_nothing_is_scored_with_only_a_baseline(open_page, cache, tmp_path, monkeypatch):
    shutil.copytree(cache, tmp_path / "copy")
    for spec in (filled_store.FIT, filled_store.OTHER):
        Store(tmp_path / "copy").delete(spec.key)
    monkeypatch.setenv("MOLSWAY_CACHE", str(tmp_path / "copy"))
    at = open_page("influence")
    assert "Influence needs a single trained network" in page_text(
        at
    ) and "There is no fine-tuned model yet" in page_text(at)
    assert "There is no fine-tuned model yet" in page_text(open_page("compare"))


@done
def test_the_study_form_offers_every_baseline(open_page, cache, asked):
    at = open_page("compare")
    chosen = find_box(at, "Baselines")
    assert chosen.options == ["Support vectors", "Gradient boosting", "Random forest"]
    assert chosen.value == ["support-vectors"]
    without_exception(find_button(at, "Run the comparison").click().run())
    find_box(at, "Baselines").set_value(["support-vectors", "gradient-boosting"]).run()
    without_exception(find_button(at, "Run the comparison").click().run())
    find_box(at, "Baselines").set_value([]).run()
    assert "Baselines take seconds" not in page_text(at)
    without_exception(find_button(at, "Run the comparison").click().run())
    assert all(isinstance(spec, SelectionStudy) for spec in asked)
    assert [spec.baselines for spec in asked] == [(SupportVectors(),), (SupportVectors(), GradientBoosting()), ()]


@done
def test_the_study_form_offers_every_sampler(open_page, cache, asked):
    at = open_page("compare")
    arms = find_box(at, "Arms")
    assert arms.options == [capitalise(ARMS.name_of(word)) for word in ARMS]
    assert arms.value == ["none", "all", "random", "top", "bottom", "greedy"]
    find_box(at, "Arms").set_value(list(ARMS)).run()
    without_exception(find_button(at, "Run the comparison").click().run())
    assert [spec.arms for spec in asked] == [tuple(ARMS)]


@done
def test_the_random_weight_control_needs_a_pretrained_model(open_page, cache, tmp_path, monkeypatch, asked):
    at = open_page("compare")
    assert isinstance(filled_store.FIT.backbone, Untrained) == ("Control" not in [toggle.label for toggle in at.toggle])
    shutil.copytree(cache, tmp_path / "copy")
    store, read = Store(tmp_path / "copy"), dataclasses.replace(filled_store.FIT, backbone=Pretrained("molformer-xl"))
    store.put(read, store.get(filled_store.FIT), 18.4)
    monkeypatch.setenv("MOLSWAY_CACHE", str(tmp_path / "copy"))
    at = open_page("compare", fit=read.key)
    assert find_box(at, "Control").value is True and "21 training runs" in page_text(at)
    without_exception(find_button(at, "Run the comparison").click().run())
    (spec,) = asked
    assert spec.control and spec.refit("random weights", 1).backbone == Untrained("molformer-xl", seed=1)


@done
def test_a_study_labels_its_baselines(open_page, cache):
    at = open_page("compare")
    text = text_and_tables(at)
    assert "The network loses to a baseline: “support vectors” is better than “none” (" in text
    assert "Squares are baselines" in text and "Triangles" not in text
    assert "nothing; a baseline: 180 descriptors" in text and "None" not in text
    assert "“top” has" in text or "“greedy” has" in text
    assert "square" in at.get("plotly_chart")[0].proto.spec
