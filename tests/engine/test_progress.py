"""Tracks are bounded and survive; the time left is honest."""

import pytest

from core.engine.progress import MAX_POINTS, TimeEstimate, Track
from core.engine.report import Share


def test_a_track_is_bounded_and_keeps_what_is_new(tmp_path):
    track = Track(tmp_path, "0" * 16)
    for second in range(3 * MAX_POINTS):
        track.add(float(second), second / (3 * MAX_POINTS), "training", {"epoch": second // 100, "loss": 0.5})
        if second % 500 == 0:
            track.flush()
    track.flush()
    points = track.points()
    assert MAX_POINTS / 2 < len(points) <= MAX_POINTS
    assert {point["numbers"]["epoch"] for point in points} == set(range(3 * MAX_POINTS // 100))
    assert points[0]["time"] == 0 and points[-1]["time"] == 3 * MAX_POINTS - 1
    assert [point["time"] for point in points] == sorted(point["time"] for point in points)
    for number in range(2 * MAX_POINTS):  # even where every point is new
        track.add(1e6 + number, 1.0, f"step {number}", {})
    track.flush()
    assert len(track.points()) <= MAX_POINTS


def test_a_track_cut_short_is_read_and_goes_on(tmp_path):
    track = Track(tmp_path, "0" * 16)
    track.add(0.0, 0.0, "one", {})
    track.flush()
    with track.path.open("a") as file:
        file.write('{"time": 1.0, "fract')
    assert len(track.points()) == 1
    again = Track(tmp_path, "0" * 16)
    again.add(2.0, 0.0, "two\nlines", {"loss": None})
    again.flush()
    again.add(3.0, 0.0, "three", {})
    again.flush()
    assert [point["message"] for point in again.points()] == ["one", "two\nlines", "three"]


def test_the_time_left_is_hidden_at_first_then_right_then_follows_a_change_of_pace():
    pace = TimeEstimate()
    told = {tenth / 10: pace(tenth / 10, tenth / 1000) for tenth in range(0, 401)}  # 1 per cent a second
    assert all(told[second] is None for second in (0.0, 1.0, 2.9))
    assert told[10.0] == pytest.approx(90, rel=0.02) and told[40.0] == pytest.approx(60, rel=0.02)
    for tenth in range(1, 601):  # ten times slower
        left = pace(40 + tenth / 10, 0.4 + tenth / 10000)
    assert left == pytest.approx(540, rel=0.1)
    assert TimeEstimate()(100.0, 0.9) is None  # resumed far on: nothing is known yet


def test_the_time_left_knows_what_parts_of_a_kind_take():
    """A scoring that was thought short, then ten trainings: neither its slowness nor its end misleads for long."""
    plan = {"s": Share("score", 0.1, 0.12)} | {
        f"t{n}": Share("train", *(0.0, 0.1) if not n else (0.12 + 0.08 * (n - 1), 0.12 + 0.08 * n)) for n in range(12)
    }
    pace, clock, told = TimeEstimate(), 0.0, {}
    pace.plan(plan)
    lasts = {"score": 60.0, "train": 20.0}
    for key in ["t0", "s", *(f"t{n}" for n in range(1, 12))]:
        part = plan[key]
        for step in range(100):
            clock += lasts[part.kind] / 100
            told[clock] = pace(clock, part.start + part.size * (step + 1) / 100, key)
    ahead = {when: (left, clock - when) for when, left in told.items() if when > 35 and left is not None}
    assert len(ahead) > 1000 and told[min(told)] is None
    for when, (left, true) in ahead.items():
        assert abs(left - true) < 0.15 * true + 20, when


def test_what_is_not_of_the_plan_goes_by_the_whole():
    pace = TimeEstimate()
    pace.plan({"a": Share("train", 0.0, 1.0)})
    assert [pace(float(second), second / 100) for second in range(11)][-1] == pytest.approx(90, rel=0.02)


def test_plans_one_after_another_tell_of_all_that_comes():
    pace, clock, told = TimeEstimate(), 0.0, {}
    for place in range(10):  # ten recipes, each a tenth of the work, each planned when its turn comes
        pace.plan({f"fit {place}": Share("finetune", place / 10, (place + 1) / 10)})
        for step in range(40):
            told[clock] = pace(clock, (place + step / 40) / 10, f"fit {place}")
            clock += 1.0
    for moment in (60.0, 150.0, 250.0, 350.0):
        assert told[moment] == pytest.approx(400.0 - moment, rel=0.15)
