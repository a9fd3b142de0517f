"""The progress bar in a log: a line every ten seconds with the time left, and permanent lines in full."""

import pytest

from core.cli import progress_bar
from core.cli.progress_bar import ProgressBar


def test_a_log_has_a_line_every_ten_seconds_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: clock[0])
    with ProgressBar() as bar:
        for second in range(31):  # 1 per cent a second
            clock[0] = float(second)
            bar(second / 100, f"step {second}", {"title": "a fit"})
        bar(0.3, "seen by all", {"stays": True})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[-1] for line in lines] == ["10", "20", "30", "all"]
    assert lines[0].startswith("[##......................]  10.0 %") and " 1.5 min left  a fit: step 10" in lines[0]
    assert lines[-1] == "seen by all"
