"""A finished fit or finished scores on tables that do not suit them: nothing of the user's is lost or made up."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.data import annotated_table
from core.data.annotated_table import Annotation, annotate_table
from core.engine.report import SILENT_REPORT
from core.experiments import FineTune, Influence, Load, split_table
from core.models.backbones import Untrained
from tests.cli.test_bad_input import Said, ask, check_refused


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, alcohols: list) -> tuple[Path, str, str]:
    """A cache, the key of a fit of a binary task in it, and the key of its scores."""
    from core.engine.make import make
    from core.engine.report import SILENT_REPORT
    from core.engine.store import Store
    from core.experiments import import_files

    root = tmp_path_factory.mktemp("made")
    path = root / "acid.csv"
    path.write_text("smiles,oxygen\n" + "".join(f"{smiles},{int('O' in smiles)}\n" for smiles, _ in alcohols))
    train, valid, test, pool = split_table(Load(f"file:{path}"), seed=0, train=20, valid=10, pool=15, test=None)
    fit = FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), steps=6, evaluations=2, batch_size=8)
    store = Store(root / "cache")
    scores = import_files(Influence(fit=fit, pool=pool, target=valid), store.files)
    make(scores, store, SILENT_REPORT)
    return root / "cache", scores.fit.key, scores.key


@pytest.fixture
def use(capsys: pytest.CaptureFixture[str], made: tuple[Path, str, str], tmp_path: Path) -> Any:
    cache, fit, scores = made

    def use(command: str, content: str, *more: str, out: Path | None = None) -> Said:
        (tmp_path / "table.csv").write_text(content)
        key = fit if command == "predict" else scores
        arguments = (command, key, str(tmp_path / "table.csv"), "--out", str(out or tmp_path / "out.csv"), *more)
        return ask(capsys, cache, *arguments)

    return use


@pytest.mark.parametrize(
    ("command", "content", "more", "words"),
    [
        ("predict", "", (), ("'table.csv' is empty",)),
        ("predict", "smiles,y\n", (), ("has a header and no rows",)),
        ("predict", "a,b\n1,2\n", (), ("no column of SMILES was found", "a, b", "--smiles")),
        ("predict", "smiles,b\nCC,2\n", ("--smiles", "s"), ("no column of SMILES named 's'", "smiles, b")),
        ("predict", "smiles,b\nCC,ethane\nCCC,x\n", ("--smiles", "b"), ("none of 2 rows has a molecule", "row 1")),
        ("score", "smiles,b\nCC,2\n", (), ("no column 'oxygen' for the labels", "smiles, b", "--labels")),
        ("score", "smiles,oxygen\nCC,2.5\nCO,1\n", (), ("labels of 'oxygen' other than 0 and 1", "binary")),
    ],
)
def test_a_table_that_does_not_suit(
    use: Any, tmp_path: Path, command: str, content: str, more: tuple, words: tuple
) -> None:
    check_refused(use(command, content, *more), *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv"]


def test_a_place_that_cannot_be_written_is_said_before_the_work(use: Any, tmp_path: Path) -> None:
    good = "smiles\nCCO\nCCC\n"
    (tmp_path / "folder.csv").mkdir()
    check_refused(use("predict", good, out=tmp_path / "nowhere" / "out.csv"), "--out cannot be written", "is not there")
    check_refused(use("predict", good, out=tmp_path / "folder.csv"), "--out cannot be written", "is a folder")
    check_refused(use("predict", good, out=tmp_path / "out.xlsx"), "ends in .csv or .parquet")
    out = tmp_path / "out.csv"
    out.write_text("mine")
    check_refused(use("predict", "a,b\n1,2\n"), "no column of SMILES")
    assert out.read_text() == "mine"
    assert use("predict", good).status == 0 and len(pd.read_csv(out)) == 2


def test_scores_never_pass_off_a_column_of_the_table_as_theirs(use: Any, tmp_path: Path) -> None:
    """A table that was scored before has these columns already: the old numbers may not stay under their names."""
    content = "smiles,oxygen,prediction,delta_loss\nCCO,1,7,7\nCCC,0,7,7\n"
    assert use("score", content).status == 0
    found = pd.read_csv(tmp_path / "out.csv")
    assert (found["prediction"] < 1).all() and (found["delta_loss"].abs() < 7).all()
    assert list(found["prediction (given)"]) == [7, 7] and list(found["delta_loss (given)"]) == [7, 7]
    assert use("score", (tmp_path / "out.csv").read_text()).status == 0
    again = pd.read_csv(tmp_path / "out.csv")
    assert again.columns.is_unique
    np.testing.assert_allclose(again["delta_loss"], found["delta_loss"])


def test_a_stretch_of_rows_without_a_molecule_moves_no_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotated_table, "SHARD", 2)
    (tmp_path / "t.csv").write_text("smiles,note\nxx,a\nyy,b\nCCO,c\nzz,d\nqq,e\nCC,f\n")

    def lengths(chunk: Any, report: Any) -> dict[str, np.ndarray]:
        return {"length": np.array([float(len(smiles)) for smiles in chunk.smiles])}

    for suffix, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        out = tmp_path / f"out{suffix}"
        annotate_table(tmp_path / "t.csv", out, Annotation(lengths), SILENT_REPORT)
        found = read(out)
        assert list(found["note"]) == list("abcdef")
        np.testing.assert_equal(found["length"].to_numpy(float), [np.nan, np.nan, 3, np.nan, np.nan, 2])


@pytest.mark.parametrize("command", ["predict", "score"])
def test_a_molecule_the_backbone_cannot_read_whole_is_pointed_out(use: Any, tmp_path: Path, command: str) -> None:
    said = use(command, "smiles,oxygen\nCCO,1\n[U]CC,0\n" + "C" * 300 + ",0\n")
    assert said.status == 0 and (said.answer["unusable"], said.answer["with_caution"]) == (0, 2)
    caution = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)["caution"]
    assert caution[0] == "" and "[U]" in caution[1] and "302 tokens" in caution[2]
