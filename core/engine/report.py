"""How a loop says how far it is. The same call is where a cancelled job stops."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple


class Cancelled(Exception):
    """The job was cancelled; what it had checkpointed stays in its scratch folder."""


class Share(NamedTuple):
    """Of all the work that of one recipe: its kind, and where it starts and stops (0 to 1)."""

    kind: str
    start: float
    stop: float

    @property
    def size(self) -> float:
        return self.stop - self.start


def _nobody(fraction: float, message: str, numbers: dict[str, Any]) -> None:
    pass


@dataclass(frozen=True)
class Report:
    """Called by every loop, once a step: `report(fraction, message, **numbers)`.

    `scratch` is a folder of this recipe's own that outlives an interruption: a loop writes its checkpoints there and
    looks there first. `files` is where imported tables lie, by digest. `on_plan` is told what will be made, by key.
    """

    tell: Callable[[float, str, dict[str, Any]], None] = _nobody
    cancelled: Callable[[], bool] = lambda: False
    on_plan: Callable[[dict[str, Share]], None] = lambda plan: None
    scratch: Path | None = None
    files: Path | None = None
    start: float = 0.0  # of the whole work, where this part of it begins
    share: float = 1.0
    context: dict[str, Any] = field(default_factory=dict)

    def __call__(self, fraction: float, message: str, **numbers: Any) -> None:
        """Say how far this part is (0 to 1). Raises `Cancelled` if someone asked for that."""
        self.check(message)
        self.tell(self.at(fraction), message, {**self.context, **numbers})

    def at(self, fraction: float) -> float:
        """Of the whole work, where this part of it is (0 to 1)."""
        return self.start + self.share * min(max(fraction, 0.0), 1.0)

    def check(self, message: str = "") -> None:
        """Only stop here if someone asked for that: for loops within a step."""
        if self.cancelled():
            raise Cancelled(message)

    def folder(self) -> Path:
        """The scratch folder; a temporary one where nobody keeps any."""
        return self.scratch or Path(mkdtemp(prefix="molsway-"))

    def part(self, start: float, stop: float, scratch: Path | None = None, **context: Any) -> "Report":
        """The report of a part of this work, from fraction `start` to `stop` of it."""
        return replace(
            self,
            start=self.start + self.share * start,
            share=self.share * (stop - start),
            scratch=scratch or self.scratch,
            context={**self.context, **context},
        )


SILENT_REPORT = Report()
