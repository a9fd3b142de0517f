"""What an audit finds of a table, alone and beside the parts it is to join; and the table without that."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.chem import molecules as chem
from core.data.audit import FIXES, Embedding, Finding, Findings, audit
from core.data.audit.findings import sort_by_level
from core.data.cleaning import clean_table
from core.data.dataset import Dataset
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput, read_spec_json
from core.engine.store import Store
from core.experiments import Audit, Concat, CorrectedTable, Load, audit_against_parts, split_table


def of(smiles: list[str], labels: Any) -> Dataset:
    named = np.array([chem.canonical_smiles(one) for one in smiles], object)
    return Dataset(named, np.asarray(labels, float)[:, None], ("y",), ("mg",))


def chains(count: int, seed: int = 0) -> Dataset:
    """Measured solubilities that come with the installation."""
    made = Load("bundled:solubility").make(Report())
    rows = np.random.default_rng(seed).permutation(len(made))[:count]
    return dataclasses.replace(made.take(rows), tasks=("y",), unit=("mg",))


@pytest.fixture(scope="module")
def measured() -> Dataset:
    return chains(500)


def kinds(found: Findings) -> list[str]:
    return [one.kind for one in found.predict_each]


def test_repeated_measurements_tell_their_noise() -> None:
    made = clean_table(["CCO", "OCC", "CCC", "CCN", "NCC", "CCCC"], [[1.0], [1.4], [2.0], [3.0], [3.0], [5.0]], ("y",))
    told = made.provenance["replicates"]["y"]
    assert told["molecules"] == 2 and told["labels"] == 4 and told["widest"] == pytest.approx(0.4)
    assert told["widest_row"] == 1 and told["sd"] == pytest.approx(0.2)  # variances 0.08 and 0, pooled
    noise = audit(made).of("measured again: y")
    assert "0.2 apart (pooled standard deviation), 0.4 at most (row 1)" in noise.statement
    assert "replicates" not in clean_table(["CCO", "CCC"], [[1.0], [2.0]], ("y",)).provenance
    voted = clean_table(["CCO", "OCC", "CCC"], [[1.0], [0.0], [0.0]], ("y",))
    assert "replicates" not in voted.provenance, "classes are settled by majority"


def test_molecules_that_are_no_single_small_organic_one_are_named() -> None:
    found = audit(of(["CCO", "CC[NH3+].[Cl-]", "CC[NH3+]", "[Na+].[Cl-]", "O", "C" * 120], [1, 2, 3, 4, 5, 6]))
    salts = found.of("several components")
    assert salts.rows.tolist() == [1, 3] and salts.numbers["twice"] == 1 and salts.level == "caution"
    assert found.of("no carbon").rows.tolist() == [3, 4]
    assert found.of("very large").rows.tolist() == [5]


def test_stereo_twins_are_grouped_and_their_labels_compared() -> None:
    found = audit(of(["C[C@H](O)N", "CCO", "C[C@@H](O)N", "CC(O)N"], [1.0, 9.0, 3.0, 2.5]))
    twins = found.of("stereo twins")
    assert twins.rows.tolist() == [0, 2, 3] and twins.groups.tolist() == [0, 0, 0] and twins.fix == "merge"
    assert "2 apart on average, 2 at most" in twins.statement


def test_labels_that_stand_out_pile_up_or_reach_far(measured: Dataset) -> None:
    labels = measured.targets[:, 0].copy()
    labels[:30] = labels.max()
    labels[40] = 90.0
    found = audit(dataclasses.replace(measured, targets=labels[:, None]))
    far = found.of("far out: y")
    assert far.rows.tolist() == [40] and "the farthest is 90" in far.statement
    assert "end of the scale: y, highest" not in kinds(found), "the one far out is the highest now"
    labels[40] = labels[:30].max()
    piled = audit(dataclasses.replace(measured, targets=labels[:, None])).of("end of the scale: y, highest")
    highest = np.flatnonzero(labels == labels.max())
    assert set(range(30)) | {40} <= set(highest) and piled.rows.tolist() == highest.tolist()
    assert f"({len(highest) / 500:.1%}) are the highest value" in piled.statement
    wide = audit(dataclasses.replace(measured, targets=10.0**measured.targets))
    assert "powers of ten" in wide.of("wide range: y").statement
    calm = audit(measured)
    assert calm.of("labels: y").numbers["sd"] == pytest.approx(measured.targets.std())
    assert not [kind for kind in kinds(calm) if kind.startswith(("end of", "wide", "mixed"))]


def test_labels_in_two_units_are_seen_by_their_neighbours(measured: Dataset) -> None:
    labels, random = measured.targets[:, 0].copy(), np.random.default_rng(0)
    smooth = np.array([len(smiles) / 20 for smiles in measured.smiles]) + random.normal(0, 0.1, len(labels))
    wrong = np.sort(random.permutation(len(labels))[:40])
    smooth[wrong] += 3
    found = audit(dataclasses.replace(measured, targets=smooth[:, None])).of("mixed units: y")
    assert found.level == "fault" and "1,000 times off" in found.statement
    assert len(set(found.rows) & set(wrong)) > 0.8 * len(found.rows) and len(found.rows) > 25


def test_a_target_that_nobody_measured_is_named() -> None:
    both = Dataset(np.array(["CCO", "CCC"], object), np.array([[1.0, np.nan], [2.0, np.nan]]), ("y", "z"))
    empty = audit(both).of("labels: z")
    assert empty.level == "caution" and empty.statement == "z: none of 2 molecules has a label"


def test_few_of_a_class_are_cautioned() -> None:
    found = audit(of(["C" * n for n in range(1, 61)], [1] * 5 + [0] * 55)).of("labels: y")
    assert found.level == "caution" and "5 of them 1 (8.3%)" in found.statement


def test_a_pool_beside_the_parts_it_would_join(measured: Dataset) -> None:
    train, test = measured.take(np.arange(300)), measured.take(np.arange(300, 400))
    rows = np.r_[0:5, 300:307, 400:500]
    pool = measured.take(rows)
    labels = pool.targets.copy()
    labels[0] += 5.0
    found = audit(dataclasses.replace(pool, targets=labels), {"train": train, "test": test})
    learned, judged = found.of("same molecule: train"), found.of("same molecule: test")
    assert learned.rows.tolist() == [0, 1, 2, 3, 4] and learned.level == "caution"
    assert (
        learned.others["train"].tolist() == [0, 1, 2, 3, 4]
        and "differ by 1.00 on average, 5.00 at most" in learned.statement
    )
    assert judged.rows.tolist() == list(range(5, 12)) and judged.level == "fault"
    against = found.of("contradiction: train")
    assert against.rows.tolist() == [0] and "the widest gap is 5.00" in against.statement
    assert found.of("shift: train").level == "note" and found.of("shift: train").numbers["auroc"] < 0.7
    assert found.of("origin of labels: train, test").level == "note"
    assert 0 < found.of("scaffolds: test").numbers["share"] <= 1
    levels = [one.level for one in found.predict_each]
    assert levels == sorted(levels, key=["fault", "caution", "note"].index)


def test_other_molecules_are_told_apart(measured: Dataset) -> None:
    large = sorted(range(len(measured)), key=lambda row: len(measured.smiles[row]))
    found = audit(measured.take(np.array(large[400:])), {"others": measured.take(np.array(large[:400]))})
    shift = found.of("shift: others")
    assert shift.level == "caution" and shift.numbers["auroc"] > 0.9 and shift.numbers["ks"]["HeavyAtomCount"] > 0.8
    assert "same molecule: others" not in kinds(found)


def test_tables_are_compared_in_an_embedding_too(measured: Dataset) -> None:
    """Alike by descriptors, apart in the embedding: the latter is the caution, and is named."""
    half = {smiles: place % 2 for place, smiles in enumerate(measured.smiles)}
    pool, table = (measured.take(np.arange(start, 500, 2)) for start in (0, 1))
    noise = np.random.default_rng(0)

    def of_halves(smiles: list[str]) -> np.ndarray:
        return noise.normal(size=(len(smiles), 8)) + 4 * np.array([[half[one]] for one in smiles])

    def of_nothing(smiles: list[str]) -> np.ndarray:
        return noise.normal(size=(len(smiles), 8))

    calm = audit(pool, {"others": table}, embedding=Embedding(of_nothing, "noise")).of("shift: others")
    assert calm.level == "note" and abs(calm.numbers["auroc_embedding"] - 0.5) < 0.15
    apart = audit(pool, {"others": table}, embedding=Embedding(of_halves, "halves")).of("shift: others")
    assert apart.level == "caution" and apart.numbers["auroc_embedding"] > 0.95
    assert (
        apart.numbers["auroc"] == calm.numbers["auroc"]
        and "by the embedding of halves with AUROC 1.00" in apart.statement
    )


def test_computed_labels_name_the_rows_that_feed_them_part_by_part(measured: Dataset) -> None:
    train, test, pool = (measured.take(np.arange(*ends)) for ends in ((0, 300), (300, 400), (400, 500)))
    both = [*train.smiles, *test.smiles]
    labels = np.concatenate([train.targets, test.targets])[:, 0]
    near, _ = chem.nearest(list(pool.smiles), both, 5)
    computed = dataclasses.replace(pool, targets=labels[near].mean(1)[:, None])
    one = audit(computed, {"train": train, "test": test}).of("origin of labels: train, test")
    assert one.level == "fault" and one.fix == "hold out" and "5 nearest molecules’ labels (Tanimoto" in one.statement
    assert set(one.others) == {"train", "test"}
    fed = {int(row) for row in near.ravel()}
    assert set(one.others["test"]) <= {row - 300 for row in fed if row >= 300} and len(one.others["test"]) > 20
    assert f"{len(one.others['test']):,} rows of the test part feed the rule" in one.consequence


def test_findings_are_kept_whole(tmp_path: Path) -> None:
    found = Findings(
        sort_by_level(
            [
                Finding("a", "note", "said", "means"),
                Finding("b", "fault", "s", "m", "merge", np.array([1, 2]), groups=np.array([0, 0]), numbers={"x": 1.5}),
                Finding(
                    "c",
                    "caution",
                    "s",
                    "m",
                    "drop",
                    np.array([3]),
                    {"test": np.array([0, 7]), "other": np.zeros(0, int)},
                ),
            ]
        ),
        {"rows": 4, "digest": "d", "others": {}},
    )
    found.save(tmp_path)
    again = Findings.load(tmp_path)
    assert again.summary() == found.summary() and kinds(again) == ["b", "c", "a"]
    assert again.of("b").groups.tolist() == [0, 0] and again.of("c").others["test"].tolist() == [0, 7]
    assert len(again.of("c").others["other"]) == 0 and len(again.of("a").rows) == 0
    assert all(one.fix in ("", *FIXES) for one in again.predict_each)
    with pytest.raises(BadInput, match="no finding 'z'; it has b, c, a"):
        again.of("z")


def test_an_audited_table_is_mended(cache: Path) -> None:
    store = Store(cache)
    train, valid, test, pool = split_table(Load("bundled:hydration"), seed=0, train=200, valid=60, pool=100, test=None)
    leaky = Concat((pool, test))
    recipe = Audit(leaky, (train, valid, test))
    assert recipe.names == ("train", "valid", "test")
    found = make(recipe, store, Report())
    shared = found.of("same molecule: test")
    assert len(shared.rows) == len(store.get(test))
    mended = CorrectedTable(leaky, recipe, ("same molecule: test",))
    left = make(mended, store, Report())
    assert set(left.smiles) == set(store.get(pool).smiles) and left.provenance["mended"]["left_out"] == len(shared.rows)
    assert read_spec_json(mended.text) == mended
    with pytest.raises(BadInput, match="the audit is of other tables"):
        make(CorrectedTable(Load("bundled:solubility"), recipe, ("same molecule: test",)), store, Report())
    note = next(one.kind for one in found.predict_each if not one.fix)
    with pytest.raises(BadInput, match="cannot be corrected"):
        make(CorrectedTable(leaky, recipe, (note,)), store, Report())
    with pytest.raises(BadInput, match="`findings` is empty"):
        CorrectedTable(leaky, recipe, ())
    assert (
        audit_against_parts(pool, type("Fit", (), {"train": train, "valid": valid, "test": test})).others
        == recipe.others
    )


def test_twins_become_one_row_with_the_median() -> None:
    twins = of(["C[C@H](O)N", "CCO", "C[C@@H](O)N"], [1.0, 9.0, 3.0])
    found = audit(twins)
    recipe = Audit(Load("bundled:hydration"))
    made = CorrectedTable(Load("bundled:hydration"), recipe, ("stereo twins",)).make(Report(), table=twins, audit=found)
    assert made.smiles.tolist() == [chem.canonical_smiles("C[C@H](O)N"), "CCO"] and made.targets[:, 0].tolist() == [
        2.0,
        9.0,
    ]
