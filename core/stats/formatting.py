"""Numbers as text, with the decimals that their noise justifies."""

import math
from collections.abc import Sequence

ROUNDING = 1e-6  # times a value: smaller noise is rounding


def format_number(value: float | None, noise: float | None = None) -> str:
    """A number with decimals for two significant digits of its noise, or three of the value."""
    if value is None or not math.isfinite(value):
        return "–"
    noise = _meaningful_noise(value, noise)
    scale = noise or value / 10 or 1.0
    places = min(6, max(0, 1 - math.floor(math.log10(abs(scale)))))
    if noise is None and value and abs(value) < 1e-4:
        return f"{value:.2e}".replace("-", "−")
    return f"{value:,.{places}f}".replace("-", "−")


def format_with_sd(value: float | None, noise: float | None) -> str:
    """`0.82 ± 0.03`, or the number alone if its noise is unknown or zero."""
    return (
        f"{format_number(value, noise)} ± {format_number(noise, noise)}"
        if _meaningful_noise(value, noise)
        else format_number(value)
    )


def format_with_interval(value: float | None, span: Sequence[float] | None) -> str:
    """`0.82 (0.76 to 0.88)`, or the number alone without an interval."""
    return (
        format_number(value)
        if span is None
        else f"{format_number(value, sd_of_interval(span))} ({format_interval(span)})"
    )


def format_interval(span: Sequence[float]) -> str:
    """`0.76 to 0.88`, with decimals by the width of the interval."""
    noise = sd_of_interval(span)
    return f"{format_number(span[0], noise)} to {format_number(span[1], noise)}"


def sd_of_interval(span: Sequence[float] | None) -> float | None:
    """Approximate standard deviation of a 95 % interval."""
    return None if span is None else (span[1] - span[0]) / 4


def _meaningful_noise(value: float | None, noise: float | None) -> float | None:
    """The noise, or None if it is unknown or only rounding."""
    if noise is None or not math.isfinite(noise) or noise <= ROUNDING * abs(value or 0.0):
        return None
    return noise
