"""Random rows of large files: CSV and Parquet with the names and columns of LargeMix and UltraLarge."""

from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from core.chem import molecules as chem
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import FileSample, Multitask, import_files
from core.experiments.data import file_sample
from core.experiments.presets.mixtures import largemix_model, read_largemix
from core.models.backbones import Gnn


def write_files(folder: Path) -> Path:
    """Write small files with the names and columns of LargeMix and UltraLarge."""
    generator = np.random.default_rng(0)
    smiles = [f"{'C' * length}{end}" for length in range(1, 25) for end in ("", "O", "N", "(C)O", "F", "c1ccccc1")]
    n = len(smiles)
    sparse = generator.integers(2, size=(n, 6)).astype(float)
    sparse[generator.random((n, 6)) < 0.6] = np.nan
    sparse[:, 5] = np.where(np.isnan(sparse[:, 5]), np.nan, 1.0)  # a task with one class
    assays = pd.DataFrame(sparse, columns=[f"assayID-{k}" for k in range(6)])
    pd.concat([pd.DataFrame({"SMILES": smiles}), assays], axis=1).to_parquet(folder / "PCBA_1328_1564k.parquet")
    genes = pd.DataFrame(generator.integers(5, size=(n, 3)), columns=[f"geneID-{k}" for k in range(3)])
    pd.concat([pd.DataFrame({"SMILES": smiles}), genes], axis=1).to_csv(
        folder / "LINCS_L1000_VCAP_0-4.csv.gz", index=False
    )
    for part in (1, 2):
        rows = smiles[part - 1 :: 2]
        frame = pd.DataFrame(
            {"ordered_smiles": rows, "graph_energy": [float(len(chem.canonical_smiles(one))) for one in rows]}
        )
        frame["graph_gap"] = generator.normal(size=len(rows))
        frame["node_charge"] = [[0.1] * len(one) for one in rows]
        frame.to_parquet(folder / f"pm6_processed_{part}.parquet")
    return folder


def test_rows_are_sampled_from_all_files_in_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_sample, "ROWS_IN_MEMORY", 7)
    folder, store = write_files(tmp_path), Store(tmp_path / "cache")
    spec = import_files(
        FileSample(str(folder / "pm6_processed_*.parquet"), "graph_*", "ordered_smiles", rows=40), store.files
    )
    table = make(spec, store, Report())
    assert 30 < len(table) <= 40 and table.tasks == ("graph_energy", "graph_gap"), "columns of lists are skipped"
    assert all(len(smiles) == energy for smiles, energy in zip(table.smiles, table.targets[:, 0], strict=True))
    assert table.provenance["rows"] == 144 and table.columns["row"].max() > 72, "from the second file too"
    other = import_files(FileSample(spec.path, "graph_*", "ordered_smiles", rows=40, seed=1), store.files)
    assert set(make(other, store, Report()).smiles) != set(table.smiles)
    assert len(make(import_files(FileSample(spec.path, "graph_*", rows=1000), store.files), store, Report())) > 100


def test_bad_files_are_refused(tmp_path: Path) -> None:
    folder, store = write_files(tmp_path), Store(tmp_path / "cache")
    with pytest.raises(BadInput, match="there is no file"):
        import_files(FileSample(str(tmp_path / "none*.csv"), "a*"), store.files)
    parquet = folder / "PCBA_1328_1564k.parquet"
    with pytest.raises(BadInput, match=r"or none like 'gene\*'"):
        make(import_files(FileSample(str(parquet), "gene*"), store.files), store, Report())
    spec = import_files(FileSample(str(parquet), "assayID-*"), store.files)
    pd.read_parquet(parquet).head(100).to_parquet(parquet)
    with pytest.raises(BadInput, match="has changed since this spec was made"):
        make(spec, store, Report())
    with pytest.raises(BadInput, match="none of the files of LargeMix"):
        read_largemix(str(tmp_path / "cache"), 10)


def test_workbooks_that_do_not_say_what_was_measured_are_refused(tmp_path: Path) -> None:
    store, path = Store(tmp_path / "cache"), tmp_path / "book.xlsx"

    def sample(label: float | str, hidden: bool = False) -> int:
        book = openpyxl.Workbook()
        for row in (["smiles", "y"], ["CCO", 1.5], ["CCN", label], ["CCC", 3.25]):
            book.active.append(row)
        book.active.row_dimensions[3].hidden = hidden
        book.save(path)
        return len(make(import_files(FileSample(str(path), "y", rows=9), store.files), store, Report()))

    assert sample(2.5) == 3
    with pytest.raises(BadInput, match="1 formula has no value"):
        sample("=1+1")
    with pytest.raises(BadInput, match=r"book.xlsx has 1 hidden rows; show or delete them"):
        sample(2.75, hidden=True)


def test_mixture_of_the_available_files(tmp_path: Path) -> None:
    folder, store = write_files(tmp_path), Store(tmp_path / "cache")
    members = read_largemix(str(folder), rows=120)
    assert [one.name for one in members] == ["l1000_vcap", "pcba_1328", "pm6_83m_g62"]
    backbone = Gnn(width=8, depth=1, walk=2, eigenvectors=2)
    spec = import_files(Multitask(members, backbone=backbone, epochs=1, batch_size=32), store.files)
    cards = {one["name"]: one for one in make(spec, store, Report()).record["members"]}
    assert cards["pcba_1328"]["unlearnable"] == ["assayID-5"] and len(cards["pcba_1328"]["tasks"]) == 5
    assert cards["pcba_1328"]["means"]["test"]["auroc"] is not None and cards["l1000_vcap"]["loss"] == "binned"
    assert largemix_model(str(folder)).backbone.width == 256
