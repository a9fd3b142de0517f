"""Maps, coverage and overlap of selections; export of molecules."""

import numpy as np
import pytest

from core.chem import molecules as chem
from core.data.readers.sdf import read_sdf
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Load, Projection, split_table
from core.figures.selection import plot_projection
from core.selection.summary import (
    COVERAGE_SIMILARITY,
    compare_selections,
    descriptor_distributions,
    project,
    summarize_selection,
)

CHAINS = ["C" * n + "O" for n in range(3, 13)]
RINGS = ["c1ccccc1" + "C" * n for n in range(1, 9)]


@pytest.mark.parametrize("method", ["pca", "t-sne"])
def test_similar_molecules_are_close_on_the_map(method: str) -> None:
    table = project({"train": CHAINS, "pool": RINGS}, method)
    assert list(table["part"]) == ["train"] * 10 + ["pool"] * 8 and list(table["row"]) == [*range(10), *range(8)]
    assert list(table["smiles"]) == [*CHAINS, *RINGS] and np.isfinite(table[["x", "y"]]).all().all()
    points = table[["x", "y"]].to_numpy()
    centres = points[:10].mean(0), points[10:].mean(0)
    near = [int(np.argmin([np.linalg.norm(point - centre) for centre in centres])) for point in points]
    assert sum(a == b for a, b in zip(near, [0] * 10 + [1] * 8, strict=True)) >= 16
    again = project({"train": CHAINS, "pool": RINGS}, method)
    assert np.allclose(points, again[["x", "y"]])
    assert 0 < table.attrs["explained"] <= 1


def test_large_tables_are_sampled_and_two_molecules_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.selection.summary.MAX_ROWS", 4)
    table = project({"train": CHAINS, "pool": RINGS})
    assert (table["part"] == "train").sum() == (table["part"] == "pool").sum() == 4
    for part, smiles in (("train", CHAINS), ("pool", RINGS)):
        rows = table[table["part"] == part]
        assert list(rows["smiles"]) == [smiles[row] for row in rows["row"]] and rows["row"].is_monotonic_increasing
    with pytest.raises(BadInput, match="2 molecules are too few"):
        project({"train": CHAINS[:1], "pool": RINGS[:1]})


def test_coverage_novelty_and_similarity() -> None:
    pool, train = [*CHAINS, *RINGS], ["CCCCCCCO", "C1CCCCC1"]
    rows = np.array([10, 12])
    summary = summarize_selection(pool, rows, train)
    chosen, rest = [pool[row] for row in rows], [one for row, one in enumerate(pool) if row not in rows]
    similar = chem.tanimoto(chem.fingerprints(rest), chem.fingerprints([*chosen, *train]))
    assert summary["covered"] == pytest.approx((similar.max(1) >= COVERAGE_SIMILARITY).mean())
    assert summary["covered_before"] == pytest.approx((similar[:, 2:].max(1) >= COVERAGE_SIMILARITY).mean())
    assert summary["covered_before"] < summary["covered"]
    assert summary["novel"] == 1.0 and (summary["kept"], summary["of"]) == (2, 18)
    pair = chem.tanimoto(*[chem.fingerprints([one]) for one in chosen])[0, 0]
    assert summary["likeness"] == pytest.approx(float(pair))
    assert (summary["scaffolds"], summary["new_scaffolds"]) == (1, 1), "benzene is not in the training part"
    everything = summarize_selection(pool, np.arange(18), [])
    assert everything["covered"] is None and everything["novel"] is None


def test_comparison_of_two_selections() -> None:
    comparison = compare_selections(np.array([1, 2, 3, 4]), np.array([4, 3, 2, 9]))
    assert comparison == {"both": 3, "jaccard": pytest.approx(3 / 5), "spearman": pytest.approx(-1)}
    assert compare_selections(np.array([1]), np.array([2]))["spearman"] is None


def test_descriptor_distributions() -> None:
    values = descriptor_distributions({"kept": ["CCO", "c1ccccc1"], "pool": CHAINS})
    assert sorted(values["HeavyAtomCount"]["kept"]) == [3, 6] and len(values["TPSA"]["pool"]) == 10


def test_the_figure_marks_the_selection() -> None:
    table = project({"train": CHAINS, "pool": RINGS})
    figure = plot_projection(table, [0, 3])
    sizes = {trace.name: len(trace.x) for trace in figure.data}
    assert sizes == {"training set: 10": 10, "pool: 6": 6, "selected: 2": 2}
    assert list(figure.data[2].customdata) == [0, 3]


def test_the_map_is_made_and_stored_by_a_spec(cache) -> None:
    store = Store(cache)
    train, _, _, pool = split_table(Load("bundled:hydration"), seed=0, train=60, valid=20, pool=40, test=None)
    spec = Projection(pool, train)
    projection = make(spec, store, Report())
    again = store.get(spec)
    assert again.summary() == projection.summary() and again.table.equals(projection.table)
    assert projection.record["rows"] == projection.record["drawn"] == {"train": 60, "pool": 40}


def test_export_as_an_sd_file() -> None:
    text = chem.as_sdf(["CCO", "C[C@H](O)N"], {"logS": [1.25, np.nan]})
    assert text.count("$$$$") == 2 and text.count("logS") == 1 and "1.25" in text
    again = read_sdf(text).frame
    assert list(again["smiles"]) == ["CCO", chem.canonical_smiles("C[C@H](O)N")]
