"""Reports: nested parts and cancelling."""

import pytest

from core.engine.report import Cancelled, Report


def test_nested_parts_scale_fractions() -> None:
    calls = []
    report = Report(tell=lambda fraction, message, numbers: calls.append((fraction, message, numbers)))
    inner = report.part(0.5, 1.0, title="outer").part(0.0, 0.5)
    inner(0.5, "half", step=3)
    inner(7.0, "more than all")
    assert calls == [(0.625, "half", {"title": "outer", "step": 3}), (0.75, "more than all", {"title": "outer"})]


def test_cancelled_report_raises() -> None:
    report = Report(cancelled=lambda: True)
    with pytest.raises(Cancelled):
        report.part(0, 0.1)(0.2, "on")
