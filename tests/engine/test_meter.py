"""The meter measures peak memory, and energy where there are counters."""

from pathlib import Path

import numpy as np
import pytest

from core.engine import meter
from core.engine.meter import Meter

MEBIBYTE = 1 << 20


@pytest.mark.skipif(not meter.CLEAR.exists(), reason="only Linux tells a process its peak")
def test_peak_memory_excludes_earlier_work() -> None:
    np.ones(600 * MEBIBYTE, np.uint8)  # before, and gone
    new_meter = Meter()
    base = new_meter.reading()["peak_memory"]
    np.ones(300 * MEBIBYTE, np.uint8)
    assert 290 * MEBIBYTE < new_meter.reading()["peak_memory"] - base < 400 * MEBIBYTE


def counters(root: Path, *joules: float) -> None:
    for index, value in enumerate(joules):
        zone = root / f"intel-rapl:{index}"
        zone.mkdir(exist_ok=True)
        (zone / "energy_uj").write_text(f"{int(value * 1e6)}\n")
        (zone / "max_energy_range_uj").write_text("1000000000\n")
    (root / "intel-rapl:0:0").mkdir(exist_ok=True)  # a part of the first package: counted with it
    (root / "intel-rapl:0:0" / "energy_uj").write_text("5")


def test_energy_sums_all_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "POWERCAP", tmp_path)
    counters(tmp_path, 10.0, 990.0)
    new_meter = Meter()
    counters(tmp_path, 14.5, 2.0)  # the second counter has wrapped
    assert new_meter.reading()["energy"] == pytest.approx(4.5 + 12.0)


def test_energy_is_none_without_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "POWERCAP", tmp_path)
    assert Meter().reading()["energy"] is None
