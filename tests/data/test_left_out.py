"""A table of which much was left out says so, and so does every part of it."""

import numpy as np
import pytest

from core.data.left_out import describe_left_out
from core.engine.report import Report
from core.experiments import Load, Split, import_files


def load(tmp_path, lines: list[str]):
    path = tmp_path / "mine.csv"
    path.write_text("smiles,y\n" + "\n".join(lines) + "\n")
    spec = import_files(Load(f"file:{path}", smiles="smiles", targets=("y",)), tmp_path / "files")
    return spec, spec.make(Report(files=tmp_path / "files"))


@pytest.mark.parametrize(("wrong", "alarming"), [(0, False), (2, False), (3, True), (20, True)])
def test_more_than_a_tenth_left_out_is_an_alarm(tmp_path, wrong, alarming):
    good = [f"{'C' * (k + 1)}O,{k}" for k in range(20 - min(wrong, 10))]
    _, table = load(tmp_path, [*good, *(["not a molecule,1"] * wrong)])
    counts = table.left_out
    assert (counts["rows"], counts["of"]) == (wrong, len(good) + wrong)
    sentences = describe_left_out(counts)
    assert bool(sentences) == alarming
    if alarming:
        assert (
            f"{wrong} of {len(good) + wrong} rows" in sentences[0]
            and f"({wrong / (len(good) + wrong):.0%})" in sentences[0]
        )


def test_a_part_of_a_table_knows_what_the_whole_lost(tmp_path):
    spec, table = load(tmp_path, [*(f"{'C' * (k + 1)}O,{k}" for k in range(20)), *(["nonsense,1"] * 20)])
    part = Split(spec, valid=0.2, test=0.2).make(Report(), table=table)
    assert part.left_out == table.left_out and describe_left_out(part.take(np.arange(3)).left_out)


def test_merged_rows_are_no_loss(tmp_path):
    _, table = load(tmp_path, [f"{smiles},1" for smiles in ("CCO", "OCC", "C(C)O", "CCN")])
    assert table.left_out == {"rows": 0, "of": 4, "reason": ""} and not describe_left_out(table.left_out)
