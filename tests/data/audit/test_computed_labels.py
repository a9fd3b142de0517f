"""Computed labels are detected with their rule; measured labels match no rule."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.chem import descriptors
from core.chem import molecules as chem
from core.data.audit.computed_labels import choose_rule, count_coincidences, label_resolution, try_rules
from core.engine.report import SILENT_REPORT, Report
from core.experiments import Load, import_files

Table = tuple[np.ndarray, np.ndarray]


def read(source: str, target: str = "") -> Table:
    dataset = Load(source, targets=(target,) if target else ()).make(SILENT_REPORT)
    return dataset.smiles, dataset.targets[:, 0]


def halved(table: Table, count: int, seed: int = 0) -> tuple[Table, Table]:
    """A pool of `count` molecules and the rest."""
    smiles, labels = table
    order = np.random.default_rng(seed).permutation(len(smiles))
    return tuple((smiles[rows], labels[rows]) for rows in (order[:count], order[count:]))


@pytest.fixture(scope="module")
def solubility() -> tuple[Table, Table]:
    return halved(read("bundled:solubility"), 200)


def neighbours(pool: Table, table: Table, count: int) -> np.ndarray:
    near, _ = chem.nearest(list(pool[0]), list(table[0]), count)
    return table[1][near].mean(1)


def by_euclid(pool: Table, table: Table, count: int) -> np.ndarray:
    bits, others = (chem.fingerprints(list(one[0])).astype(float) for one in (pool, table))
    squares = bits.sum(1)[:, None] + others.sum(1)[None, :] - 2 * bits @ others.T
    return table[1][np.argsort(squares, axis=1, kind="stable")[:, :count]].mean(1)


def logp(pool: Table, table: Table) -> np.ndarray:
    return descriptors.compute_descriptors(list(pool[0]))[:, descriptors.descriptor_names().index("MolLogP")].astype(
        float
    )


def taught(pool: Table, table: Table) -> np.ndarray:
    from sklearn.linear_model import Ridge

    bits, others = (chem.fingerprints(list(one[0])).astype(float) for one in (pool, table))
    return Ridge(5.0).fit(others, table[1]).predict(bits)


@pytest.mark.parametrize(
    ("computed", "words"),
    [
        (lambda p, t: neighbours(p, t, 5), "the mean of the 5 nearest molecules’ labels (Tanimoto"),
        (lambda p, t: neighbours(p, t, 1), "the label of the nearest molecule (Tanimoto"),
        (lambda p, t: by_euclid(p, t, 3).round(2), "the mean of the 3 nearest molecules’ labels (Euclidean"),
        (
            lambda p, t: neighbours(p, t, 4) + np.random.default_rng(1).normal(0, 0.1, len(p[0])),
            "the mean of the 4 near",
        ),
        (logp, "RDKit’s descriptor MolLogP, up to scale and offset"),
        (lambda p, t: 3 - 2 * logp(p, t) + np.random.default_rng(2).normal(0, 0.1, len(p[0])), "MolLogP"),
        (taught, "a linear model of the other table’s labels"),
    ],
)
def test_rule_is_found_and_described(
    solubility: tuple[Table, Table], computed: Callable[[Table, Table], np.ndarray], words: str
) -> None:
    pool, table = solubility
    rule = choose_rule(try_rules(pool[0], computed(pool, table), *table))
    assert rule is not None and words in rule.description
    if "nearest" in words:
        assert 0 < len(rule.source_rows) < len(table[0]), "the rows that feed it"


def test_ties_at_the_last_neighbour_match_some_choice(solubility: tuple[Table, Table]) -> None:
    pool, table = solubility
    rule = choose_rule(try_rules(pool[0], by_euclid(pool, table, 2), *table))
    assert rule is not None and rule.matches == rule.checkable > 20
    assert rule.ties > 20 and rule.tie_matches > 0.9 * rule.ties


@pytest.mark.parametrize("rounded", [6, 2, 1])
def test_measured_labels_match_no_rule(solubility: tuple[Table, Table], rounded: int) -> None:
    pool, table = ((smiles, labels.round(rounded)) for smiles, labels in solubility)
    rules = try_rules(*pool, *table)
    assert len(rules) > 40 and choose_rule(rules) is None


def test_second_measured_table_matches_no_rule() -> None:
    pool, table = halved(read("bundled:hydration"), 150, seed=3)
    assert choose_rule(try_rules(*pool, *table)) is None


def test_narrow_series_matches_no_rule(solubility: tuple[Table, Table]) -> None:
    """Labels with little variance are predicted with a small error by any rule."""
    smiles, labels = (np.concatenate(parts) for parts in zip(*solubility, strict=True))
    narrow = (labels > -2.6) & (labels < -2.0)
    assert narrow.sum() > 60
    assert choose_rule(try_rules(smiles[narrow], labels[narrow], smiles[~narrow], labels[~narrow])) is None


def test_real_tables(shared_data: Path, tmp_path: Path) -> None:
    def table(file: str, target: str) -> Table:
        dataset = import_files(Load(f"file:{shared_data / file}", targets=(target,)), tmp_path).make(
            Report(files=tmp_path)
        )
        return dataset.smiles, dataset.targets[:, 0]

    lipophilicity = table("Lipophilicity.csv", "exp")
    rule = choose_rule(try_rules(*table("External-Dataset_for_Task2.csv", "Label"), *lipophilicity))
    assert (
        rule is not None and "5 nearest" in rule.description and "Euclidean distance of Morgan bits" in rule.description
    )
    assert rule.matches == rule.checkable >= 140 and rule.tie_matches == rule.ties > 100
    measured, rest = halved(lipophilicity, 300)
    assert choose_rule(try_rules(*measured, *rest)) is None
    soluble = "measured log solubility in mols per litre"
    assert choose_rule(try_rules(*table("delaney-processed.csv", soluble), *read("bundled:solubility"))) is None
    series = halved(table("bace.csv.gz", "pIC50"), 300)
    assert choose_rule(try_rules(*series[0], *series[1])) is None
    computed = table("delaney-processed.csv", "ESOL predicted log solubility in mols per litre")
    formula = choose_rule(
        try_rules(*halved(computed, 400)[0], *halved(table("delaney-processed.csv", soluble), 400)[1])
    )
    assert formula is not None and "formula" in formula.description


def test_too_few_or_too_coarse_labels_give_no_rules(solubility: tuple[Table, Table]) -> None:
    pool, table = solubility
    assert try_rules(pool[0][:8], pool[1][:8], *table) == []
    assert try_rules(pool[0], np.round(pool[1] / 5) * 5, *table) == []
    assert try_rules(table[0], table[1], *table) == [], "every molecule is in both"


def test_label_resolution_and_coincidences() -> None:
    assert (
        label_resolution(np.array([1.25, 3.0])) == pytest.approx(0.01) and label_resolution(np.array([2.0, 7.0])) == 1
    )
    random = np.random.default_rng(0)
    labels = random.normal(size=1000).round(3)
    matches, chance = count_coincidences(labels, labels)
    assert matches == 1000 and chance < 0.01
    matches, chance = count_coincidences(labels, random.normal(size=1000))
    assert matches < 10 and abs(matches / 1000 - chance) < 0.005
