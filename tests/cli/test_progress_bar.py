"""The progress line of a command: now and then in a log, with the time left, and never over a line that stays."""

import pytest

from core.cli import progress_bar
from core.cli.progress_bar import ProgressBar


def test_a_log_gets_a_line_now_and_then_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: clock[0])
    with ProgressBar() as shown:
        for second in range(31):  # 1 per cent a second
            clock[0] = float(second)
            shown(second / 100, f"step {second}", {"title": "a fit"})
        shown(0.3, "seen by all", {"stays": True})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[-1] for line in lines] == ["10", "20", "30", "all"]
    assert lines[0].startswith("[##......................]  10.0 %") and " 1.5 min left  a fit: step 10" in lines[0]
    assert lines[-1] == "seen by all"
