"""Decimals of numbers follow their noise."""

import pytest

from core.stats.formatting import format_interval, format_with_interval, format_with_sd


@pytest.mark.parametrize(
    ("value", "noise", "expected"),
    [(0.14712, 0.0089, "0.1471 ± 0.0089"), (12345.6, 210.0, "12,346 ± 210"), (0.303, None, "0.303"),
     (-0.5, 0.0, "−0.500"), (float("nan"), None, "–"), (None, None, "–"), (0.0, None, "0.0"), (2e-6, None, "2.00e−06"),
     (0.669077, 1.4e-16, "0.669")],
)  # fmt: skip
def test_decimals_follow_the_noise(value, noise, expected):
    assert format_with_sd(value, noise) == expected


def test_decimals_follow_the_interval_width():
    assert format_with_interval(0.61234, (0.5512, 0.6612)) == "0.612 (0.551 to 0.661)"
    assert (
        format_with_interval(1.0, (-0.3, 1.7)) == "1.00 (−0.30 to 1.70)"
        and format_interval((2.0, 2.0)) == "2.00 to 2.00"
    )
    assert format_with_interval(0.61234, None) == "0.612" and format_with_interval(None, None) == "–"
