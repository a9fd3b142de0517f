"""Numbers as people read them: as many places as they deserve."""

import math


def number(value: float | None, noise: float | None = None) -> str:
    """A number with as many places as it deserves: two significant digits of its noise, or three of its own."""
    if value is None or not math.isfinite(value):
        return "–"
    scale = noise if noise and math.isfinite(noise) else value / 10 if value else 1.0
    places = min(6, max(0, 1 - math.floor(math.log10(abs(scale)))))
    if noise is None and value and abs(value) < 1e-4:
        return f"{value:.2e}".replace("-", "−")
    return f"{value:,.{places}f}".replace("-", "−")


def beside_noise(value: float | None, noise: float | None) -> str:
    """`0.82 ± 0.03`, or the number alone where nothing is known of its noise."""
    return f"{number(value, noise)} ± {number(noise, noise)}" if noise else number(value)
