"""Saved runs applied to tables that do not suit them: nothing of the user's is lost, nothing is made up."""

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
from tests.cli.test_bad_input import Result, ask, check_refused


@pytest.fixture(scope="module")
def scored_cache(tmp_path_factory: pytest.TempPathFactory, alcohols: list) -> tuple[Path, str, str]:
    """A cache, the key of a binary fit in it, and the key of its scores."""
    from core.engine.make import make
    from core.engine.report import SILENT_REPORT
    from core.engine.store import Store
    from core.experiments import import_files

    root = tmp_path_factory.mktemp("scored")
    path = root / "acid.csv"
    path.write_text("smiles,oxygen\n" + "".join(f"{smiles},{int('O' in smiles)}\n" for smiles, _ in alcohols))
    train, valid, test, pool = split_table(Load(f"file:{path}"), seed=0, train=20, valid=10, pool=15, test=None)
    fit = FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), steps=6, evaluations=2, batch_size=8)
    store = Store(root / "cache")
    scores = import_files(Influence(fit=fit, pool=pool, target=valid), store.files)
    make(scores, store, SILENT_REPORT)
    return root / "cache", scores.fit.key, scores.key


@pytest.fixture
def apply(capsys: pytest.CaptureFixture[str], scored_cache: tuple[Path, str, str], tmp_path: Path) -> Any:
    cache, fit, scores = scored_cache

    def apply(command: str, content: str, *more: str, out: Path | None = None) -> Result:
        (tmp_path / "table.csv").write_text(content)
        key = fit if command == "predict" else scores
        arguments = (command, key, str(tmp_path / "table.csv"), "--out", str(out or tmp_path / "out.csv"), *more)
        return ask(capsys, cache, *arguments)

    return apply


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
def test_an_unsuitable_table_is_refused(
    apply: Any, tmp_path: Path, command: str, content: str, more: tuple, words: tuple
) -> None:
    check_refused(apply(command, content, *more), *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv"]


def test_an_output_that_cannot_be_written_is_refused_before_the_work(apply: Any, tmp_path: Path) -> None:
    good = "smiles\nCCO\nCCC\n"
    (tmp_path / "folder.csv").mkdir()
    check_refused(
        apply("predict", good, out=tmp_path / "nowhere" / "out.csv"),
        "--out cannot be written",
        "parent folder is missing",
    )
    check_refused(apply("predict", good, out=tmp_path / "folder.csv"), "--out cannot be written", "is a folder")
    check_refused(apply("predict", good, out=tmp_path / "out.xlsx"), "must end in .csv or .parquet")
    out = tmp_path / "out.csv"
    out.write_text("mine")
    check_refused(apply("predict", "a,b\n1,2\n"), "no column of SMILES")
    assert out.read_text() == "mine"
    assert apply("predict", good).status == 0 and len(pd.read_csv(out)) == 2


def test_columns_of_the_table_with_the_names_of_ours_are_renamed(apply: Any, tmp_path: Path) -> None:
    """A table that was scored before has these columns; its old values may not stay under their names."""
    content = "smiles,oxygen,prediction,delta_loss\nCCO,1,7,7\nCCC,0,7,7\n"
    assert apply("score", content).status == 0
    scored = pd.read_csv(tmp_path / "out.csv")
    assert (scored["prediction"] < 1).all() and (scored["delta_loss"].abs() < 7).all()
    assert list(scored["prediction (given)"]) == [7, 7] and list(scored["delta_loss (given)"]) == [7, 7]
    assert apply("score", (tmp_path / "out.csv").read_text()).status == 0
    rescored = pd.read_csv(tmp_path / "out.csv")
    assert rescored.columns.is_unique
    np.testing.assert_allclose(rescored["delta_loss"], scored["delta_loss"])


def test_a_shard_without_molecules_leaves_the_columns_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotated_table, "SHARD", 2)
    (tmp_path / "t.csv").write_text("smiles,note\nxx,a\nyy,b\nCCO,c\nzz,d\nqq,e\nCC,f\n")

    def lengths(chunk: Any, report: Any) -> dict[str, np.ndarray]:
        return {"length": np.array([float(len(smiles)) for smiles in chunk.smiles])}

    for suffix, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        out = tmp_path / f"out{suffix}"
        annotate_table(tmp_path / "t.csv", out, Annotation(lengths), SILENT_REPORT)
        scored = read(out)
        assert list(scored["note"]) == list("abcdef")
        np.testing.assert_equal(scored["length"].to_numpy(float), [np.nan, np.nan, 3, np.nan, np.nan, 2])


@pytest.mark.parametrize("command", ["predict", "score"])
def test_a_molecule_that_the_backbone_reads_only_in_part_has_a_caution(
    apply: Any, tmp_path: Path, command: str
) -> None:
    result = apply(command, "smiles,oxygen\nCCO,1\n[U]CC,0\n" + "C" * 300 + ",0\n")
    caution = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)["caution"]
    assert (result.status, result.answer["unusable"], result.answer["with_caution"]) == (0, 0, (caution != "").sum())
    assert "[U]" not in caution[0] and "[U]" in caution[1] and "302 tokens" in caution[2]
    assert ("300 heavy atoms, training set" in caution[2]) == (command == "predict")
