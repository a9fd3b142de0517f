"""A job on a page: its live curve; stop, resume, remove."""

import pytest

from core.engine.job_queue import JobQueue
from pages.widgets.job_panel import learning_curve
from tests.pages import filled_store
from tests.pages.conftest import find_button, without_exception


def test_the_live_curve_shows_the_current_training():
    reports = [
        {"title": title, "epoch": epoch, "train_loss": 1.0 / epoch, "valid_loss": 1.0}
        for title in "ab"
        for epoch in (1.0, 2.0, 3.0)
    ]
    points = [{"numbers": numbers} for numbers in [*reports[:-1], {"title": "b", "epoch": 2.5}, {"title": "b"}]]
    curve = learning_curve(points)
    assert curve["epoch"].tolist() == [1.0, 2.0]
    assert learning_curve([]).empty and learning_curve([{"numbers": {"epoch": 1.0}}]).empty


@pytest.mark.parametrize("cache", ["running"], indirect=True)
def test_stop_asks_the_job_to_stop(open_page, cache):
    at = open_page("influence", run=filled_store.SCORES.key)
    without_exception(find_button(at, "Stop").click().run())
    assert JobQueue(cache).job(filled_store.SCORES.key).cancelling
    assert find_button(at, "Stop").disabled


@pytest.mark.parametrize("cache", ["failed"], indirect=True)
def test_a_failed_job_is_resumed_or_removed(open_page, cache):
    at = open_page("compare")
    assert any("Traceback" in code.value for code in at.code)
    without_exception(find_button(at, "Resume").click().run())
    assert JobQueue(cache).job(filled_store.STUDY.key).state == "waiting"
    at = open_page("train")
    without_exception(find_button(at, "Remove").click().run())
    assert JobQueue(cache).job(filled_store.FIT.key) is None
