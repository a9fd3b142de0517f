"""Progress: parts of parts, and stopping."""

import pytest

from core.engine.report import Cancelled, Report


def test_a_part_of_a_part_is_a_share_of_the_whole() -> None:
    seen = []
    report = Report(tell=lambda fraction, message, numbers: seen.append((fraction, message, numbers)))
    inner = report.part(0.5, 1.0, title="outer").part(0.0, 0.5)
    inner(0.5, "half", step=3)
    inner(7.0, "more than all")
    assert seen == [(0.625, "half", {"title": "outer", "step": 3}), (0.75, "more than all", {"title": "outer"})]


def test_a_cancelled_report_stops_its_caller() -> None:
    report = Report(cancelled=lambda: True)
    with pytest.raises(Cancelled):
        report.part(0, 0.1)(0.2, "on")
