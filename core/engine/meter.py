"""Cost of a piece of work: peak memory, and energy where the machine has counters."""

import contextlib
import sys
from pathlib import Path
from typing import Any

import psutil

from core.engine import memory

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
POWERCAP = Path("/sys/class/powercap")  # Linux: counters of processor packages (RAPL), in microjoules


class Meter:
    """Measures from its creation; `reading()` returns the cost since.

    Memory is the peak above the level at the start: allocated by PyTorch for work on CUDA, otherwise resident in this
    process. Memory left from earlier work is released first, so that readings are comparable.
    """

    def __init__(self) -> None:
        memory.release_memory()
        torch = sys.modules.get("torch")
        self._cuda = torch.cuda if torch is not None and torch.cuda.is_available() else None
        if self._cuda is not None:
            self._cuda.reset_peak_memory_stats()
        with contextlib.suppress(OSError):
            CLEAR.write_text("5")  # "5" resets the peak (man proc_pid_clear_refs)
        self._start_rss = psutil.Process().memory_info().rss
        self._before = self._joules()

    def reading(self) -> dict[str, Any]:
        """`peak_memory` in bytes; `energy` in joules, None where no counter can be read."""
        now = self._joules()
        same = bool(now) and now.keys() == self._before.keys()
        return {"peak_memory": self._peak(), "energy": self._spent(now) if same else None}

    def _peak(self) -> int:
        if self._cuda is not None and self._cuda.max_memory_allocated():
            return int(self._cuda.max_memory_allocated())  # the model is moved to the device after the start
        most = psutil.Process().memory_info().rss
        with contextlib.suppress(OSError, IndexError, ValueError):
            most = int(STATUS.read_text().split("VmHWM:")[1].split()[0]) * 1024
        return int(max(most - self._start_rss, 0))

    def _spent(self, now: dict[str, tuple[float, float]]) -> float:
        """Joules since the start; a counter that is lower than before is assumed to have wrapped once."""
        pairs = [(now[name], self._before[name]) for name in now]
        return sum(after - before + (size if after < before else 0.0) for (after, size), (before, _) in pairs)

    def _joules(self) -> dict[str, tuple[float, float]]:
        """Joules of every counter, and the value at which it wraps."""
        joules = {}
        for zone in sorted(POWERCAP.glob("intel-rapl:?")):  # packages; their subdomains have a second colon
            with contextlib.suppress(OSError, ValueError):
                spent, size = ((zone / name).read_text() for name in ("energy_uj", "max_energy_range_uj"))
                joules[zone.name] = (int(spent) / 1e6, int(size) / 1e6)
        if self._cuda is not None:
            with contextlib.suppress(Exception):  # NVIDIA's library is optional, and old cards have no counter
                import pynvml

                pynvml.nvmlInit()
                card = pynvml.nvmlDeviceGetHandleByIndex(self._cuda.current_device())
                joules["accelerator"] = (pynvml.nvmlDeviceGetTotalEnergyConsumption(card) / 1e3, 0.0)
        return joules
