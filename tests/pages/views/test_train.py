"""The page Train."""

import dataclasses

import pytest

from core.engine.job_queue import JobQueue
from core.engine.spec import read_spec_json
from core.experiments import FineTune
from tests.pages import filled_store
from tests.pages.conftest import find_button, page_text, without_exception


def test_a_fine_tuning_is_submitted_from_the_form(open_page, cache):
    at = open_page("train")
    at.number_input(key="finetune-epochs").set_value(7)
    at.number_input(key="finetune-seed").set_value(11).run()
    without_exception(find_button(at, "Start").click().run())
    (job,) = JobQueue(cache).jobs()
    spec = read_spec_json(job.spec)
    assert isinstance(spec, FineTune) and (spec.epochs, spec.seed) == (7, 11)
    assert (spec.train.part, spec.valid.part, spec.test.part) == ("train", "valid", "test")
    assert at.query_params["run"] in (job.key, [job.key])
    assert "waiting" in page_text(at)


def test_a_wrong_split_is_reported_and_cannot_be_started(open_page, cache):
    at = open_page("train")
    key = next(box.key for box in at.number_input if box.label == "Test set")
    at.number_input(key=key).set_value(0.99).run()
    without_exception(at)
    assert "the shares add up" in at.error[0].value
    assert find_button(at, "Start").disabled and not JobQueue(cache).jobs()


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_the_settings_of_a_run_are_changed_and_submitted(open_page, cache, asked):
    at = open_page("train", run=filled_store.OTHER.key)
    without_exception(find_button(at, "Change and run again").click().run())
    next(box for box in at.number_input if box.label == "Epochs").set_value(3)
    without_exception(find_button(at, "Start").click().run())
    assert asked == [dataclasses.replace(filled_store.OTHER, epochs=3)]


def test_a_backbone_is_adapted_without_the_test_set(open_page, cache):
    at = open_page("train")
    at.get("button_group")[0].set_value("Adapt a backbone (no labels needed)").run()
    without_exception(find_button(at, "Start").click().run())
    spec = read_spec_json(JobQueue(cache).jobs()[0].spec)
    assert (spec.kind, spec.corpus.kind, spec.leave_out.part) == ("adapt", "load", "test")


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_the_form_of_a_change_is_all_that_is_shown(open_page, cache):
    """Above a long result it was out of sight."""
    at = open_page("train", run=filled_store.OTHER.key)
    without_exception(find_button(at, "Change and run again").click().run())
    (form,) = (box for box in at.expander if box.label == "New run")
    assert form.proto.expanded and not at.metric and not any(box.label == "Run" for box in at.selectbox)
    without_exception(find_button(at, "Back to the result").click().run())
    assert at.metric and next(box for box in at.selectbox if box.label == "Run").value == filled_store.OTHER.key
