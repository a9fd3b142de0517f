"""Cards of molecules."""

import pandas as pd

from pages.widgets import molecules


def test_units_are_given_for_the_numbers_shown():
    table = pd.DataFrame({"label": [1.0], "delta_loss": [0.1]})
    assert molecules.describe_units(table, "mg/L", "(mg/L)²") == "ΔL in (mg/L)²; measured value in mg/L"
    assert molecules.describe_units(table, "", "") == ""
