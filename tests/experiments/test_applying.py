"""A finished fit on a file: every row comes back, in order, with a prediction or a reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data import Dataset
from core.experiments import applying
from core.experiments.applying import apply
from core.report import Report
from core.spec import BadInput
from core.tables import read_table


def lengths(chunk: Dataset, report: Report) -> dict[str, np.ndarray]:
    return {"length": np.array([float(len(smiles)) for smiles in chunk.smiles]), "label": chunk.targets[:, 0]}


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    path = tmp_path / "messy.csv"
    path.write_text("name,smiles,y\na,OCC,1\nb,nonsense,2\nc,,3\nd,CCO,text\ne,c1ccccc1,5\n")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_every_row_comes_back_in_order(
    messy: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "CHUNK", 2)
    out = tmp_path / f"out{suffix}"
    answer = apply(read_table(messy), out, lengths, ("y",), "", ["y"], Report())
    found = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert answer["rows"] == 5 and answer["unusable"] == 2
    assert list(found["name"]) == list("abcde")
    np.testing.assert_equal(found["length"].to_numpy(float), [3, np.nan, np.nan, 3, 8])
    np.testing.assert_equal(found["label"].to_numpy(float), [1, np.nan, np.nan, np.nan, 5])
    assert list(found["unusable"].fillna("").str.len() > 0) == [False, True, True, False, False]


def test_what_is_missing_is_named(messy: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no column of SMILES named 'structure'; the table has name, smiles, y"):
        apply(read_table(messy), tmp_path / "out.csv", lengths, ("y",), "structure", None, Report())
    with pytest.raises(BadInput, match=r"ends in \.csv or \.parquet, got 'out\.xlsx'"):
        apply(read_table(messy), tmp_path / "out.xlsx", lengths, ("y",), "", None, Report())
    assert not (tmp_path / "out.csv").exists()
