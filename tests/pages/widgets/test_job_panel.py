"""A job on a page: its live curve; stop, resume, remove."""

import pytest

from core.engine.job_queue import Line
from pages.widgets.job_panel import live_curve
from tests.pages import stage
from tests.pages.conftest import button, checked


def test_the_live_curve_is_of_the_part_that_trains_now():
    told = [
        {"title": title, "epoch": epoch, "train_loss": 1.0 / epoch, "valid_loss": 1.0}
        for title in "ab"
        for epoch in (1.0, 2.0, 3.0)
    ]
    points = [{"numbers": numbers} for numbers in [*told[:-1], {"title": "b", "epoch": 2.5}, {"title": "b"}]]
    curve = live_curve(points)
    assert curve["epoch"].tolist() == [1.0, 2.0]
    assert live_curve([]).empty and live_curve([{"numbers": {"epoch": 1.0}}]).empty


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
    checked(button(at, "Resume").click().run())
    assert Line(cache).job(stage.STUDY.key).state == "waiting"
    at = open_page("train")
    checked(button(at, "Remove").click().run())
    assert Line(cache).job(stage.FIT.key) is None
