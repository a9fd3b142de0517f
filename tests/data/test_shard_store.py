"""Annotating long tables in shards: the output does not depend on the shards, and stopped runs resume."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from core.data import annotated_table
from core.data.annotated_table import Annotation, annotate_table
from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT, Cancelled, Report
from core.engine.spec import BadInput

ROOT = Path(__file__).parents[2]


class FakeModel:
    """Stand-in for a network: ΔL from the length of a molecule and its label; records its inputs.

    `last`: number of calls after which it stops, by an exception or by killing its process. The first shard of the
    table below has no molecule, so the first molecule of the table is used to get the column names.
    """

    def __init__(self, last: int = 1000, kill: bool = False) -> None:
        self.inputs: list[list[str]] = []
        self.last, self.kill = last, kill

    def __call__(self, chunk: Dataset, report: Report) -> dict[str, np.ndarray]:
        if len(self.inputs) == self.last and self.kill:
            os.kill(os.getpid(), 9)
        if len(self.inputs) == self.last:
            raise KeyboardInterrupt
        self.inputs.append(list(chunk.smiles))
        report(0.5, "half of a shard")
        size = np.array([float(len(smiles)) for smiles in chunk.smiles])
        return {"label": chunk.targets[:, 0], "prediction": size / 7, "delta_loss": np.sin(size) - chunk.targets[:, 0]}


def warn_nitrogen(molecules: Any) -> list[tuple[int, str]]:
    return [(index, "it has nitrogen") for index, smiles in enumerate(molecules) if "N" in smiles]


@pytest.fixture(params=["csv", "parquet"])
def table(request: Any, tmp_path: Path) -> Path:
    """31 rows: repeated molecules, unreadable ones (three in a row), missing labels, ids that look like integers."""
    smiles = ["CCO", "OCC", "CCN", "c1ccccc1", "x", "", "CC", "CCCC", "C1CC", "CCO"] * 3 + ["CCCCN"]
    smiles[0:3] = ["no", "molecule", "here"]
    frame = pd.DataFrame({"id": [f"{k:03}" for k in range(31)], "structure": smiles, "prediction": "given"})
    frame["y"] = [None if k % 4 == 0 else k / 8 for k in range(31)]
    frame["count"] = pd.array([None if k > 20 else k for k in range(31)], "Int64")
    path = tmp_path / f"table.{request.param}"
    frame.to_csv(path, index=False) if request.param == "csv" else frame.to_parquet(path)
    return path


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotated_table, "SHARD", 3)


def run(table: Path, out: Path, columns: Any = None, report: Report = SILENT_REPORT, **more: Any) -> dict[str, Any]:
    more = {"check": warn_nitrogen, "product": "abc", "top": 4} | more
    return annotate_table(table, out, Annotation(columns or FakeModel(), ("y",), "structure", ["y"], **more), report)


def hidden_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_output_does_not_depend_on_shard_size(
    table: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, outs = [], []
    for size in (1000, 31, 7, 1):
        monkeypatch.setattr(annotated_table, "SHARD", size)
        outs.append(tmp_path / f"out{size}{suffix}")
        answers.append(run(table, outs[-1]))
        assert hidden_files(tmp_path) == []
    for answer, out in zip(answers, outs, strict=True):
        comparable = {name: value for name, value in answer.items() if "second" not in name and name != "out"}
        assert comparable == {name: answers[0][name] for name in comparable} and answer["molecules_per_second"] > 0
        if suffix == ".csv":
            assert out.read_bytes() == outs[0].read_bytes()
        else:
            assert parquet.read_table(out).equals(parquet.read_table(outs[0]), check_metadata=True)
    assert answers[0]["rows"] == 31 and answers[0]["unusable"] == 12 and answers[0]["resumed_rows"] == 0


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_input_columns_are_unchanged(table: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    run(table, out)
    if suffix == ".csv":
        frame = pd.read_csv(out, dtype=str, keep_default_na=False)
        assert frame["id"].tolist() == [f"{k:03}" for k in range(31)]
        assert frame["count"].tolist() == [str(k) for k in range(21)] + [""] * 10
        assert set(frame["prediction (given)"]) == {"given"}
    else:
        types = {field.name: str(field.type) for field in parquet.read_schema(out)}
        assert types["count"] == ("string" if table.suffix == ".csv" else "int64")
        assert types["id"] == "string" and types["prediction"] == types["delta_loss"] == "double"
    assert list(frame if suffix == ".csv" else types) == [
        *("id", "structure", "prediction (given)", "y", "count"),
        *("label", "prediction", "delta_loss", "caution", "unusable"),
    ]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("how", ["interrupt", "cancel", "failure"])
def test_stopped_run_resumes(table: Path, tmp_path: Path, suffix: str, how: str) -> None:
    whole, out, messages = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}", []
    answer = run(table, whole)

    def tell(fraction: float, message: str, numbers: dict) -> None:
        messages.append((fraction, message))
        if how != "interrupt" and message == "16 of 31 rows":
            raise Cancelled if how == "cancel" else OSError("the disk is gone")

    stopping_model = FakeModel(5) if how == "interrupt" else FakeModel()
    with pytest.raises((KeyboardInterrupt, Cancelled, OSError)):
        run(table, out, stopping_model, Report(tell=tell))
    assert hidden_files(tmp_path) == [f".out{suffix}.shards"] and not out.exists()
    (tmp_path / f".out{suffix}.shards" / "draft").write_text("half a sha")
    messages.clear()
    resumed_model = FakeModel()
    resumed = run(
        table, out, resumed_model, Report(tell=lambda fraction, message, numbers: messages.append((fraction, message)))
    )
    assert out.read_bytes() == whole.read_bytes() and hidden_files(tmp_path) == []
    assert resumed["resumed_rows"] == 15 and len(resumed_model.inputs) == 6
    assert any("resuming after row 15 of 31" in message for _, message in messages)
    fractions = [fraction for fraction, _ in messages]
    assert fractions == sorted(fractions) and fractions[-1] == pytest.approx(1)
    ends = ("most_helpful", "most_harmful", "rows", "unusable", "with_caution", "unlabelled", "columns")
    assert {name: resumed[name] for name in ends} == {name: answer[name] for name in ends}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_killed_run_resumes(table: Path, tmp_path: Path, suffix: str) -> None:
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    run(table, whole)
    code = (
        "import sys; from pathlib import Path; from core.data import annotated_table\n"
        "from tests.data.test_shard_store import FakeModel, run\n"
        "annotated_table.SHARD = 3; run(Path(sys.argv[1]), Path(sys.argv[2]), FakeModel(6, kill=True))"
    )
    process = subprocess.run([sys.executable, "-c", code, str(table), str(out)], cwd=ROOT, check=False)
    assert process.returncode == -9 and not out.exists()
    resumed_model = FakeModel()
    assert run(table, out, resumed_model)["resumed_rows"] == 18
    assert len(resumed_model.inputs) == 5 and out.read_bytes() == whole.read_bytes() and hidden_files(tmp_path) == []


def test_run_stopped_while_writing_computes_nothing_again(table: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    run(table, whole)

    def tell(fraction: float, message: str, numbers: dict) -> None:
        if message.startswith("writing out.csv: 9 of 31"):
            raise Cancelled

    with pytest.raises(Cancelled):
        run(table, out, report=Report(tell=tell))
    resumed_model = FakeModel()
    answer = run(table, out, resumed_model)
    assert resumed_model.inputs == [] and out.read_bytes() == whole.read_bytes()
    assert answer["resumed_rows"] == 31 and answer["molecules_per_second"] == 0


@pytest.mark.parametrize("what", ["key", "table", "size", "revision", "note"])
def test_shards_of_other_work_are_replaced(
    table: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, messages = tmp_path / "out.csv", []
    with pytest.raises(KeyboardInterrupt):
        run(table, out, FakeModel(3))
    if what == "table":
        frame = pd.read_csv(table) if table.suffix == ".csv" else pd.read_parquet(table)
        frame.loc[1, "structure"] = "CCCCCO"
        frame.to_csv(table, index=False) if table.suffix == ".csv" else frame.to_parquet(table)
    elif what == "note":
        (tmp_path / ".out.csv.shards" / "work.json").write_text("{")
    elif what != "key":
        monkeypatch.setattr(annotated_table, {"size": "SHARD", "revision": "REVISION"}[what], 99)
    product = {"product": "other"} if what == "key" else {}
    model, report = FakeModel(), Report(tell=lambda fraction, message, numbers: messages.append((message, numbers)))
    answer = run(table, out, model, report, **product)
    assert answer["resumed_rows"] == 0 and sum(map(len, model.inputs)) >= answer["rows"] - answer["unusable"]
    (notice,) = [message for message, numbers in messages if numbers.get("stays")]
    assert ".out.csv.shards belongs to other work" in notice and "replaced" in notice
    run(table, tmp_path / "whole.csv", **product)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes() and hidden_files(tmp_path) == []


def test_truncated_shard_is_computed_again(table: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out.csv", tmp_path / "whole.csv"
    run(table, whole)
    with pytest.raises(KeyboardInterrupt):
        run(table, out, FakeModel(6))
    shard = tmp_path / ".out.csv.shards" / "000004.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    assert run(table, out)["resumed_rows"] == 12 and out.read_bytes() == whole.read_bytes()


def test_foreign_files_are_not_removed(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".out.csv.shards"
    folder.mkdir()
    (folder / "thesis.docx").write_text("mine")
    with pytest.raises(BadInput, match=r"holds 'thesis.docx', which is no file of a run; move it"):
        run(table, tmp_path / "out.csv")
    assert (folder / "thesis.docx").read_text() == "mine"
    (folder / "thesis.docx").unlink()
    with filelock.FileLock(folder / "lock"), pytest.raises(BadInput, match="another process is writing"):
        run(table, tmp_path / "out.csv")
    assert run(table, tmp_path / "out.csv")["rows"] == 31


def test_failure_before_first_shard_leaves_no_files(table: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        run(table, tmp_path / "out.csv", FakeModel(0))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("top", [0, 1, 4, 100])
def test_extremes_are_those_of_the_full_file(table: Path, tmp_path: Path, top: int) -> None:
    out = tmp_path / "out.parquet"
    answer = run(table, out, top=top)
    frame = pd.read_parquet(out).assign(row=range(1, 32)).dropna(subset="delta_loss")
    for name, ascending in (("most_helpful", True), ("most_harmful", False)):
        order = frame.sort_values(["delta_loss", "row"], ascending=[ascending, True]).head(top)
        assert answer[name] == [
            {"row": row, "smiles": smiles, "delta_loss": delta}
            for row, smiles, delta in zip(order["row"], order["structure"], order["delta_loss"], strict=True)
        ]
    json.dumps(answer, allow_nan=False)


def test_equal_scores_list_the_earlier_row(table: Path, tmp_path: Path) -> None:
    def same(chunk: Dataset, report: Report) -> dict[str, np.ndarray]:
        return {"delta_loss": np.where([smiles == "CCN" for smiles in chunk.smiles], np.nan, 0.5)}

    answer = run(table, tmp_path / "out.csv", same, top=3)
    for name in ("most_helpful", "most_harmful"):
        assert [(one["row"], one["smiles"]) for one in answer[name]] == [(4, "c1ccccc1"), (7, "CC"), (8, "CCCC")]


def test_counts_of_rows(table: Path, tmp_path: Path) -> None:
    answer = run(table, tmp_path / "out.parquet")
    frame = pd.read_parquet(tmp_path / "out.parquet")
    usable = frame["unusable"] == ""
    assert answer["unusable"] == int((~usable).sum()) and answer["rows"] == 31
    assert answer["with_caution"] == int((frame["caution"] == "it has nitrogen").sum()) > 0
    assert answer["unlabelled"] == int((usable & pd.to_numeric(frame["y"], errors="coerce").isna()).sum()) > 0
    assert frame["prediction"].notna().equals(usable) and frame["delta_loss"].isna().sum() == 31 - int(
        (usable & frame["label"].notna()).sum()
    )


def test_labels_are_checked_before_computing(table: Path, tmp_path: Path) -> None:
    def refuse(labelled: Dataset) -> None:
        if (labelled.targets > most).any():
            raise BadInput("a label is too large")

    most, columns = 3.2, FakeModel()
    with pytest.raises(BadInput, match="too large"):
        run(table, tmp_path / "out.csv", columns, check_labels=refuse)
    assert columns.inputs == []
    most = 3.3  # labels of rows without a molecule are no labels
    frame = pd.read_csv(table) if table.suffix == ".csv" else pd.read_parquet(table)
    frame.loc[frame["y"] > most, "structure"] = "no molecule"
    frame.to_csv(table, index=False) if table.suffix == ".csv" else frame.to_parquet(table)
    assert run(table, tmp_path / "out.csv", columns, check_labels=refuse)["rows"] == 31
