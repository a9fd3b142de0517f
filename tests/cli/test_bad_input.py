"""Specs and tables that cannot be used: exit status 2, one line on stderr, nothing half made."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core.cli.parser import main
from core.engine.store import Store


class Result(NamedTuple):
    status: int
    answer: Any
    line: str


def ask(capsys: pytest.CaptureFixture[str], cache: Path, *arguments: str) -> Result:
    """Run one command; its exit status, its JSON and its stderr."""
    status = main([*arguments, "--cache", str(cache), "--json"])
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines(keepends=True) if not line.startswith("[")]  # no progress bar
    return Result(status, json.loads(out) if out else None, "".join(lines))


def check_refused(result: Result, *words: str) -> None:
    """Status 2, no answer, and one line with these words."""
    assert result.status == 2 and result.answer is None
    assert result.line.startswith("molsway: ") and len(result.line.splitlines()) == 1, result.line
    assert len(result.line) < 500
    assert all(word in result.line for word in words), result.line


def list_leftovers(cache: Path) -> list[str]:
    """Half-made files: drafts of any kind, and scratch folders."""
    return [str(path) for path in cache.rglob("*") if "draft" in path.name and path.name != "drafts"] + [
        str(path) for folder in ("drafts", "scratch", "trash") for path in (cache / folder).glob("*")
    ]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path) -> Any:
    """Run a spec, as a tree or as text."""

    def run(spec: Any) -> Result:
        path = tmp_path / "spec.json"
        path.write_text(spec if isinstance(spec, str) else json.dumps(spec))
        return ask(capsys, cache, "run", str(path))

    return run


@pytest.fixture
def load_file(run: Any, tmp_path: Path) -> Any:
    """Load a file with this content."""

    def load_file(name: str, content: str | bytes, **fields: Any) -> Result:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return run({"kind": "load", "source": f"file:{path}", **fields})

    return load_file


def archive(name: str) -> bytes:
    """A zip; with `xl/workbook.xml` it counts as a workbook."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, "smiles,y\nC,1\n")
    return buffer.getvalue()


GOOD = "smiles,y\nCCO,1\nCCC,2\n"
FILES = {
    "empty": ("a.csv", "", ("'a.csv' is empty", "needs a table")),
    "blanks": ("a.csv", " \n\n \n", ("'a.csv' is empty", "needs a header line and rows")),
    "a byte-order mark": ("a.csv", b"\xff\xfe", ("'a.csv' is empty",)),
    "header only": ("a.csv", "smiles,y\n", ("'a.csv' has a header and no rows", "at least one molecule")),
    "no header": ("a.csv", "CCO,1\nCCC,2\n", ("begins with data", "put a header line first")),
    "no SMILES": ("a.csv", "name,y\nethanol,1\n", ("no column holds SMILES", "'name', 'y'", "name one in `smiles`")),
    "no readable SMILES": ("a.csv", "smiles,y\nxx,1\n,2\n", ("none of 2 rows is left", "row 1: no molecule", "choose")),
    "mixed delimiters": ("a.csv", "smiles,y\nCCO,1\nCCC;2\n", ("mixed delimiters", "comma in the header", "line 3", "use only one")),
    "uneven lines": ("a.csv", "smiles,y\nCCO,1\nCCC,2,3\n", ("line 3 has 3 cells and the header 2", "quote cells")),
    "open quote": ("a.csv", 'smiles,y\nCCO,1\n"CCC,2\nCC,3\n', ("quote",)),
    "binary": ("a.csv", bytes(range(256)) * 20, ("'a.csv' is not text", "save it as CSV in UTF-8")),
    "endless cell": ("a.csv", "smiles," + "y" * 200_000 + "\nC,1\n", ("a cell has more than 131,072 characters",)),
    "no workbook": ("a.xlsx", archive("xl/workbook.xml"), ("cannot be read as a workbook", "save it again as .xlsx")),
    "old workbook": ("a.xls", b"\xd0\xcf\x11\xe0", ("is a workbook in an unsupported format", "save it as .xlsx")),
    "locked workbook": ("a.xlsx", b"\xd0\xcf\x11\xe0", ("has a password", "save it without a password")),
    "workbook called csv": ("a.csv", archive("xl/workbook.xml"), ("'a.csv' is a workbook", "rename it to .xlsx")),
    "zip": ("a.zip", archive("a.csv"), ("is an archive", "unpack it")),
    "zip called csv": ("a.csv", archive("a.csv"), ("'a.csv' is an archive (.zip)", "unpack it")),
    "no table": ("a.pdf", b"%PDF-1.4", ("is no supported table", ".csv .tsv")),
    "half a gzip": ("a.csv.gz", gzip.compress(GOOD.encode() * 99)[:50], ("cannot be unpacked", "copy it again")),
    "no parquet": ("a.parquet", b"PAR1 and then nothing", ("is no readable Parquet file",)),
    "sdf of nothing": ("a.sdf", "$$$$\n", ("'a.sdf' has no rows", "at least one molecule")),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_table_is_refused(load_file: Any, cache: Path, case: str) -> None:
    assert load_file("good.csv", GOOD).status == 0
    name, content, words = FILES[case]
    check_refused(load_file(name, content), *words)
    assert list_leftovers(cache) == []
    assert len(Store(cache).entries()) == 1 and load_file("good.csv", GOOD).status == 0


FIELDS = {
    "text in the target": ({"targets": ["t"]}, ("column 't' is text in 2 of its 2", "row 1: 'often'", "column of numbers")),
    "no such target": ({"targets": ["z"]}, ("there is no column 'z'", "'smiles', 'y', 't'")),
    "no such SMILES column": ({"smiles": "smile"}, ("no column 'smile'", "did you mean 'smiles'?")),
    "names that do not fit": ({"targets": ["y"], "tasks": ["a", "b"]}, ("1 targets (y) and 2 task names", "one name")),
    "one name for two": ({"targets": ["y", "t"], "tasks": ["a", "a"]}, ("",)),
    "no such duplicate handling": ({"duplicates": "max"}, ("load.duplicates", "'median'", "'max'")),
    "a negative limit": ({"limit": -1}, ("load.limit", "greater than or equal to 0", "got -1")),
    "an unknown field": ({"colour": "red"}, ("load.colour", "is not a field")),
    "a digest that is a path": ({"digest": "../../etc/passwd"}, ("load.digest",)),
}  # fmt: skip


@pytest.mark.parametrize("case", FIELDS)
def test_settings_that_do_not_suit_the_table_are_refused(load_file: Any, cache: Path, case: str) -> None:
    fields, words = FIELDS[case]
    check_refused(load_file("a.csv", "smiles,y,t\nCCO,1,often\nCCC,2,low\n", **fields), *words)
    assert list_leftovers(cache) == [] and Store(cache).entries() == []


def test_unusable_rows_are_listed_and_the_others_loaded(load_file: Any, cache: Path) -> None:
    rows = [
        "CCO,1",
        "nonsense,2",
        ",3",
        "CCC,nan",
        "CC,inf",
        "CCCC,-Infinity",
        "N,1e999",
        "O,1e60",
        "CCN,text",
        "CCCCC,",
    ]
    broken = ['"CCO\tethanol",8', '"CC\nC",9']  # RDKit reads these up to the blank
    result = load_file("a.csv", "\n".join(["smiles,y", *rows, *broken, "c1ccccc1,4", "CCF,5", "CCCl,6", "CCBr,7", ""]))
    assert result.status == 0
    summary = result.answer["summary"]
    assert summary["rows"] == 5 and summary["dropped"] == {"molecule": 11}
    reasons = {row["row"]: row["reason"] for row in summary["dropped_first"]}
    assert sorted(reasons) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    for row, words in {
        2: "no molecule", 3: "empty", 4: "y is NaN", 5: "y is infinite", 6: "y is infinite", 7: "y is infinite",
        8: "y is 1e+60, beyond", 9: "'text' is no number", 10: "every target is empty", 11: "contains a blank", 12: "blank",
    }.items():  # fmt: skip
        assert words in reasons[row], (row, reasons[row])
    dropped = Store(cache).get(Store(cache).entries()[0].spec).dropped
    assert list(dropped["smiles"])[:2] == ["nonsense", ""]


def test_a_latin_1_file_is_read_with_a_note(load_file: Any, cache: Path) -> None:
    result = load_file("a.csv", "smiles;caf\u00e9\nCCO;1,5\nCCC;2,5\n".encode("latin-1"))
    assert result.status == 0
    summary = result.answer["summary"]
    assert [task["name"] for task in summary["tasks"]] == ["caf\u00e9"] and summary["tasks"][0]["mean"] == 2.0
    assert any("read as cp1252" in note for note in summary["provenance"]["notes"])


def nested(depth: int, source: str = "bundled:solubility") -> dict[str, Any]:
    tree: dict[str, Any] = {"kind": "load", "source": source}
    for _ in range(depth):
        tree = {"kind": "label-noise", "table": tree}
    return tree


TABLE = {"kind": "load", "source": "bundled:hydration"}
SPECS = {
    "no JSON": ("{kind: load}", ("this is not JSON", "line 1")),
    "nothing": ("", ("this is not JSON",)),
    "a list": ([TABLE, TABLE], ("a spec is an object with a `kind`", "got [")),
    "a number": ("3", ("a spec is an object with a `kind`; got 3",)),
    "no kind": ({"source": "bundled:hydration"}, ("there is no spec kind None", "load")),
    "an unknown kind": ({"kind": "fine-tune"}, ("there is no spec kind 'fine-tune'", "finetune")),
    "an unknown kind inside": ({"kind": "label-noise", "table": {"kind": "lode"}}, ("label-noise.table", "'lode'", "load")),
    "another product": ({"kind": "label-noise", "table": {"kind": "adapt", "corpus": TABLE}}, ("yields a Dataset", "Checkpoint")),
    "a wrong type": ({"kind": "load", "source": 5}, ("load.source", "valid string", "got 5")),
    "a wrong type inside": ({"kind": "split", "table": TABLE, "seed": "x"}, ("split.seed", "valid integer", "'x'")),
    "a spec as text": ({"kind": "split", "table": "solubility"}, ("split.table", "object with a `kind`", "'solubility'")),
    "deep": (nested(200), ("nested 201 levels deep", "the limit is 100", "run its inner specs first")),
    "very deep": ('{"kind":"label-noise","table":' * 100_000, ("nested 100000 levels deep",)),
    "NaN": ('{"kind": "label-noise", "table": {"kind": "load"}, "fraction": NaN}', ("label-noise.fraction", "finite")),
    "a negative size": ({"kind": "split", "table": TABLE, "valid": -5}, ("split.valid", "greater than or equal to 0")),
    "sizes over the table": ({"kind": "split", "table": TABLE, "valid": 5000}, ("642 rows are too few", "valid 5000", "each wants 1 or more")),
    "shares over the table": ({"kind": "split", "table": TABLE, "valid": 0.6, "test": 0.6}, ("add up to 1 or more", "lower one")),
    "half a molecule": ({"kind": "split", "table": TABLE, "valid": 10.5}, ("whole number of rows, got 10.5",)),
    "an unknown part": ({"kind": "split", "table": TABLE, "part": "holdout"}, ("split.part", "'holdout'", "'train'")),
    "a part of no size": ({"kind": "split", "table": TABLE, "part": "pool"}, ("'pool' has size 0", "give it a size")),
    "a huge seed of weights": (
        {"kind": "adapt", "corpus": TABLE, "seed": 2**40}, ("adapt.seed", "less than or equal to 2147483647")
    ),
    "an unknown table": ({"kind": "load", "source": "bundled:solubilty"}, ("did you mean bundled:solubility?",)),
    "an absent file": ({"kind": "load", "source": "file:nowhere.csv"}, ("there is no file 'nowhere.csv'",)),
    "nobody's file": ({"kind": "load", "source": "file:~nobody-at-all/a.csv"}, ("there is no file '~nobody-at-all/a.csv'",)),
    "units that differ": (
        {"kind": "concat", "tables": [TABLE, TABLE | {"unit": "kJ/mol"}]},
        ("the same units", "'kcal/mol'", "'kJ/mol'", "set `tasks` and `unit`"),
    ),
    "no table to join": ({"kind": "concat", "tables": []}, ("wants at least one table",)),
    "wrong labels without labels": ({"kind": "label-noise", "table": {"kind": "load", "source": "bundled:drugs", "limit": 9}}, ("labelled rows is none",)),
}  # fmt: skip


@pytest.mark.parametrize("case", SPECS)
def test_a_spec_that_cannot_be_made_is_refused(run: Any, cache: Path, case: str) -> None:
    spec, words = SPECS[case]
    check_refused(run(spec), *words)
    assert list_leftovers(cache) == []
    assert {entry.kind for entry in Store(cache).entries()} <= {"load"}  # finished parts stay


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"kind": []}, "kind []"),
        ({"kind": "load", "self": 1}, "load.self"),
        ({"kind": "load", "tasks": ["\ud800"]}, "load.tasks"),
    ],
)
def test_values_that_python_itself_cannot_handle_are_refused(run: Any, spec: dict, words: str) -> None:
    check_refused(run(spec), words)


def test_a_deep_spec_below_the_limit_is_read(run: Any) -> None:
    check_refused(run(nested(99, "file:nowhere.csv")), "there is no file 'nowhere.csv'")


def test_brackets_inside_a_text_do_not_count_as_depth(run: Any) -> None:
    assert "no column" in run({"kind": "load", "source": "bundled:hydration", "smiles": "[{" * 200}).line


def test_a_seed_may_have_forty_digits(run: Any) -> None:
    result = run({"kind": "split", "table": TABLE, "seed": 10**40})
    assert result.status == 0 and result.answer["summary"]["provenance"]["split"][0]["seed"] == 10**40


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "dmeo"), ("no spec can be read from dmeo", "a preset: demo, influence")),
        (("run", "."), ("no spec can be read from .",)),
        (("run", "demo", "--seed", "-1"), ("split.seed", "greater than or equal to 0")),
        (("run", "demo", "--seed", "9" * 30), ("finetune.seed", "less than or equal to")),
        (("preset", "dmeo"), ("there is no preset 'dmeo'", "demo, influence")),
        (("export", "abc", "here"), ("abc begins the key of 0 runs",)),
        (("delete", "*"), ("a key is 16 digits",)),
        (("predict", "abc", "a.csv", "--out", "b.csv"), ("abc begins the key of 0 runs",)),
        (("bench", "speed"), ("there is no benchmark 'speed'",)),
        (("bench", "planted"), ("the benchmark 'planted' is now called 'label-noise'",)),
        (("run", "report"), ("the preset 'report' is now called 'four-methods'",)),
        (("recipe", "demo", "--seed", "4"), ("the command 'recipe' is now called 'preset'",)),
        (("among", "molsway-mini", "a.csv"), ("the command 'among' is now called 'pretraining-overlap'",)),
        (("verify", "0123", "--subsets", "4"), ("the command 'verify' is now called 'lds'",)),
        (("suspects",), ("the command 'suspects' is now called 'label-errors'",)),
    ],
)
def test_unknown_names_are_refused(capsys: Any, cache: Path, arguments: tuple, words: tuple) -> None:
    check_refused(ask(capsys, cache, *arguments), *words)


def test_preset_options_for_a_spec_are_refused(capsys: Any, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(TABLE))
    result = ask(capsys, cache, "run", str(tmp_path / "a.json"), "--seed", "3")
    check_refused(result, "--seed is for presets", "in the spec itself")
