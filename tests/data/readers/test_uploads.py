"""Uploads with hostile or useless names and contents."""

from pathlib import Path

import pytest

from core.data.readers import import_file, peek_table
from core.engine.spec import BadInput
from core.experiments import Load

GOOD = "smiles,y\nCCO,1\nCCC,2\n"


@pytest.mark.parametrize(
    ("name", "stored_name"),
    [
        ("../../x.csv", "x.csv"),
        ("/etc/x.csv", "x.csv"),
        ("..\\..\\x.csv", "x.csv"),
        ("a\nb\x1b[2J.csv", "a_b_[2J.csv"),
        ("\udcff.csv", "_.csv"),
        ("a\0.csv", "a_.csv"),
        ("caf\u00e9 1.csv", "caf\u00e9 1.csv"),
    ],
)
def test_hostile_names_are_sanitised(tmp_path: Path, name: str, stored_name: str) -> None:
    files = tmp_path / "cache" / "files"
    bare, digest = import_file(GOOD.encode(), name, files)
    assert bare == stored_name
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [
        Path("cache/files") / f"{digest}.csv"
    ]
    spec = Load(f"file:{bare}", digest=digest)
    assert len(spec.key) == 16 and spec.title.isprintable()
    assert peek_table(files / f"{digest}.csv").frame.shape == (2, 2)


def test_long_name_is_shortened_and_keeps_its_suffix(tmp_path: Path) -> None:
    bare, _ = import_file(GOOD.encode(), "x" * 100_000 + ".csv", tmp_path)
    assert len(bare) == 100 and bare.endswith(".csv")


@pytest.mark.parametrize("name", ["", ".csv", "/", "x.csv/..", "x", "x.csv\n", "x.exe", "x.tar.gz"])
def test_name_without_supported_suffix_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput) as error:
        import_file(GOOD.encode(), name, tmp_path / "files")
    assert "\n" not in str(error.value) and not (tmp_path / "files").exists()


def test_empty_upload_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'x.csv' is empty \(0 bytes\)"):
        import_file(b"", "x.csv", tmp_path / "files")
    assert not (tmp_path / "files").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xff\xfe", "is empty"),
        (b"smiles," + b"y" * 2_000_000, "no header"),
        (b"\0" * 99, "not text"),
    ],
)
def test_preview_refuses_the_same_files(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=words) as error:
        peek_table(path)
    assert "\n" not in str(error.value)


def test_preview_truncated_inside_a_quoted_cell(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    note = "line\n" * 40
    path.write_text("smiles,y,note\n" + "".join(f'CCO,{k},"{note}"\n' for k in range(6000)))
    assert path.stat().st_size > 1_000_000
    assert len(peek_table(path).frame) == 20
