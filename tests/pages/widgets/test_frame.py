"""Exports of the frame."""

import pandas as pd

from pages.widgets import frame


def test_exported_text_cannot_start_a_formula():
    table = pd.DataFrame({"=x": ["=1+1", "-", "@a", "+cmd", "C=C", "\t=1"], "value": [-1.5, 0, 1, 2, 3, 4]})
    rows = frame.to_csv(table, "made by hand").decode().splitlines()
    assert rows[0] == "# made by hand" and rows[1] == "'=x,value"
    assert [row.rsplit(",", 1)[0].strip('"') for row in rows[2:]] == ["'=1+1", "-", "'@a", "'+cmd", "C=C", "'\t=1"]
    assert rows[2].endswith(",-1.5")
