"""The page Data: files, columns, sheets, saved tables."""

import io

import openpyxl

from core.engine.store import Store
from tests.pages.conftest import find_button, page_text, without_exception


def test_a_table_is_saved_and_used(open_page, cache):
    at = open_page("data")
    assert "1,274" in page_text(at)
    find_button(at, "Use this table").click().run()
    entries = Store(cache).entries()
    assert [entry.kind for entry in entries] == ["load"]
    assert entries[0].key == at.session_state["table"]


def test_a_file_is_mapped_and_read(open_page, cache):
    at = open_page("data")
    at.get("button_group")[0].set_value("My file").run()
    at.file_uploader(key="file").upload(
        "mine.csv", b"name;smiles;logD\na;CCO;1,5\nb;c1ccccc1;2,5\nc;not a molecule;3\n", "text/csv"
    )
    without_exception(at.run())
    assert next(box for box in at.selectbox if box.label == "SMILES column").value == "smiles"
    text = page_text(at)
    assert "Molecules 2" in text and "Rows left out 1" in text


def test_a_sheet_of_a_workbook_is_chosen(open_page, cache):
    book, table = openpyxl.Workbook(), io.BytesIO()
    for title, rows in {
        "About": [["made by hand"]],
        "First": [["smiles", "y"], ["CCO", 1.5], ["CCC", 2.5], ["CCN", 3]],
        "Second": [["structure", "z"], ["CCCl", 1], ["CCF", 2]],
    }.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(table)
    at = open_page("data")
    at.get("button_group")[0].set_value("My file").run()
    at.file_uploader(key="file").upload("mine.xlsx", table.getvalue(), "application/vnd.ms-excel")
    without_exception(at.run())
    sheets = next(box for box in at.selectbox if box.label == "Sheet")
    assert sheets.options == ["About", "First", "Second"] and sheets.value == "First"
    assert "Molecules 3" in page_text(at)
    assert "has a header and no rows" in sheets.set_value("About").run().error[0].value
    sheets = next(box for box in at.selectbox if box.label == "Sheet")
    without_exception(sheets.set_value("Second").run())
    assert next(box for box in at.selectbox if box.label == "SMILES column").value == "structure"
    assert "Molecules 2" in page_text(at)
    without_exception(find_button(at, "Use this table").click().run())
    (entry,) = Store(cache).entries()
    assert entry.spec.source == "file:mine.xlsx#Second"


def upload(open_page, content, name="mine.csv"):
    at = open_page("data")
    at.get("button_group")[0].set_value("My file").run()
    at.file_uploader(key="file").upload(name, content, "text/csv")
    return without_exception(at.run())


def write_book(change):
    book, table = openpyxl.Workbook(), io.BytesIO()
    for row in (["smiles", "logS", "other"], ["CCO", 1.5, 1], ["CCC", 2.5, 2.25], ["CCN", 3, 3], ["CCCl", 0.25, 4]):
        book.active.append(row)
    change(book.active)
    book.save(table)
    return table.getvalue()


def test_hidden_rows_are_asked_about_and_the_answer_is_used(open_page, cache):
    content = write_book(lambda sheet: setattr(sheet.row_dimensions[3], "hidden", True))
    at = upload(open_page, content, "mine.xlsx")
    assert "two ways" in at.warning[0].value and not any(one.label == "Use this table" for one in at.button)
    assert "1 of 4 rows are hidden" in page_text(at)
    box = next(one for one in at.selectbox if one.label == "hidden rows and columns")
    assert box.value is None and box.options == ["drop", "keep"]
    without_exception(box.set_value("drop").run())
    without_exception(find_button(at, "Use this table").click().run())
    (entry,) = Store(cache).entries()
    assert entry.spec.hidden == "drop" and list(Store(cache).product(entry).smiles) == ["CCO", "CCN", "CCCl"]


def test_no_other_column_is_preselected_for_one_without_values(open_page):
    at = upload(open_page, write_book(lambda sheet: setattr(sheet["B3"], "value", "=1+1")), "mine.xlsx")
    box = next(one for one in at.multiselect if one.label == "Properties to predict")
    assert box.value == ["logS"] and "1 formula has no value" in page_text(at)
    assert not any(one.label == "Use this table" for one in at.button)

    def empty(sheet):
        for row in range(2, 6):
            sheet[f"B{row}"] = "=1+1"

    at = upload(open_page, write_book(empty), "mine.xlsx")
    box = next(one for one in at.multiselect if one.label == "Properties to predict")
    assert box.value == [] and "4 formulas have no value" in page_text(at)
    without_exception(box.set_value(["other"]).run())
    assert any(one.label == "Use this table" for one in at.button)


def test_an_undecided_mark_is_asked_about_and_the_answer_is_used(open_page, cache):
    at = upload(open_page, b"smiles;y\nCCO;2,142\nCCN;3,250\nCCC;1,125\n")
    assert "two ways" in at.warning[0].value and not any(one.label == "Use this table" for one in at.button)
    box = next(one for one in at.selectbox if one.label.startswith("numbers of"))
    assert box.value is None and box.options == ["point", "comma"]
    without_exception(box.set_value("comma").run())
    without_exception(find_button(at, "Use this table").click().run())
    (entry,) = Store(cache).entries()
    assert entry.spec.decimal == "comma" and Store(cache).product(entry).targets[:, 0].tolist() == [2.142, 3.25, 1.125]


def test_classes_are_shown_and_can_be_turned(open_page, cache):
    at = upload(open_page, b"smiles,y\n" + b"CCO,Active\nCCN,Inactive\nCCCC,Active\nCCCO,Inactive\nCCF,Active\n" * 2)
    assert "Inactive = 0, Active = 1" in page_text(at)
    box = next(one for one in at.selectbox if one.label.startswith("classes of"))
    without_exception(box.set_value("Active,Inactive").run())
    assert "Active = 0, Inactive = 1" in page_text(at)
    without_exception(find_button(at, "Use this table").click().run())
    (entry,) = Store(cache).entries()
    assert entry.spec.classes == ("Active", "Inactive")


def test_two_columns_of_structures_are_asked_about(open_page):
    rows = b"".join(b"O,%sO,-%d\nCCCO,%sN,%d\n" % (b"C" * k, k, b"C" * k, k) for k in range(1, 8))
    at = upload(open_page, b"solvent_smiles,solute_smiles,dG\n" + rows)
    box = next(one for one in at.selectbox if one.label == "SMILES column")
    assert box.value is None and "different molecules" in page_text(at)
    without_exception(box.set_value("solute_smiles").run())
    assert "Molecules 14" in page_text(at)
