"""Tracks are bounded and survive interruptions; remaining time is realistic."""

import pytest

from core.engine.progress import MAX_POINTS, TimeEstimate, Track
from core.engine.report import Share


def test_track_is_bounded_and_keeps_changes(tmp_path):
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


def test_truncated_track_is_read_and_continued(tmp_path):
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


def test_time_left_is_unknown_at_first_then_follows_the_pace():
    pace = TimeEstimate()
    estimates = {tenth / 10: pace(tenth / 10, tenth / 1000) for tenth in range(0, 401)}  # 1 per cent a second
    assert all(estimates[second] is None for second in (0.0, 1.0, 2.9))
    assert estimates[10.0] == pytest.approx(90, rel=0.02) and estimates[40.0] == pytest.approx(60, rel=0.02)
    for tenth in range(1, 601):  # ten times slower
        left = pace(40 + tenth / 10, 0.4 + tenth / 10000)
    assert left == pytest.approx(540, rel=0.1)
    assert TimeEstimate()(100.0, 0.9) is None  # resumed near the end: no pace yet


def test_time_left_uses_the_pace_of_each_kind():
    """A scoring that was thought short, then ten trainings: neither its slowness nor its end misleads for long."""
    plan = {"s": Share("score", 0.1, 0.12)} | {
        f"t{n}": Share("train", *(0.0, 0.1) if not n else (0.12 + 0.08 * (n - 1), 0.12 + 0.08 * n)) for n in range(12)
    }
    pace, clock, estimates = TimeEstimate(), 0.0, {}
    pace.plan(plan)
    lasts = {"score": 60.0, "train": 20.0}
    for key in ["t0", "s", *(f"t{n}" for n in range(1, 12))]:
        part = plan[key]
        for step in range(100):
            clock += lasts[part.kind] / 100
            estimates[clock] = pace(clock, part.start + part.size * (step + 1) / 100, key)
    ahead = {when: (left, clock - when) for when, left in estimates.items() if when > 35 and left is not None}
    assert len(ahead) > 1000 and estimates[min(estimates)] is None
    for when, (left, true) in ahead.items():
        assert abs(left - true) < 0.15 * true + 20, when


def test_reports_outside_the_plan_use_the_overall_pace():
    pace = TimeEstimate()
    pace.plan({"a": Share("train", 0.0, 1.0)})
    assert [pace(float(second), second / 100) for second in range(11)][-1] == pytest.approx(90, rel=0.02)


def test_successive_plans_cover_the_remaining_work():
    pace, clock, estimates = TimeEstimate(), 0.0, {}
    for index in range(10):  # ten recipes, each a tenth of the work, each planned when its turn comes
        pace.plan({f"fit {index}": Share("finetune", index / 10, (index + 1) / 10)})
        for step in range(40):
            estimates[clock] = pace(clock, (index + step / 40) / 10, f"fit {index}")
            clock += 1.0
    for moment in (60.0, 150.0, 250.0, 350.0):
        assert estimates[moment] == pytest.approx(400.0 - moment, rel=0.15)


def test_time_left_counts_the_pace_since_a_checkpoint_was_read():
    """Resumed at 40 per cent: 8 seconds of starting, a jump over what the checkpoint holds, then 0.5 per cent a second."""
    plan = {"a": Share("train", 0.0, 0.9), "b": Share("score", 0.9, 1.0)}
    pace = TimeEstimate()
    pace.plan(plan)
    for tenth in range(80):
        pace(tenth / 10, 0.0, "a")
    pace.restart(8.0)
    estimates = [pace(8.0 + tenth / 10, 0.4 + tenth / 2000, "a") for tenth in range(400)]
    known = [(8.0 + tenth / 10, left) for tenth, left in enumerate(estimates) if left is not None]
    assert len(known) > 300
    for time, left in known:
        assert left == pytest.approx(8 + 120 - time, rel=0.05)


def test_a_part_that_hardly_began_says_nothing_of_the_others():
    """A third of a small first part is 0.03 per cent of the job: it was shown as eighteen hours."""
    pace = TimeEstimate()
    pace.plan({"a": Share("split", 0.0, 0.001), "b": Share("train", 0.001, 1.0)})
    assert {pace(20.0 + second, 0.0003 * second / 10, "a") for second in range(10)} == {None}
