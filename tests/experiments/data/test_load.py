import hashlib

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput, read_spec_json
from core.experiments.data.concat import Concat
from core.experiments.data.load import HUB, Load, import_files


@pytest.fixture
def load(tmp_path):
    """Writes a table, imports it and loads it, with fields of the spec."""
    files = tmp_path / "files"

    def load(content, name="table.csv", **fields):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return import_files(Load(f"file:{path}", **fields), files).make(Report(files=files))

    return load


def test_solubility_is_bundled():
    table = Load().make(SILENT_REPORT)
    assert table.provenance["rows_read"] == 1282 and len(table) == 1274
    assert (table.dropped["what"] == "merged").sum() == 8
    assert table.tasks == ("logS",) and table.unit == ("log10(mol/L)",) and table.kinds == ("regression",)
    assert -12 < table.targets.min() < table.targets.max() < 3
    first = dict(zip(table.columns["row"], table.columns["name"], strict=True))
    assert list(table.columns) == ["row", "name", "ID", "SOL_classification"]
    assert first[1026] == "3-methylpentane"  # the test file follows the training file


def test_hydration_is_bundled():
    table = Load("bundled:hydration").make(SILENT_REPORT)
    assert len(table) == 642 and table.unit == ("kcal/mol",) and table.targets.min() < -20
    assert table.tasks == ("hydration free energy",)


def test_drugs_are_bundled_without_labels():
    table = Load("bundled:Drugs").make(SILENT_REPORT)
    assert len(table) > 2500 and table.targets.shape == (len(table), 0)
    assert "no column of labels: molecules only" in table.provenance["notes"]


def test_file_is_cleaned_and_dropped_rows_have_reasons(load, tmp_path):
    text = "id;SMILES;logS\na;OCC;1,5\nb;CCO;2,5\nc;c1cccc1;1\nd;;2\ne;CCN;text\nf;CCC;nan\ng;CCCC;-3\n"
    table = load(text.encode("cp1252"))
    assert list(table.smiles) == ["CCO", "CCCC"] and table.targets[:, 0].tolist() == [2, -3]
    assert list(table.columns["id"]) == ["a", "g"]
    reasons = dict(zip(table.dropped["row"], table.dropped["reason"], strict=True))
    assert reasons[2] == "same molecule as row 1; median of 2 labels, spread 1"
    assert (
        "kekulize" in reasons[3]
        and "empty" in reasons[4]
        and "'text' is no number" in reasons[5]
        and "NaN" in reasons[6]
    )
    assert table.provenance["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert table.provenance["file"] == "table.csv" and table.provenance["delimiter"] == ";"
    (marks,) = [one for one in table.provenance["reading"] if one["subject"] == "numbers of 'logS'"]
    assert marks["value"] == "comma" and "'1,5'" in marks["reason"]


def test_columns_by_name_or_recognised(load):
    text = "a,b,y,z\nCCO,CCN,1,5\nC,CC,2,6\n"
    table = load(text, smiles="b", targets=("z", "y"), tasks=("first", "second"), unit="mg, mL")
    assert list(table.smiles) == ["CCN", "CC"] and table.targets.tolist() == [[5, 1], [6, 2]]
    assert table.tasks == ("first", "second") and table.unit == ("mg", "mL")
    assert load(text, smiles="b", targets=("y",), unit="mg").unit == ("mg",)
    with pytest.raises(
        BadInput, match=r"there is no column 'Z1'; the table has 'a', 'b', 'y', 'z'; did you mean 'z'\?"
    ):
        load(text, smiles="a", targets=("Z1",))
    wide = "smiles," + ",".join(f"column{k}" for k in range(20)) + "\nCCO" + ",1" * 20 + "\n"
    with pytest.raises(BadInput, match=r"'column10' and 9 more; did you mean 'column19'"):
        load(wide, targets=("colum19",))
    with pytest.raises(BadInput, match="give one name for each target"):
        load(text, smiles="b", targets=("y",), tasks=("a", "b"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("smiles,y\n", "header and no rows"),
        ("name,y\nethanol,1\nwater,2\n", r"no column holds SMILES; the table has 'name', 'y': name one in `smiles`"),
        ("smiles,y\nCCO,1\nCCN;2\n", "mixed delimiters"),
        ("smiles,y\nQ,1\n,2\n", "none of 2 rows is left"),
        ("smiles,exp\nCCO,a\nCCN,b\nC,1\n", "is text in 2 of its 3"),
    ],
)
def test_bad_files_are_refused(load, text, reason):
    with pytest.raises(BadInput, match=reason) as caught:
        load(text, targets=("exp",) if "exp" in text else ())
    assert "table.csv" in str(caught.value) or "rows" in reason or "column" in reason or "text" in reason


def test_one_row_is_a_table(load):
    assert len(load("smiles,y\nCCO,1\n")) == 1


def test_limit_reads_the_first_rows(load):
    table = load("smiles,y\nCCO,1\nCCN,2\nC,3\n", limit=2)
    assert list(table.smiles) == ["CCO", "CCN"] and table.provenance["rows_read"] == 2


def test_bad_sdf_record_has_a_reason(load):
    from rdkit import Chem

    good = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")) + ">  <y>\n1\n\n$$$$\n"
    bad = "bad\n\n\n  1  0  0  0  0  0            999 V2000\n    0.0000    0.0000    0.0000 Q9   0  0\nM  END\n$$$$\n"
    table = load(good + bad, "a.sdf")
    assert list(table.smiles) == ["CCO"]
    assert dict(zip(table.dropped["row"], table.dropped["reason"], strict=True)) == {2: "Element 'Q9' not found"}


def test_number_of_further_columns_is_limited(load):
    wide = "smiles,y,mislabelled," + ",".join(f"c{k}" for k in range(40)) + "\nCCO,1,yes" + ",x" * 40 + "\n"
    table = load(wide, targets=("y",))
    assert len(table.columns) == 31 and "mislabelled" not in table.columns
    assert table.provenance["notes"] == ["11 further columns are left out"]


def test_imported_files_are_identified_by_content(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("smiles,y\nCCO,1\n")
    files = tmp_path / "files"
    spec = Concat((Load(f"file:{path}"), Load("bundled:solubility")))
    imported = import_files(spec, files)
    one, other = imported.tables
    assert one.source == "file:mine.csv" and one.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert other == spec.tables[1] and import_files(imported, files) is imported
    assert read_spec_json(imported.text) == imported
    (tmp_path / "b").mkdir()
    moved = path.rename(tmp_path / "b" / "mine.csv")
    assert import_files(Load(f"file:{moved}"), files).key == one.key
    moved.write_text("smiles,y\nCCO,2\n")
    assert import_files(Load(f"file:{moved}"), files).key != one.key


def test_bad_imports_are_refused(tmp_path):
    files = tmp_path / "files"
    with pytest.raises(BadInput, match=r"there is no file .*none.csv"):
        import_files(Load(f"file:{tmp_path}/none.csv"), files)
    with pytest.raises(BadInput, match="not imported yet"):
        Load("file:a.csv").make(Report(files=files))
    with pytest.raises(BadInput, match="is missing; import the file again"):
        Load("file:a.csv", digest="0" * 64).make(Report(files=files))
    path = tmp_path / "a.csv"
    path.write_text("smiles,y\nCCO,1\n")
    spec = import_files(Load(f"file:{path}"), files)
    (files / f"{spec.digest}.csv").write_text("smiles,y\nCCO,9\n")
    with pytest.raises(BadInput, match="has changed"):
        spec.make(Report(files=files))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"source": "bundled:solubilty"}, "did you mean bundled:solubility"),
        ({"source": "hub:lipo"}, "hub:lipophilicity"),
        ({"source": "table.csv"}, "bundled:NAME, hub:NAME or file:PATH"),
        ({"source": "file:"}, "bundled:NAME, hub:NAME or file:PATH"),
        ({"source": "file:a.xls"}, "workbook"),
        ({"source": "file:a.csv", "digest": "../../etc/passwd"}, "digest"),
        ({"duplicates": "mode"}, "duplicates"),
        ({"limit": -1}, "limit"),
    ],
)
def test_bad_fields_are_refused(fields, reason):
    with pytest.raises(BadInput, match=reason):
        Load(**fields)


def test_hub_table_and_its_commit(tmp_path, monkeypatch):
    commit = "a" * 40
    folder = tmp_path / "snapshots" / commit
    folder.mkdir(parents=True)
    (folder / "lipophilicity.csv").write_text("SMILES,label\nCCO,1\nCCN,2\n")
    (folder / "tox21.csv").write_text("SMILES,NR-AR,SR-p53\nCCO,1,\nCCN,0,1\n")
    asked = []

    def download(repo_id, filename, repo_type, revision, local_files_only):
        asked.append((repo_id, repo_type, revision))
        return str(folder / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    table = Load("hub:Lipophilicity", hub_revision="main").make(SILENT_REPORT)
    assert asked == [("scikit-fingerprints/MoleculeNet_Lipophilicity", "dataset", "main")]
    assert table.tasks == ("Lipophilicity",) and table.unit == ("logD at pH 7.4",) and len(table) == 2
    assert table.provenance["revision"] == commit
    assert Load("hub:tox21").make(SILENT_REPORT).tasks == ("NR-AR", "SR-p53")
    assert set(HUB) == {
        "esol",
        "freesolv",
        "lipophilicity",
        "bace",
        "bbbp",
        "hiv",
        "clintox",
        "sider",
        "tox21",
        "toxcast",
    }


def test_hub_without_network(monkeypatch):
    def download(*_, local_files_only=False, **__):
        assert local_files_only, "no download without an answer of the hub"
        raise LocalEntryNotFoundError("no")

    def ask(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", ask)
    with pytest.raises(BadInput, match=r"hub:esol could not be downloaded .*file:esol.csv") as caught:
        Load("hub:esol").make(SILENT_REPORT)
    assert "\n" not in str(caught.value)


def test_lipophilicity_has_4200_molecules(shared_data, tmp_path):
    spec = import_files(Load(f"file:{shared_data / 'Lipophilicity.csv'}", unit="logD at pH 7.4"), tmp_path)
    table = spec.make(Report(files=tmp_path))
    assert len(table) == table.provenance["rows_read"] == 4200 and len(table.dropped) == 0
    assert table.targets.mean() == pytest.approx(2.186, abs=1e-3)
    (tmp_path / "saved").mkdir()
    table.save(tmp_path / "saved")
    assert Dataset.load(tmp_path / "saved").digest == table.digest


def test_clintox_dropped_rows(shared_data, tmp_path):
    table = import_files(Load(f"file:{shared_data / 'clintox.csv.gz'}"), tmp_path).make(Report(files=tmp_path))
    lost = table.dropped[table.dropped["what"] == "molecule"]
    assert lost["reason"].str.startswith("no molecule").sum() == 4
    assert (table.dropped["what"] == "merged").sum() == 19
    assert len(table) + (table.dropped["what"] != "label").sum() == 1484
    assert table.kinds == ("binary", "binary") and set(np.unique(table.targets[~np.isnan(table.targets)])) == {0, 1}
