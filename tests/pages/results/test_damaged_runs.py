"""Runs with a changed byte: a line and exit status 2 on the command line, an error box on their page."""

import json
from pathlib import Path

import pytest

from core.cli.parser import main
from core.engine.store import Store
from tests.earlier_runs import forget_digests
from tests.pages import filled_store
from tests.pages.conftest import page_text, without_exception


def flip(path: Path, share: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 16
    path.write_bytes(data)


def test_a_changed_byte_in_any_file_of_any_product_is_one_line(copied, capsys):
    folders = [entry.folder for entry in Store(copied).entries()]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len({folder.parent.name for folder in folders}) >= 6 and len(files) >= 40
    for number, path in enumerate(files):
        whole = path.read_bytes()
        key = path.relative_to(copied).parts[1]
        flip(path, (number % 10) / 10)
        assert main(["show", key, "--cache", str(copied), "--json"]) == 2, path
        answer = capsys.readouterr()
        assert answer.out == "" and len(answer.err.splitlines()) == 1, path
        assert f"the run {key} is damaged" in answer.err and path.name in answer.err and "restore it" in answer.err
        path.write_bytes(whole)
    for folder in folders:
        assert main(["show", folder.name, "--cache", str(copied), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["integrity"] == "checked"


@pytest.mark.parametrize(
    ("page", "spec", "name"),
    [
        ("train", filled_store.FIT, "predictor/note.json"),
        ("train", filled_store.BASELINE, "record.json"),
        ("influence", filled_store.SCORES, "scores.parquet"),
        ("predict", filled_store.PREDICT, "table.parquet"),
        ("compare", filled_store.STUDY, "record.json"),
        ("methods", filled_store.METHODS, "spec.json"),
        ("data", filled_store.TABLE, "table.parquet"),
    ],
)
def test_a_page_names_the_damaged_file(open_page, copied, page, spec, name):
    folder = Store(copied).folder(spec)
    path = folder / name if (folder / name).is_file() else next(folder.glob("*.parquet"))
    flip(path)
    at = without_exception(open_page(page, run=spec.key))
    boxes = " ".join(box.value for box in (*at.error, *at.warning)).replace("\\", "")
    assert f"{path.name} was changed" in boxes and spec.key in boxes


def test_a_damaged_note_is_named_on_the_page_of_runs(open_page, copied):
    flip(Store(copied).folder(filled_store.FIT) / "made.json")
    at = without_exception(open_page("runs"))
    assert any("made.json" in box.value.replace("\\", "") for box in at.error)


def test_a_run_without_digests_opens_and_is_called_unchecked(open_page, copied, capsys):
    forget_digests(Store(copied).folder(filled_store.FIT))
    without_exception(open_page("train", run=filled_store.FIT.key))
    assert "unchecked" in page_text(open_page("runs", run=filled_store.FIT.key))
    assert main(["list", "--cache", str(copied), "--json"]) == 0
    listed = {entry["key"]: entry["integrity"] for entry in json.loads(capsys.readouterr().out)}
    assert listed.pop(filled_store.FIT.key) == "unchecked" and set(listed.values()) == {"checked"}
    assert main(["list", "--cache", str(copied)]) == 0
    assert next(line for line in capsys.readouterr().out.splitlines() if "unchecked" in line).startswith(
        filled_store.FIT.key
    )
