"""Recipes and tables that cannot be used, as a user gives them: exit status 2, one clear line, nothing half made."""

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core.cli.parser import main
from core.engine.store import Store


class Said(NamedTuple):
    status: int
    answer: Any
    line: str


def ask(capsys: pytest.CaptureFixture[str], cache: Path, *arguments: str) -> Said:
    """The command line, as its user meets it."""
    status = main([*arguments, "--cache", str(cache), "--json"])
    out, err = capsys.readouterr()
    return Said(status, json.loads(out) if out else None, err)


def check_refused(said: Said, *words: str) -> None:
    """Status 2, no answer, and one line that has these words."""
    assert said.status == 2 and said.answer is None
    assert said.line.startswith("molsway: ") and len(said.line.splitlines()) == 1, said.line
    assert len(said.line) < 500
    assert all(word in said.line for word in words), said.line


def left(cache: Path) -> list[str]:
    """What is half made: drafts of any kind, and scratch folders."""
    return [str(path) for path in cache.rglob("*") if "draft" in path.name and path.name != "drafts"] + [
        str(path) for folder in ("drafts", "scratch", "trash") for path in (cache / folder).glob("*")
    ]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path) -> Any:
    """Run a recipe, given as a tree or as text."""

    def run(recipe: Any) -> Said:
        path = tmp_path / "recipe.json"
        path.write_text(recipe if isinstance(recipe, str) else json.dumps(recipe))
        return ask(capsys, cache, "run", str(path))

    return run


@pytest.fixture
def give(run: Any, tmp_path: Path) -> Any:
    """Load a file with these bytes."""

    def give(name: str, content: str | bytes, **fields: Any) -> Said:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return run({"kind": "load", "source": f"file:{path}", **fields})

    return give


def archive(name: str) -> bytes:
    """A zip; a workbook is one that holds `xl/workbook.xml`."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr(name, "smiles,y\nC,1\n")
    return held.getvalue()


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
def test_a_file_that_is_no_table(give: Any, cache: Path, case: str) -> None:
    assert give("good.csv", GOOD).status == 0
    name, content, words = FILES[case]
    check_refused(give(name, content), *words)
    assert left(cache) == []
    assert len(Store(cache).entries()) == 1 and give("good.csv", GOOD).status == 0


FIELDS = {
    "text in the target": ({"targets": ["t"]}, ("column 't' is text in 2 of its 2", "row 1: 'high'", "column of numbers")),
    "no such target": ({"targets": ["z"]}, ("there is no column 'z'", "'smiles', 'y', 't'")),
    "no such SMILES column": ({"smiles": "smile"}, ("no column 'smile'", "did you mean 'smiles'?")),
    "names that do not fit": ({"targets": ["y"], "tasks": ["a", "b"]}, ("1 targets (y) and 2 names", "one name")),
    "one name for two": ({"targets": ["y", "t"], "tasks": ["a", "a"]}, ("",)),
    "no such rule": ({"duplicates": "max"}, ("load.duplicates", "'median'", "'max'")),
    "a negative limit": ({"limit": -1}, ("load.limit", "greater than or equal to 0", "got -1")),
    "an unknown field": ({"colour": "red"}, ("load.colour", "is not a field")),
    "a digest of one's own": ({"digest": "../../etc/passwd"}, ("load.digest",)),
}  # fmt: skip


@pytest.mark.parametrize("case", FIELDS)
def test_settings_that_do_not_fit_the_table(give: Any, cache: Path, case: str) -> None:
    fields, words = FIELDS[case]
    check_refused(give("a.csv", "smiles,y,t\nCCO,1,high\nCCC,2,low\n", **fields), *words)
    assert left(cache) == [] and Store(cache).entries() == []


def test_rows_that_cannot_be_used_are_listed_and_the_run_goes_on(give: Any, cache: Path) -> None:
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
    broken = ['"CCO\tethanol",8', '"CC\nC",9']  # RDKit would read these up to the blank
    said = give("a.csv", "\n".join(["smiles,y", *rows, *broken, "c1ccccc1,4", "CCF,5", "CCCl,6", "CCBr,7", ""]))
    assert said.status == 0
    found = said.answer["summary"]
    assert found["rows"] == 5 and found["dropped"] == {"molecule": 11}
    reasons = {row["row"]: row["reason"] for row in found["dropped_first"]}
    assert sorted(reasons) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    for row, words in {
        2: "no molecule", 3: "empty", 4: "y is NaN", 5: "y is infinite", 6: "y is infinite", 7: "y is infinite",
        8: "y is 1e+60, beyond", 9: "'text' is no number", 10: "every target is empty", 11: "blank inside", 12: "blank",
    }.items():  # fmt: skip
        assert words in reasons[row], (row, reasons[row])
    dropped = Store(cache).get(Store(cache).entries()[0].spec).dropped
    assert list(dropped["smiles"])[:2] == ["nonsense", ""]


def test_a_latin_1_file_is_read_and_said_to_be_one(give: Any, cache: Path) -> None:
    said = give("a.csv", "smiles;caf\u00e9\nCCO;1,5\nCCC;2,5\n".encode("latin-1"))
    assert said.status == 0
    found = said.answer["summary"]
    assert [task["name"] for task in found["tasks"]] == ["caf\u00e9"] and found["tasks"][0]["mean"] == 2.0
    assert any("read as cp1252" in note for note in found["provenance"]["notes"])


def nested(depth: int, source: str = "bundled:solubility") -> dict[str, Any]:
    tree: dict[str, Any] = {"kind": "load", "source": source}
    for _ in range(depth):
        tree = {"kind": "label-noise", "table": tree}
    return tree


TABLE = {"kind": "load", "source": "bundled:hydration"}
RECIPES = {
    "no JSON": ("{kind: load}", ("this is no JSON", "line 1")),
    "nothing": ("", ("this is no JSON",)),
    "a list": ([TABLE, TABLE], ("a recipe wants an object with a `kind`", "got [")),
    "a number": ("3", ("a recipe wants an object with a `kind`; got 3",)),
    "no kind": ({"source": "bundled:hydration"}, ("there is no recipe of kind None", "load")),
    "an unknown kind": ({"kind": "fine-tune"}, ("there is no recipe of kind 'fine-tune'", "finetune")),
    "an unknown kind inside": ({"kind": "label-noise", "table": {"kind": "lode"}}, ("label-noise.table", "'lode'", "load")),
    "another product": ({"kind": "label-noise", "table": {"kind": "adapt", "corpus": TABLE}}, ("yields a Dataset", "Checkpoint")),
    "a wrong type": ({"kind": "load", "source": 5}, ("load.source", "valid string", "got 5")),
    "a wrong type inside": ({"kind": "split", "table": TABLE, "seed": "x"}, ("split.seed", "valid integer", "'x'")),
    "a recipe as text": ({"kind": "split", "table": "solubility"}, ("split.table", "object with a `kind`", "'solubility'")),
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


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_that_cannot_be_made(run: Any, cache: Path, case: str) -> None:
    recipe, words = RECIPES[case]
    check_refused(run(recipe), *words)
    assert left(cache) == []
    assert {entry.kind for entry in Store(cache).entries()} <= {"load"}  # whole parts stay


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"kind": []}, "kind []"),
        ({"kind": "load", "self": 1}, "load.self"),
        ({"kind": "load", "tasks": ["\ud800"]}, "load.tasks"),
    ],
)
def test_a_recipe_that_python_itself_stumbles_over(run: Any, recipe: dict, words: str) -> None:
    check_refused(run(recipe), words)


def test_a_deep_recipe_below_the_limit_is_read(run: Any) -> None:
    check_refused(run(nested(99, "file:nowhere.csv")), "there is no file 'nowhere.csv'")


def test_a_bracket_inside_a_text_is_no_level(run: Any) -> None:
    assert "no column" in run({"kind": "load", "source": "bundled:hydration", "smiles": "[{" * 200}).line


def test_a_seed_of_forty_digits_is_a_seed(run: Any) -> None:
    said = run({"kind": "split", "table": TABLE, "seed": 10**40})
    assert said.status == 0 and said.answer["summary"]["provenance"]["split"][0]["seed"] == 10**40


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "dmeo"), ("no spec can be read from dmeo", "a preset: demo, influence")),
        (("run", "."), ("no spec can be read from .",)),
        (("run", "demo", "--seed", "-1"), ("split.seed", "greater than or equal to 0")),
        (("run", "demo", "--seed", "9" * 30), ("finetune.seed", "less than or equal to")),
        (("preset", "dmeo"), ("there is no preset 'dmeo'", "demo, influence")),
        (("export", "abc", "here"), ("abc begins the key of 0 products",)),
        (("delete", "*"), ("a key is 16 digits",)),
        (("predict", "abc", "a.csv", "--out", "b.csv"), ("abc begins the key of 0 products",)),
        (("bench", "speed"), ("there is no benchmark 'speed'",)),
        (("bench", "planted"), ("the benchmark 'planted' is now called 'label-noise'",)),
        (("run", "report"), ("the preset 'report' is now called 'four-methods'",)),
        (("recipe", "demo", "--seed", "4"), ("the command 'recipe' is now called 'preset'",)),
        (("among", "molsway-mini", "a.csv"), ("the command 'among' is now called 'pretraining-overlap'",)),
        (("verify", "0123", "--subsets", "4"), ("the command 'verify' is now called 'lds'",)),
        (("suspects",), ("the command 'suspects' is now called 'label-errors'",)),
    ],
)
def test_a_command_that_asks_for_nothing_there_is(capsys: Any, cache: Path, arguments: tuple, words: tuple) -> None:
    check_refused(ask(capsys, cache, *arguments), *words)


def test_a_seed_for_a_recipe_that_has_its_own_is_refused(capsys: Any, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(TABLE))
    said = ask(capsys, cache, "run", str(tmp_path / "a.json"), "--seed", "3")
    check_refused(said, "--seed is for presets", "in the spec itself")
