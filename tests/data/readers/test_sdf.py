"""SD files: records, data items as the CTfile specification writes them, and what is wrong with a field."""

from collections.abc import Callable
from pathlib import Path

import pytest
from rdkit import Chem

from core.data.annotated_table import Annotation, annotate_table
from core.data.readers import peek_table, raw_table, read_table
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Load, import_files

SMILES = ["CCO", "CCN", "c1ccccc1"]


def molblock(smiles: str = "CCO", name: str = "", v3000: bool = False) -> str:
    molecule = Chem.MolFromSmiles(smiles)
    molecule.SetProp("_Name", name)
    return Chem.MolToMolBlock(molecule, forceV3000=v3000)


def record(items: str, smiles: str = "CCO", name: str = "", v3000: bool = False) -> str:
    return molblock(smiles, name, v3000) + items + "$$$$\n"


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "a.sdf") -> Path:
        (tmp_path / name).write_bytes(text.encode())
        return tmp_path / name

    return write


@pytest.fixture
def load(written: Callable[..., Path], tmp_path: Path) -> Callable[..., object]:
    def load(text: str, **fields: object) -> object:
        files = Store(tmp_path / "cache").files
        return import_files(Load(f"file:{written(text)}", **fields), files).make(Report(files=files))

    return load


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("> <y>", "y"),
        (">  <y>  (1) ", "y"),
        (">  25 <MELTING.POINT>", "MELTING.POINT"),
        ("> DT12", "DT12"),
        (">DT12", "DT12"),
        ("> 55 (MD-0894) <BOILING.POINT> DT12", "BOILING.POINT"),
        ("> (MD-0894) DT7", "DT7"),
        ("> <log P (> 5)>", "log P (> 5)"),
        ("> <IC50 <nM>>", "IC50 <nM>"),
        ("> <y> FROM ARCHIVES", "y"),
        (">\t<two words>", "two words"),
        ("> melting point", "melting point"),
        ("> 25", "25"),
        ("> <>", "unnamed field"),
        (">", "unnamed field"),
    ],
)
def test_headers_of_every_form_name_their_field(written: Callable[..., Path], header: str, name: str) -> None:
    text = "".join(record(f"{header}\n{k}.5\n\n", smiles) for k, smiles in enumerate(SMILES))
    table = read_table(written(text))
    assert table.frame[["smiles", name]].to_numpy().tolist() == [["CCO", "0.5"], ["CCN", "1.5"], ["c1ccccc1", "2.5"]]
    assert (table.reasons == {} and table.faults == {}) or name == "unnamed field"


def test_an_unnamed_field_before_the_label_loses_no_label(load: Callable[..., object]) -> None:
    text = "".join(record(f"> <>\nx\n\n> <logS>\n{k}.5\n\n", smiles) for k, smiles in enumerate(SMILES))
    table = load(text)
    assert table.tasks == ("logS",) and table.targets[:, 0].tolist() == [0.5, 1.5, 2.5] and not len(table.dropped)
    assert "3 fields without a name, such as 'x' in record 1" in table.provenance["notes"]


@pytest.mark.parametrize(
    ("items", "cells"),
    [
        ("> <a>\n>5\n\n> <y>\n1.5\n\n", {"a": ">5", "y": "1.5"}),
        ("> <a>\n> 5 uM at <10 and >2\n\n> <y>\n1.5\n\n", {"a": "> 5 uM at <10 and >2", "y": "1.5"}),
        ("> <a>\n> 25\n\n> <y>\n1.5\n\n", {"a": "> 25", "y": "1.5"}),
        ("> <a>\nx\n> <y>\n1.5\n", {"a": "x", "y": "1.5"}),  # blank lines are missing
        ("> <a>\n> <y>\n1.5\n\n", {"a": "", "y": "1.5"}),
        ("> <a>\n\n> <y>\n1.5\n\n", {"a": "", "y": "1.5"}),
        ("> <a>\none\ntwo\n\n> <y>\n 1.5 \n \t\n", {"a": "one\ntwo", "y": "1.5"}),
        ("> <a>\n$$$$5\n\n> <y>\n1.5\n\n", {"a": "$$$$5", "y": "1.5"}),
        ("> <a>\nx\n\n\n\n> <y>\n1.5\n\n\n", {"a": "x", "y": "1.5"}),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_values_are_the_lines_up_to_a_blank_one(
    written: Callable[..., Path], items: str, cells: dict, end: str
) -> None:
    table = read_table(written((record(items) + record("> <y>\n2\n\n", "CCN")).replace("\n", end)))
    assert table.frame.to_dict("records")[0] == {"smiles": "CCO", **cells}
    assert table.frame["y"].tolist() == ["1.5", "2"] and table.reasons == {}


@pytest.mark.parametrize("name", ["costs $$$$", "$$$$ ethanol", ">ethanol", "> <y>", "M  END"])
def test_any_name_line_but_the_delimiter_is_a_name(written: Callable[..., Path], name: str) -> None:
    block = molblock().split("\n", 1)[1]
    text = f"{name}\n{block}> <y>\n1.5\n\n$$$$\n" + record("> <y>\n2\n\n", "CCN")
    table = read_table(written(text))
    if name == "M  END":  # the block ends there for every reader
        assert list(table.reasons) == [0]
    else:
        assert table.frame["name"].tolist() == [name, ""] and table.reasons == {}
    assert table.frame["y"].tolist()[-1] == "2" and table.frame["smiles"].tolist()[-1] == "CCN"


def test_v3000_and_v2000_give_the_same_table(written: Callable[..., Path]) -> None:
    texts = [
        "".join(record(f"> <y>\n{k}\n\n", smiles, f"m{k}", v3000) for k, smiles in enumerate(SMILES))
        for v3000 in (False, True)
    ]
    old, new = (read_table(written(text)).frame for text in texts)
    assert "V3000" in texts[1] and new.equals(old) and list(new["smiles"]) == SMILES


def test_a_missing_end_is_noted(written: Callable[..., Path]) -> None:
    whole = record("> <y>\n1.5\n\n") + record("> <y>\n2.25\n\n", "CCN")
    for cut in ("$$$$\n", "\n$$$$\n", "5\n\n$$$$\n"):
        table = read_table(written(whole.removesuffix(cut)))
        assert list(table.frame["smiles"]) == ["CCO", "CCN"]
        assert table.notes == ("the last record does not end with $$$$; the file may have been cut off",)
    for tail in ("", "\n\n", " \n"):
        assert read_table(written(whole + tail)).notes == ()
    assert read_table(written(whole.removesuffix("\n"))).notes == ()


def test_each_record_without_a_molecule_has_its_reason(load: Callable[..., object], written: Callable) -> None:
    broken = "b\n\n\n  1  0  0  0  0  0            999 V2000\n    0.0000    0.0000    0.0000 Q9  0  0\nM  END\n$$$$\n"
    no_atoms = "n\n\n\n  0  0  0  0  0  0            999 V2000\nM  END\n$$$$\n"
    text = record("> <y>\n1\n\n") + "$$$$\n" + broken + "\n\n$$$$\n" + no_atoms + record("> <y>\n2\n\n", "CCN")
    table = load(text)
    assert list(table.smiles) == ["CCO", "CCN"] and list(table.columns["row"]) == [1, 6]
    reasons = dict(zip(table.dropped["row"], table.dropped["reason"], strict=True))
    assert reasons == {
        2: "it is empty",
        3: "Element 'Q9' not found",
        4: "it is empty",
        5: "the molecule has no atoms",
    }
    with pytest.raises(BadInput, match="has no rows"):
        read_table(written("$$$$\n\n$$$$\n"))


def test_predictions_give_the_reasons_of_records(written: Callable[..., Path], tmp_path: Path) -> None:
    import pandas as pd

    path = written(record("") + "$$$$\n" + record("", "CCN"))
    annotation = Annotation(lambda chunk, _: {"size": chunk.targets.sum(1)}, product="abc")
    annotate_table(path, tmp_path / "out.csv", annotation, SILENT_REPORT)
    assert pd.read_csv(tmp_path / "out.csv", keep_default_na=False)["unusable"].tolist() == ["", "it is empty", ""]


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ("> <y>\n1.5\n2.5\n\n", r"column 'y': in record 2 it has 2 lines \('1.5 / 2.5'\)"),
        ("> <y>\n1.5\nnot sure\n\n", r"column 'y': in record 2 it has 2 lines"),
        ("> <y>\n1.5\n\n> <y>\n2.5\n\n", "column 'y': record 2 has it twice, with '1.5' and '2.5'"),
        ("> <y>\n\n1.5\n\n", "column 'y': in record 2 '1.5' follows the blank line that ends it"),
    ],
)
def test_a_label_that_can_be_read_in_two_ways_is_refused(load: Callable, items: str, words: str) -> None:
    text = record("> <y>\n1\n\n> <z>\n1\n\n") + record(items + "> <z>\n5\n\n", "CCN")
    with pytest.raises(BadInput, match=words):
        load(text, targets=("y",))
    assert load(text, targets=("z",)).targets[:, 0].tolist() == [1, 5]


def test_a_guess_does_not_pass_over_a_field_of_numbers_on_several_lines(load: Callable[..., object]) -> None:
    items = "> <logS>\n{0}.5\n{1}\n\n> <z>\n{0}.25\n\n> <note>\na\nb\n\n"
    with pytest.raises(BadInput, match="'logS': in record 1 it has 2 lines"):
        load("".join(record(items.format(k, k), smiles) for k, smiles in enumerate(SMILES)))
    text = "".join(record(items.format(k, "x").replace("logS", "a"), smiles) for k, smiles in enumerate(SMILES))
    assert load(text).tasks == ("z",)  # text is no label


def test_the_same_value_twice_is_one_value(written: Callable[..., Path]) -> None:
    table = read_table(written(record("> <y>\n1.5\n\n> <y>\n1.5\n\n")))
    assert table.frame["y"].tolist() == ["1.5"] and table.faults == {}


def test_a_preview_leaves_out_an_incomplete_record(written: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    one = record("> <y>\n1.5\n\n")
    path = written(one * 10)
    monkeypatch.setattr(raw_table, "PEEK_BYTES", int(2.5 * len(one)))
    table = peek_table(path)
    assert len(table.frame) == 2 and table.notes == ()
    monkeypatch.setattr(raw_table, "PEEK_BYTES", len(one) // 2)
    with pytest.raises(BadInput, match="begins with a record of more than"):
        peek_table(path)


def test_a_long_line_of_digits_is_read_in_time_linear_in_it(written: Callable[..., Path]) -> None:
    line = ">" + "1" * 100_000 + "x"
    assert read_table(written(record(f"> <a>\n{line}\n\n"))).frame["a"].tolist() == [line]
