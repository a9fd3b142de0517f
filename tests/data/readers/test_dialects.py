"""Tables of every dialect, written from known numbers: what is read is equal, or asked, or refused; never another."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.engine.report import Report
from core.engine.spec import BadInput
from core.experiments import Load
from core.experiments.data.load import import_files

GROUPS = {"english": ("", ",", " ", "'"), "european": ("", ".", " ", "\N{NO-BREAK SPACE}")}
DELIMITERS = {"english": (",", ";", "\t", "|"), "european": (";", "\t", "|")}
PREAMBLES = ("", "# made by hand\n", "A table of values\n\n", "\n")


@st.composite
def dialects(draw: st.DrawFn) -> tuple[list[float], str, str]:
    """Numbers, and a table that holds them, as text and in an encoding."""
    locale = draw(st.sampled_from(("english", "european")))
    decimal, group = "." if locale == "english" else ",", draw(st.sampled_from(GROUPS[locale]))
    delimiter, decimals = draw(st.sampled_from(DELIMITERS[locale])), draw(st.integers(0, 4))
    scale = draw(st.sampled_from((30, 3000, 3_000_000)))
    units = draw(st.lists(st.integers(1, scale * 10**decimals), min_size=6, max_size=12, unique=True))
    values = [draw(st.sampled_from((1, -1))) * unit / 10**decimals for unit in units]
    trim = draw(st.booleans())
    rows = []
    for length, value in enumerate(values, 1):
        whole, _, fraction = f"{abs(value):,.{decimals}f}".partition(".")
        fraction = fraction.rstrip("0") if trim else fraction
        text = "-" * (value < 0) + whole.replace(",", group) + (decimal + fraction if fraction else "")
        rows.append(f"{'C' * length}O{delimiter}" + (f'"{text}"' if delimiter in text else text))
    preamble = draw(st.sampled_from(PREAMBLES)) + draw(st.sampled_from(("", f"sep={delimiter}\n")))
    text = preamble + "\n".join([f"smiles{delimiter}y", *rows]) + "\n" * draw(st.integers(0, 2))
    newline = draw(st.sampled_from(("\n", "\r\n")))
    return values, text.replace("\n", newline), draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "cp1252")))


@settings(max_examples=150, deadline=None)
@given(dialects())
def test_numbers_are_read_as_they_were_written(dialect: tuple[list[float], str, str]) -> None:
    values, text, encoding = dialect
    with TemporaryDirectory() as folder:
        path, files = Path(folder) / "table.csv", Path(folder) / "files"
        path.write_bytes(text.encode(encoding))
        try:
            table = import_files(Load(f"file:{path}", targets=("y",)), files).make(Report(files=files))
        except BadInput:  # asked or refused
            return
    labels = np.full(len(values), np.nan)
    labels[table.columns["row"] - 1] = table.targets[:, 0]
    if {"classes of 'y'"} & {one["subject"] for one in table.provenance["reading"]}:
        return
    np.testing.assert_allclose(labels, values, rtol=1e-12)
