"""Numbers, times and states as people read them."""

import re
import time
from collections.abc import Iterable
from typing import Any

from core.stats.formatting import beside_noise, number, within
from core.stats.metrics import WORDS as METRICS
from core.stats.metrics import called

STATES = {  # state: (icon, colour, word)
    "waiting": (":material/hourglass_empty:", "gray", "waiting"),
    "running": (":material/play_circle:", "blue", "running"),
    "done": (":material/check_circle:", "green", "done"),
    "failed": (":material/error:", "red", "failed"),
    "cancelled": (":material/cancel:", "gray", "cancelled"),
    "interrupted": (":material/pause_circle:", "orange", "interrupted"),
    "kept": (":material/check_circle:", "green", "done"),
}
MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>()#+-.!|$:~^"})


def plain(text: Any) -> str:
    """Text that markdown shows as it is: SMILES, names, messages."""
    return str(text).translate(MARKDOWN).replace("\n", " ")


def headline(title: str) -> str:
    """A title that begins with a capital letter."""
    return title[:1].upper() + title[1:]


def minus(sentence: str) -> str:
    """A sentence whose negative numbers have a minus sign, not a hyphen."""
    return re.sub(r"(?<![\w.)])-(?=\d)", "−", sentence)


def signed(value: float | None, noise: float | None = None) -> str:
    return ("+" if value is not None and value > 0 else "") + number(value, noise)


def duration(seconds: float | None) -> str:
    """`3 s`, `2 min 05 s`, `1 h 20 min`."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds == 0 else f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min {int(seconds % 60):02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def device_name(device: str | None) -> str:
    """The name of a device or of several, `CPU` where nothing better is known."""
    processors = ("", "cpu", "x86_64", "aarch64", "arm")
    names = ["CPU" if name in processors else name for name in (device or "").split(" and ")]
    return " and ".join(dict.fromkeys(names))


def size(count: float) -> str:
    """Bytes, as `1.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def ago(moment: float, now: float | None = None) -> str:
    """How long ago a unix time was."""
    past = max((now or time.time()) - moment, 0)
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if past >= seconds:
            count = int(past // seconds)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


LABELS = {
    "by": "Split by",
    "valid": "Validation part",
    "test": "Test part",
    "pool": "Pool, set aside",
}


def title_of(name: str) -> str:
    """A field's name as a label: `learning_rate` → `Learning rate`."""
    return LABELS.get(name) or name.replace("_", " ").capitalize()


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _reached(member: dict[str, Any]) -> str:
    """The mean error of a table of a trunk, or the area where it has none."""
    found, sure = member["means"]["test"], member.get("means_intervals", {})
    if found.get("mae_sd"):
        return f"MAE {within(found['mae_sd'], sure.get('mae_sd'))} sd"
    return f"AUROC {within(found['auroc'], sure.get('auroc'))}"


def loss_of(kinds: Iterable[str]) -> str:
    """What a predictor's loss is called, by the kinds of its tasks."""
    named = {"regression": "squared error (scaled labels)", "binary": "cross-entropy (nats)"}
    found = dict.fromkeys(named[kind] for kind in kinds)
    return next(iter(found)) if len(found) == 1 else "loss"


def key_metric(kind: str, summary: dict[str, Any]) -> str:
    """The one number of a product that a list shows; it never raises, whatever an old product says of itself."""
    try:
        if "remote_below" in summary:  # predictions
            width, unit = summary["width"][0], summary["unit"][0]
            sure = f", ± {number(width['median'])} {unit}".rstrip() if width and summary["kinds"][0] != "binary" else ""
            return f"{summary['molecules']:,} molecules{sure}"
        if "metrics" in summary:
            task = summary["tasks"][0]
            name = next(m for m in ("rmse", "auroc") if summary["metrics"]["test"][task].get(m) is not None)
            more = f" (+{len(summary['tasks']) - 1} tasks)" if len(summary["tasks"]) > 1 else ""
            span = summary.get("intervals", {}).get(task, {}).get(name)
            told = within(summary["metrics"]["test"][task][name], span)
            return " ".join(filter(None, ("test", METRICS[name], told, summary["unit"][0]))) + more
        if "arms" in summary:
            best = min(summary["arms"], key=lambda arm: arm["rmse"]["mean"])
            metric = called("rmse", summary.get("task_kind", "regression"))
            return f"best arm: {best['name']}, {metric} {beside_noise(best['rmse']['mean'], best['rmse']['sd'])}"
        members = summary.get("members")
        if isinstance(members, list) and members and "means" in members[0]:  # a trunk, or a study of a mixture
            if "means" in summary:
                return f"{len(members)} tables"
            return f"test {', '.join(map(_reached, members[:3]))}"
        if "ways" in summary:  # a verification
            best = max(summary["ways"], key=lambda way: way["spearman"])
            return f"ρ {number(best['spearman'])} with {summary['subsets']:,} retrainings"
        if "findings" in summary:  # an audit
            levels = [one["level"] for one in summary["findings"]]
            counts = ((levels.count(level), level) for level in ("fault", "caution", "note"))
            return ", ".join(f"{count} {level}{'s' * (count > 1)}" for count, level in counts if count)
        if "base_loss" in summary:  # retrainings
            return f"{summary['subsets']:,} retrainings"
        if isinstance(summary.get("held_out"), dict):  # a pre-training
            words = {"token_loss": "token loss", "property_error": "property error", "label_loss": "label loss"}
            found = summary["held_out"]
            return ", ".join(f"{word} {number(found[name])}" for name, word in words.items() if name in found)
        if "perplexity" in summary:
            more = f", property error {number(summary['property_error'])}" if "property_error" in summary else ""
            return f"perplexity {number(summary['perplexity'])}{more}"
        if "property_error" in summary:
            return f"property error {number(summary['property_error'])}"
        if "helpful" in summary:
            solved = "" if summary.get("converged", True) else ", not converged"
            return f"{summary['helpful']:,} help, {summary['harmful']:,} harm{solved}"
        for name in ("rows", "n", "molecules"):
            if isinstance(summary.get(name), int):
                return f"{summary[name]:,} molecules"
    except (KeyError, IndexError, TypeError, ValueError, StopIteration):
        pass
    return ""
