"""A number has the places that its noise leaves."""

import pytest

from core.numerals import beside_noise


@pytest.mark.parametrize(
    ("value", "noise", "shown"),
    [(0.14712, 0.0089, "0.1471 ± 0.0089"), (12345.6, 210.0, "12,346 ± 210"), (0.303, None, "0.303"),
     (-0.5, 0.0, "−0.500"), (float("nan"), None, "–"), (None, None, "–"), (0.0, None, "0.0"), (2e-6, None, "2.00e−06"),
     (0.669077, 1.4e-16, "0.669")],
)  # fmt: skip
def test_a_number_has_the_places_that_its_noise_leaves(value, noise, shown):
    assert beside_noise(value, noise) == shown
