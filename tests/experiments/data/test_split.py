import numpy as np
import pytest

from core.chem import molecules as chem
from core.data.cleaning import clean_table
from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT
from core.engine.spec import BadInput, read_spec_json
from core.experiments.data.load import Load
from core.experiments.data.split import NAMES, Split, split_rows, split_table

RULES = ("random", "scaffold", "label")
SIZES = {"train": None, "valid": 0.1, "test": 0.2, "pool": 7}


@pytest.fixture(scope="module")
def table():
    """120 molecules: 70 without a ring, 20 of these in pairs of stereoisomers, and 50 scaffolds."""
    chains = ["C" * n + end for n in range(1, 11) for end in ("O", "N", "Cl", "C(=O)O", "S")]
    rings = ("c1ccccc1", "C1CCCCC1", "c1ccncc1", "c1ccoc1", "C1CC1")
    rings = ["c1ccccc1" + "C" * n + ring for ring in rings for n in range(1, 11)]
    stereo = [f"C[C@{mark}H](F){'C' * n}O" for n in range(1, 11) for mark in ("", "@")]
    smiles = chains + rings + stereo
    return clean_table(smiles, np.random.default_rng(0).normal(size=len(smiles)), ["y"])


@pytest.mark.parametrize("by", RULES)
@pytest.mark.parametrize("seed", range(5))
def test_sets_are_disjoint_and_stereoisomers_stay_together(table, by, seed):
    parts = split_rows(table, by, SIZES, seed, SILENT_REPORT)
    assert sorted(np.concatenate([parts[name] for name in NAMES])) == list(range(120))
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 77, "valid": 12, "test": 24, "pool": 7}
    keys = [{chem.stereo_free_smiles(table.smiles[row]) for row in parts[name]} for name in NAMES]
    assert sum(map(len, keys)) == len(set.union(*keys)) == 110
    if by == "scaffold":
        cores = [{chem.scaffold(table.smiles[row]) for row in parts[name]} for name in ("train", "valid", "test")]
        again = split_rows(table, by, SIZES, seed, SILENT_REPORT)
        assert all((parts[name] == again[name]).all() for name in NAMES)
        assert "" in cores[0] and "" not in cores[1] | cores[2]  # 70 chains, the largest group


@pytest.mark.parametrize("by", ["random", "label"])
def test_test_set_is_independent_of_other_sizes(table, by):
    one = split_rows(table, by, SIZES, 3, SILENT_REPORT)["test"]
    other = split_rows(table, by, {"train": 40, "valid": 20, "test": 0.2, "pool": None}, 3, SILENT_REPORT)["test"]
    assert (one == other).all()
    assert not np.array_equal(one, split_rows(table, by, SIZES, 4, SILENT_REPORT)["test"])


def test_scaffolds_stay_whole():
    smiles = [
        ring + "C" * n for ring in ("c1ccccc1", "C1CCCCC1", "c1ccncc1", "c1ccoc1", "C1CC1", "C1CCC1") for n in range(10)
    ]
    table = clean_table(smiles, range(60), ["y"])
    parts = split_rows(table, "scaffold", {"train": None, "valid": 10, "test": 10, "pool": 10}, 0, SILENT_REPORT)
    cores = {name: {chem.scaffold(table.smiles[row]) for row in rows} for name, rows in parts.items()}
    assert {name: len(scaffolds) for name, scaffolds in cores.items()} == {"train": 3, "valid": 1, "test": 1, "pool": 1}
    other = split_rows(table, "scaffold", {"train": None, "valid": 10, "test": 10, "pool": 10}, 1, SILENT_REPORT)
    assert any((parts[name] != other[name]).any() for name in ("valid", "test", "pool"))  # the seed breaks ties


def test_scaffold_larger_than_every_set_goes_to_the_largest():
    smiles = ["C" * n for n in range(1, 41)] + ["c1ccccc1" + "C" * n + "C1CCC1" for n in range(20)]
    table = clean_table(smiles, range(60), ["y"])
    parts = split_rows(table, "scaffold", {"train": 30, "valid": 10, "test": None, "pool": 0}, 0, SILENT_REPORT)
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 40, "valid": 10, "test": 10, "pool": 0}


def test_counts_are_exact_by_swapping_groups():
    pairs = [f"C[C@{mark}H](F){'C' * n}O" for n in range(1, 11) for mark in ("", "@")]
    triples = [f"C[C{mark}H](F){'C' * n}N".replace("[CH]", "C") for n in range(1, 11) for mark in ("", "@", "@@")]
    table = clean_table(pairs + triples, range(50), ["y"])
    for seed in range(20):
        parts = split_rows(table, "random", {"train": None, "valid": 5, "test": 5, "pool": 0}, seed, SILENT_REPORT)
        assert (len(parts["test"]), len(parts["valid"]), len(parts["train"])) == (5, 5, 40)


def test_split_by_label_is_stratified():
    smiles = ["C" * n + "O" for n in range(1, 201)]
    labels = np.random.default_rng(1).normal(size=200) ** 3
    table = clean_table(smiles, labels, ["y"])
    tenths = np.quantile(labels, np.arange(1, 10) / 10)
    for seed in range(5):
        parts = split_rows(table, "label", {"train": None, "valid": 20, "test": 40, "pool": 0}, seed, SILENT_REPORT)
        for name, each in (("valid", 2), ("test", 4)):
            counts = np.bincount(np.searchsorted(tenths, labels[parts[name]]), minlength=10)
            assert abs(counts - each).max() <= 1
    binary = clean_table(smiles, (np.arange(200) % 10 == 0).astype(float), ["y"])
    parts = split_rows(binary, "label", {"train": None, "valid": 20, "test": 20, "pool": 0}, 0, SILENT_REPORT)
    assert {binary.targets[parts[name], 0].sum() for name in ("valid", "test")} == {2}


def test_split_by_label_with_missing_labels(table):
    targets = np.column_stack([np.full(120, np.nan), np.where(np.arange(120) % 2, np.arange(120.0), np.nan)])
    gaps = Dataset(table.smiles, targets, ("a", "b"))
    parts = split_rows(gaps, "label", SIZES, 0, SILENT_REPORT)
    assert sum(map(len, parts.values())) == 120
    assert 8 <= (~np.isnan(targets[parts["test"], 1])).sum() <= 16
    with pytest.raises(BadInput, match="measured label"):
        split_rows(clean_table(list(table.smiles)), "label", SIZES, 0, SILENT_REPORT)


def test_spec_makes_one_set(table):
    spec = Split(Load(), part="valid", seed=5)
    parts = spec.make(SILENT_REPORT, table=table)
    assert len(parts) == 12 and parts.tasks == ("y",)
    assert list(parts.smiles) == [table.smiles[row - 1] for row in parts.columns["row"]]
    (note,) = parts.provenance["split"]
    assert note.pop("rows") == {"train": 96, "valid": 12, "test": 12, "pool": 0}
    assert note.pop("sizes") == {"train": None, "valid": 0.1, "test": 0.1, "pool": 0}
    assert note == {"by": "random", "seed": 5, "part": "valid", "of": table.digest}
    again = Split(spec, part="test", valid=0).make(SILENT_REPORT, table=parts)
    assert len(again.provenance["split"]) == 2 and len(again) == 1
    assert read_spec_json(spec.text) == spec


def test_split_table_gives_three_or_four_specs():
    train, valid, test = split_table(Load(), seed=2)
    assert [one.part for one in (train, valid, test)] == ["train", "valid", "test"] and test.seed == 2
    four = split_table(Load(), by="scaffold", train=300, valid=200, pool=300, test=None)
    assert [one.part for one in four] == ["train", "valid", "test", "pool"]
    assert {one.by for one in four} == {"scaffold"} and len({one.key for one in four}) == 4


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"test": None}, "exactly one set is the rest"),
        ({"train": 0.8}, "exactly one set is the rest"),
        ({"valid": 0.5, "test": 0.5}, "nothing is left for the rest"),
        ({"valid": 1.5}, "whole number of rows"),
        ({"valid": -1}, "valid"),
        ({"part": "pool"}, "has size 0"),
        ({"by": "time"}, "by"),
    ],
)
def test_bad_sizes_are_refused(fields, reason):
    with pytest.raises(BadInput, match=reason):
        Split(Load(), **fields)


@pytest.mark.parametrize(
    ("rows", "sizes", "reason"),
    [
        (1, {"valid": 0.1, "test": 0.1}, "1 rows are too few: valid 0.1 is 0, test 0.1 is 0, and train gets 1"),
        (4, {"valid": 0.1, "test": 0.1}, "4 rows are too few"),
        (10, {"valid": 5, "test": 5}, "valid 5 is 5, test 5 is 5, and train gets 0"),
        (10, {"valid": 50, "test": 0.1}, "train gets -41"),
    ],
)
def test_too_few_rows_are_refused(rows, sizes, reason):
    table = clean_table(["C" * n for n in range(1, rows + 1)], range(rows), ["y"])
    with pytest.raises(BadInput, match=reason):
        Split(Load(), part="train", **sizes).make(SILENT_REPORT, table=table)


def test_too_large_groups_are_refused():
    table = clean_table(["C[C@H](N)O", "C[C@@H](N)O", "C[C@H](N)F", "C[C@@H](N)F"], range(4), ["y"])
    with pytest.raises(BadInput, match="got no group of molecules that stay together"):
        Split(Load(), part="test", valid=1, test=1).make(SILENT_REPORT, table=table)


def test_no_leak_in_lipophilicity(shared_data):
    from core.data.readers import read_table

    frame = read_table(shared_data / "Lipophilicity.csv").frame
    table = clean_table(frame["smiles"], frame[["exp"]], ["exp"])
    for by in RULES:
        parts = split_rows(table, by, {"train": None, "valid": 0.1, "test": 0.1, "pool": 0}, 0, SILENT_REPORT)
        assert {name: len(rows) for name, rows in parts.items()} == {
            "train": 3360,
            "valid": 420,
            "test": 420,
            "pool": 0,
        }
        keys = [
            {chem.stereo_free_smiles(table.smiles[row]) for row in parts[name]} for name in ("train", "valid", "test")
        ]
        assert sum(map(len, keys)) == len(set.union(*keys)) == 4200 - 98
