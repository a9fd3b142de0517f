"""A model applied to a file: every row is written in order, with a prediction or a reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.cli.progress_bar import ProgressBar
from core.data import annotated_table
from core.data.annotated_table import Annotation, annotate_table
from core.data.dataset import Dataset
from core.engine.make import make
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import FineTune, Influence, Load, import_files, split_table
from core.models.backbones import Untrained
from core.models.predictor import Predictor
from tests.cli.test_bad_input import ask, check_refused


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
    monkeypatch.setattr(annotated_table, "SHARD", 2)
    out = tmp_path / f"out{suffix}"
    answer = annotate_table(messy, out, Annotation(lengths, ("y",), labels=["y"]), Report())
    rows = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert answer["rows"] == 5 and answer["unusable"] == 2
    assert list(rows["name"]) == list("abcde")
    np.testing.assert_equal(rows["length"].to_numpy(float), [3, np.nan, np.nan, 3, 8])
    np.testing.assert_equal(rows["label"].to_numpy(float), [1, np.nan, np.nan, np.nan, 5])
    assert list(rows["unusable"].fillna("").str.len() > 0) == [False, True, True, False, False]


def test_missing_column_and_bad_suffix_are_refused(messy: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no column of SMILES named 'structure'; the table has name, smiles, y"):
        annotate_table(messy, tmp_path / "out.csv", Annotation(lengths, ("y",), "structure"), Report())
    with pytest.raises(BadInput, match=r"must end in \.csv or \.parquet, got 'out\.xlsx'"):
        annotate_table(messy, tmp_path / "out.xlsx", Annotation(lengths, ("y",)), Report())
    assert not (tmp_path / "out.csv").exists()


@pytest.fixture(scope="module")
def cache_and_keys(tmp_path_factory: pytest.TempPathFactory, alcohols: list) -> tuple[Path, dict[str, str]]:
    """A cache with a model and scores, and their keys by command."""
    root = tmp_path_factory.mktemp("apply")
    (root / "size.csv").write_text("smiles,size\n" + "".join(f"{smiles},{size}\n" for smiles, size in alcohols))
    rows = split_table(Load(f"file:{root / 'size.csv'}"), seed=0, train=20, valid=10, pool=15, test=None)
    train, valid, test, pool = rows
    settings = {"steps": 6, "evaluations": 2, "batch_size": 8, "features": "none"}
    fit = FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), **settings)
    store = Store(root / "cache")
    scores = import_files(Influence(fit=fit, pool=pool, target=valid), store.files)
    make(scores, store, SILENT_REPORT)
    return root / "cache", {"predict": scores.fit.key, "score": scores.key}


def test_a_file_without_intervals_says_why(cache_and_keys: Any, capsys: Any, tmp_path: Path, messy: Path) -> None:
    cache, keys = cache_and_keys
    result = ask(capsys, cache, "predict", keys["predict"], str(messy), "--out", str(tmp_path / "out.csv"))
    reason = "no interval: the validation set has 10 labels, an interval of level 0.9 needs 20"
    assert result.answer["undefined"] == {"size_low": reason, "size_high": reason}
    rows = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    has_molecule = rows["unusable"] == ""
    assert list(rows["size_low"]) == [""] * 5 and has_molecule.sum() == 3
    assert list(rows["undefined"]) == [reason if there else "" for there in has_molecule]
    assert not any("no interval" in caution for caution in rows["caution"])


@pytest.mark.parametrize("command", ["predict", "score"])
def test_each_molecule_is_predicted_once_per_shard(
    cache_and_keys: Any, capsys: Any, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, keys = cache_and_keys
    names = ["CCO", "CCCN", "OCC", "CC", "C(C)O", "CCCN", "no", "CCO", "CC", "CC"]
    (tmp_path / "t.csv").write_text("smiles,size\n" + "".join(f"{name},{k}\n" for k, name in enumerate(names)))
    encoded: list[str] = []
    encode = Predictor.encode
    monkeypatch.setattr(
        Predictor, "encode", lambda self, smiles, *a: encoded.extend(smiles) or encode(self, smiles, *a)
    )
    for size, times in ((1000, ["CC", "CCCN", "CCO"]), (5, ["CC", "CC", "CCCN", "CCCN", "CCO", "CCO"])):
        monkeypatch.setattr(annotated_table, "SHARD", size)
        encoded.clear()
        arguments = (command, keys[command], str(tmp_path / "t.csv"), "--out", str(tmp_path / "out.csv"))
        reply = ask(capsys, cache, *arguments)
        assert reply.status == 0 and sorted(encoded) == times
        output = pd.read_csv(tmp_path / "out.csv")
        column = "size_predicted" if command == "predict" else "prediction"
        predicted = dict(zip(names[:4], output[column], strict=False))
        for name, value in zip(names, output[column], strict=True):
            molecule = {"OCC": "CCO", "C(C)O": "CCO"}.get(name, name)
            np.testing.assert_allclose(value, predicted.get(molecule, np.nan), rtol=1e-4)
        if command == "score":  # duplicates have different labels
            np.testing.assert_allclose(
                output["residual"], output["prediction"] - output["size"].where(output.index != 6)
            )
            assert output["influence"][0] != output["influence"][2]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_same_command_resumes_after_ctrl_c(
    cache_and_keys: Any, capsys: Any, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch, alcohols: list
) -> None:
    cache, keys = cache_and_keys
    monkeypatch.setattr(annotated_table, "SHARD", 7)
    table, out, expected = tmp_path / "t.csv", tmp_path / f"out{suffix}", tmp_path / f"whole{suffix}"
    table.write_text("smiles,size\n" + "".join(f"{smiles},{size}\n" for smiles, size in alcohols))
    arguments = ("score", keys["score"], str(table), "--top", "3", "--out")
    answer = ask(capsys, cache, *arguments, str(expected)).answer

    def pressed(bar: Any, fraction: float, message: str, numbers: dict) -> None:
        if numbers.get("rows") == 28 and "of 60 rows" in message:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "__call__", pressed)
        reply = ask(capsys, cache, *arguments, str(out))
    assert reply.status == 1 and not out.exists() and (tmp_path / f".out{suffix}.shards").is_dir()
    assert reply.line == "molsway: stopped; run the same command again to resume from the last checkpoint\n"
    reply = ask(capsys, cache, *arguments, str(out))
    assert reply.answer["resumed_rows"] == 21 and "resuming after row 21 of 60" in reply.line
    assert out.read_bytes() == expected.read_bytes() and not (tmp_path / f".out{suffix}.shards").exists()
    assert len(answer["most_helpful"]) == len(answer["most_harmful"]) == 3
    for name in ("most_helpful", "most_harmful", "rows", "unusable", "unlabelled", "with_caution"):
        assert reply.answer[name] == answer[name]
    assert answer["rows"] == 60 and answer["unlabelled"] == 0 and answer["seconds"] > 0
    check_refused(ask(capsys, cache, *arguments[:4], "-1", "--out", str(out)), "--top wants", "0 or more, got -1")
