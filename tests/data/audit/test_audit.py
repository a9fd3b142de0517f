"""Findings of an audit on one table and compared with its splits, and the corrected table."""

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
from core.experiments import Audit, Concat, CorrectedTable, FineTune, Load, audit_against_parts, split_table


def of(smiles: list[str], labels: Any) -> Dataset:
    canonical = np.array([chem.canonical_smiles(one) for one in smiles], object)
    return Dataset(canonical, np.asarray(labels, float)[:, None], ("y",), ("mg",))


def chains(count: int, seed: int = 0) -> Dataset:
    """Bundled measured solubilities."""
    table = Load("bundled:solubility").make(Report())
    rows = np.random.default_rng(seed).permutation(len(table))[:count]
    return dataclasses.replace(table.take(rows), tasks=("y",), unit=("mg",))


@pytest.fixture(scope="module")
def measured() -> Dataset:
    return chains(500)


def kinds(findings: Findings) -> list[str]:
    return [one.kind for one in findings.findings]


def test_noise_of_repeat_measurements() -> None:
    cleaned = clean_table(
        ["CCO", "OCC", "CCC", "CCN", "NCC", "CCCC"], [[1.0], [1.4], [2.0], [3.0], [3.0], [5.0]], ("y",)
    )
    replicates = cleaned.provenance["replicates"]["y"]
    assert replicates["molecules"] == 2 and replicates["labels"] == 4 and replicates["widest"] == pytest.approx(0.4)
    assert replicates["widest_row"] == 1 and replicates["sd"] == pytest.approx(0.2)  # variances 0.08 and 0, pooled
    noise = audit(cleaned).of("measured again: y")
    assert "0.2 apart (pooled standard deviation), 0.4 at most (row 1)" in noise.statement
    assert "replicates" not in clean_table(["CCO", "CCC"], [[1.0], [2.0]], ("y",)).provenance
    voted = clean_table(["CCO", "OCC", "CCC"], [[1.0], [0.0], [0.0]], ("y",))
    assert "replicates" not in voted.provenance, "classes are settled by majority"


def test_salts_inorganic_and_large_molecules_are_reported() -> None:
    findings = audit(of(["CCO", "CC[NH3+].[Cl-]", "CC[NH3+]", "[Na+].[Cl-]", "O", "C" * 120], [1, 2, 3, 4, 5, 6]))
    salts = findings.of("several components")
    assert salts.rows.tolist() == [1, 3] and salts.numbers["twice"] == 1 and salts.level == "caution"
    assert findings.of("no carbon").rows.tolist() == [3, 4]
    assert findings.of("very large").rows.tolist() == [5]


def test_stereoisomers_are_grouped_and_labels_compared() -> None:
    findings = audit(of(["C[C@H](O)N", "CCO", "C[C@@H](O)N", "CC(O)N"], [1.0, 9.0, 3.0, 2.5]))
    twins = findings.of("stereo twins")
    assert twins.rows.tolist() == [0, 2, 3] and twins.groups.tolist() == [0, 0, 0] and twins.fix == "merge"
    assert "2 apart on average, 2 at most" in twins.statement


def test_outliers_assay_limits_and_wide_ranges_are_reported(measured: Dataset) -> None:
    labels = measured.targets[:, 0].copy()
    labels[:30] = labels.max()
    labels[40] = 90.0
    findings = audit(dataclasses.replace(measured, targets=labels[:, None]))
    far = findings.of("far out: y")
    assert far.rows.tolist() == [40] and "the farthest is 90" in far.statement
    assert "end of the scale: y, highest" not in kinds(findings), "the one far out is the highest now"
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


def test_mixed_units_are_detected_from_neighbours(measured: Dataset) -> None:
    labels, random = measured.targets[:, 0].copy(), np.random.default_rng(0)
    smooth = np.array([len(smiles) / 20 for smiles in measured.smiles]) + random.normal(0, 0.1, len(labels))
    wrong = np.sort(random.permutation(len(labels))[:40])
    smooth[wrong] += 3
    findings = audit(dataclasses.replace(measured, targets=smooth[:, None])).of("mixed units: y")
    assert findings.level == "fault" and "1,000 times off" in findings.statement
    assert len(set(findings.rows) & set(wrong)) > 0.8 * len(findings.rows) and len(findings.rows) > 25


def test_target_without_labels_is_reported() -> None:
    both = Dataset(np.array(["CCO", "CCC"], object), np.array([[1.0, np.nan], [2.0, np.nan]]), ("y", "z"))
    empty = audit(both).of("labels: z")
    assert empty.level == "caution" and empty.statement == "z: none of 2 molecules has a label"


def test_rare_class_is_a_caution() -> None:
    findings = audit(of(["C" * n for n in range(1, 61)], [1] * 5 + [0] * 55)).of("labels: y")
    assert findings.level == "caution" and "5 of them 1 (8.3%)" in findings.statement


def test_pool_is_compared_with_the_splits(measured: Dataset) -> None:
    train, test = measured.take(np.arange(300)), measured.take(np.arange(300, 400))
    rows = np.r_[0:5, 300:307, 400:500]
    pool = measured.take(rows)
    labels = pool.targets.copy()
    labels[0] += 5.0
    findings = audit(dataclasses.replace(pool, targets=labels), {"train": train, "test": test})
    shared_train, shared_test = findings.of("same molecule: train"), findings.of("same molecule: test")
    assert shared_train.rows.tolist() == [0, 1, 2, 3, 4] and shared_train.level == "caution"
    assert (
        shared_train.others["train"].tolist() == [0, 1, 2, 3, 4]
        and "differ by 1.00 on average, 5.00 at most" in shared_train.statement
    )
    assert shared_test.rows.tolist() == list(range(5, 12)) and shared_test.level == "fault"
    contradiction = findings.of("contradiction: train")
    assert contradiction.rows.tolist() == [0] and "the widest gap is 5.00" in contradiction.statement
    assert findings.of("shift: train").level == "note" and findings.of("shift: train").numbers["auroc"] < 0.7
    assert findings.of("origin of labels: train, test").level == "note"
    assert 0 < findings.of("scaffolds: test").numbers["share"] <= 1
    levels = [one.level for one in findings.findings]
    assert levels == sorted(levels, key=["fault", "caution", "note"].index)


def test_shift_to_other_molecules_is_detected(measured: Dataset) -> None:
    large = sorted(range(len(measured)), key=lambda row: len(measured.smiles[row]))
    findings = audit(measured.take(np.array(large[400:])), {"others": measured.take(np.array(large[:400]))})
    shift = findings.of("shift: others")
    assert shift.level == "caution" and shift.numbers["auroc"] > 0.9 and shift.numbers["ks"]["HeavyAtomCount"] > 0.8
    assert "same molecule: others" not in kinds(findings)


def test_tables_are_compared_in_an_embedding(measured: Dataset) -> None:
    """Similar by descriptors, separate in the embedding: the finding is a caution and names the embedding."""
    half = {smiles: index % 2 for index, smiles in enumerate(measured.smiles)}
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
        apart.numbers["auroc"] == calm.numbers["auroc"] and "the embedding of halves with AUROC 1.00" in apart.statement
    )


def test_computed_labels_list_their_source_rows_by_part(measured: Dataset) -> None:
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


def test_findings_survive_save_and_load(tmp_path: Path) -> None:
    findings = Findings(
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
    findings.save(tmp_path)
    loaded = Findings.load(tmp_path)
    assert loaded.summary() == findings.summary() and kinds(loaded) == ["b", "c", "a"]
    assert loaded.of("b").groups.tolist() == [0, 0] and loaded.of("c").others["test"].tolist() == [0, 7]
    assert len(loaded.of("c").others["other"]) == 0 and len(loaded.of("a").rows) == 0
    assert all(one.fix in ("", *FIXES) for one in loaded.findings)
    with pytest.raises(BadInput, match="no finding 'z'; it has b, c, a"):
        loaded.of("z")


def test_audited_table_is_corrected(cache: Path) -> None:
    store = Store(cache)
    train, valid, test, pool = split_table(Load("bundled:hydration"), seed=0, train=200, valid=60, pool=100, test=None)
    leaky = Concat((pool, test))
    spec = Audit(leaky, (train, valid, test))
    assert spec.names == ("train", "valid", "test")
    findings = make(spec, store, Report())
    shared = findings.of("same molecule: test")
    assert len(shared.rows) == len(store.get(test))
    corrected = CorrectedTable(leaky, spec, ("same molecule: test",))
    remaining = make(corrected, store, Report())
    assert set(remaining.smiles) == set(store.get(pool).smiles)
    assert remaining.provenance["mended"]["left_out"] == len(shared.rows)
    assert read_spec_json(corrected.text) == corrected
    with pytest.raises(BadInput, match="the audit is of other tables"):
        make(CorrectedTable(Load("bundled:solubility"), spec, ("same molecule: test",)), store, Report())
    note = next(one.kind for one in findings.findings if not one.fix)
    with pytest.raises(BadInput, match="cannot be corrected"):
        make(CorrectedTable(leaky, spec, (note,)), store, Report())
    with pytest.raises(BadInput, match="`findings` is empty"):
        CorrectedTable(leaky, spec, ())
    assert audit_against_parts(pool, FineTune(train, valid, test)).others == spec.others


def test_stereoisomers_are_merged_with_the_median() -> None:
    twins = of(["C[C@H](O)N", "CCO", "C[C@@H](O)N"], [1.0, 9.0, 3.0])
    findings = audit(twins)
    spec = Audit(Load("bundled:hydration"))
    cleaned = CorrectedTable(Load("bundled:hydration"), spec, ("stereo twins",)).make(
        Report(), table=twins, audit=findings
    )
    assert cleaned.smiles.tolist() == [chem.canonical_smiles("C[C@H](O)N"), "CCO"]
    assert cleaned.targets[:, 0].tolist() == [2.0, 9.0]
