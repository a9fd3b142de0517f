"""Numbers, times and states as people read them."""

import re
import time
from collections.abc import Iterable
from typing import Any

from core.stats.formatting import format_number

STATES = {  # state: (icon, colour, word)
    "waiting": (":material/hourglass_empty:", "gray", "waiting"),
    "running": (":material/play_circle:", "blue", "running"),
    "done": (":material/check_circle:", "green", "done"),
    "failed": (":material/error:", "red", "failed"),
    "cancelled": (":material/cancel:", "gray", "cancelled"),
    "interrupted": (":material/pause_circle:", "orange", "interrupted"),
}
MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>()#+-.!|$:~^"})


def escape_markdown(text: Any) -> str:
    """Text that markdown shows as it is: SMILES, names, messages."""
    return str(text).translate(MARKDOWN).replace("\n", " ")


def capitalise(title: str) -> str:
    """A title that begins with a capital letter."""
    return title[:1].upper() + title[1:]


def as_sentence(message: Any) -> str:
    """A message that begins with a capital letter, unless its first word is code or the name of a file."""
    return re.sub(r"^[a-z]+(?=[ ,:;])", lambda match: match[0].capitalize(), str(message))


def with_minus_signs(sentence: str) -> str:
    """A sentence whose negative numbers have a minus sign, not a hyphen."""
    return re.sub(r"(?<![\w.)])-(?=\d)", "−", sentence)


def format_signed(value: float | None, noise: float | None = None) -> str:
    return ("+" if value is not None and value > 0 else "") + format_number(value, noise)


def format_duration(seconds: float | None) -> str:
    """`3 s`, `2 min 05 s`, `1 h 20 min`."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds == 0 else f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min {int(seconds % 60):02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def format_device(device: str | None) -> str:
    """The name of a device or of several, `CPU` where nothing better is known."""
    processors = ("", "cpu", "x86_64", "aarch64", "arm")
    names = ["CPU" if name in processors else name for name in (device or "").split(" and ")]
    return " and ".join(dict.fromkeys(names))


def format_bytes(count: float) -> str:
    """Bytes, as `1.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def format_age(moment: float, now: float | None = None) -> str:
    """How long ago a unix time was."""
    past = max((now or time.time()) - moment, 0)
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if past >= seconds:
            count = int(past // seconds)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


LABELS = {
    "by": "Split by",
    "valid": "Validation set",
    "test": "Test set",
    "pool": "Candidate pool",
    "scope": "Weights considered",
}


def field_label(name: str) -> str:
    """A field's name as a label: `learning_rate` → `Learning rate`."""
    return LABELS.get(name) or name.replace("_", " ").capitalize()


def format_percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def loss_name(kinds: Iterable[str]) -> str:
    """What a predictor's loss is called, by the kinds of its tasks."""
    named = {"regression": "squared error (scaled labels)", "binary": "cross-entropy (nats)"}
    names = dict.fromkeys(named[kind] for kind in kinds)
    return next(iter(names)) if len(names) == 1 else "loss"
