"""Progress reports of loops. The same call stops a cancelled job."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple


class Cancelled(Exception):
    """The job was cancelled; its checkpoints stay in its scratch folder."""


class Share(NamedTuple):
    """One spec's share of all the work: its kind, and where it starts and stops (0 to 1)."""

    kind: str
    start: float
    stop: float

    @property
    def size(self) -> float:
        return self.stop - self.start


def _ignore(fraction: float, message: str, numbers: dict[str, Any]) -> None:
    pass


@dataclass(frozen=True)
class Report:
    """Called by every loop, once a step: `report(fraction, message, **numbers)`.

    `scratch` is the checkpoint folder of this spec; it outlives an interruption, and a loop looks there first. `files`
    is the folder of imported tables, by digest. `on_plan` is called with the shares of the parts to be made, by key.
    """

    tell: Callable[[float, str, dict[str, Any]], None] = _ignore
    cancelled: Callable[[], bool] = lambda: False
    on_plan: Callable[[dict[str, Share]], None] = lambda plan: None
    scratch: Path | None = None
    files: Path | None = None
    start: float = 0.0  # fraction of the whole work at which this part starts
    share: float = 1.0
    context: dict[str, Any] = field(default_factory=dict)

    def __call__(self, fraction: float, message: str, **numbers: Any) -> None:
        """Report the fraction done of this part (0 to 1). Raises `Cancelled` if the job was cancelled."""
        self.check(message)
        self.tell(self.at(fraction), message, {**self.context, **numbers})

    def at(self, fraction: float) -> float:
        """The fraction of the whole work at a fraction of this part (0 to 1)."""
        return self.start + self.share * min(max(fraction, 0.0), 1.0)

    def check(self, message: str = "") -> None:
        """Raise `Cancelled` if the job was cancelled, without a report: for loops within a step."""
        if self.cancelled():
            raise Cancelled(message)

    def folder(self) -> Path:
        """The scratch folder; a temporary one where there is none."""
        return self.scratch or Path(mkdtemp(prefix="molsway-"))

    def part(self, start: float, stop: float, scratch: Path | None = None, **context: Any) -> "Report":
        """The report of a part of this work, from fraction `start` to `stop`."""
        return replace(
            self,
            start=self.start + self.share * start,
            share=self.share * (stop - start),
            scratch=scratch or self.scratch,
            context={**self.context, **context},
        )


SILENT_REPORT = Report()
