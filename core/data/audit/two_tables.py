"""Audit of a pool compared with the tables that it will be added to or evaluated on."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from core.chem import descriptors as properties
from core.chem import molecules as chem
from core.data.audit.findings import Finding, match_tasks, table_name
from core.data.audit.label_origin import find_label_origin
from core.data.audit.single_table import stereo_free_keys
from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT, Report

NEAR_COPY_SIMILARITY = 0.95  # Tanimoto similarity from which two molecules are near-copies
MAX_QUERIES = 2000  # molecules of the pool whose neighbours are searched
MAX_REFERENCES = 20_000  # molecules of a table that are searched
MAX_SCAFFOLDS = 10_000  # molecules of a table whose scaffolds are compared
MAX_SHIFT_ROWS = 1000  # molecules of each table that are compared
SHIFT_DESCRIPTORS = (
    *("HeavyAtomCount", "MolLogP", "TPSA", "NumHDonors", "NumHAcceptors", "NumRotatableBonds", "RingCount"),
    *("FractionCSP3", "NumAromaticRings", "NumHeteroatoms", "MolMR", "NumAliphaticRings"),
)
SHIFT_AUROC = 0.8  # AUROC above which two tables have different molecules
CONTRADICTION_FACTOR = 3.0  # two labels of a molecule contradict if they differ by more than this times the noise
DEFAULT_NOISE_SHARE = 0.2  # of the labels' standard deviation: the noise if there are no repeat measurements
HELD_OUT_PARTS = ("valid", "test")  # parts that models are evaluated on


class Embedding(NamedTuple):
    """A model's embedding: `of` maps SMILES to an array (n, h)."""

    of: Callable[[list[str]], np.ndarray]
    name: str


def audit_against_tables(
    pool: Dataset, others: Mapping[str, Dataset], report: Report = SILENT_REPORT, embedding: Embedding | None = None
) -> list[Finding]:
    """Findings on a pool compared with each table, by name; "valid" and "test" are held-out parts."""
    findings = []
    pool_keys = stereo_free_keys(pool.smiles)
    findings += find_label_origin(pool, others, report.part(0, 0.3))
    for index, (name, table) in enumerate(others.items()):
        table_report = report.part(0.3 + 0.7 * index / len(others), 0.3 + 0.7 * (index + 1) / len(others))
        findings += _shared(pool, pool_keys, name, table)
        findings += _near_copies(pool, pool_keys, name, table, table_report.part(0, 0.3))
        findings += _scaffolds(pool, name, table, table_report.part(0.3, 0.4))
        findings += _shift(pool, name, table, table_report.part(0.4, 1), embedding)
    return findings


def _shared(pool: Dataset, pool_keys: list[str], name: str, table: Dataset) -> list[Finding]:
    """Shared molecules, shared graphs, and contradictory labels of them."""
    findings, row_of_smiles = [], {smiles: row for row, smiles in enumerate(table.smiles)}
    table_keys = stereo_free_keys(table.smiles)
    graphs: dict[str, list[int]] = {}
    for row, key in enumerate(table_keys):
        graphs.setdefault(key, []).append(row)
    same_molecules = [(row, row_of_smiles[smiles]) for row, smiles in enumerate(pool.smiles) if smiles in row_of_smiles]
    exact_rows = {row for row, _ in same_molecules}
    same_graphs = [
        (row, other) for row, key in enumerate(pool_keys) if row not in exact_rows for other in graphs.get(key, ())
    ]
    for kind, pairs, words in (
        ("same molecule", same_molecules, "molecules are in"),
        ("same graph", same_graphs, "have a stereoisomer in"),
    ):
        if not pairs:
            continue
        rows, table_rows = (np.unique(ends) for ends in zip(*pairs, strict=True))
        label_text, numbers = _describe_gaps(pool, table, pairs)
        findings.append(
            Finding(
                f"{kind}: {name}",
                "fault" if name in HELD_OUT_PARTS else "caution",
                f"{len(rows):,} of {len(pool):,} {words} {table_name(name)}{label_text}",
                "Adding them leaks the evaluation set into training: the error falls and means nothing."
                if name in HELD_OUT_PARTS
                else "They add no new molecule, only a second label.",
                "drop",
                rows,
                {name: table_rows},
                numbers={"rows": len(rows), **numbers},
            )
        )
    return findings + _contradictions(pool, table, [*same_molecules, *same_graphs], name)


def _describe_gaps(pool: Dataset, table: Dataset, pairs: list[tuple[int, int]]) -> tuple[str, dict[str, Any]]:
    """Text and numbers on how much labels of shared molecules differ, for the first shared task."""
    gaps = _gaps(pool, table, pairs)
    if gaps is None or not np.isfinite(gaps).any():
        return "", {}
    sizes = np.abs(gaps[np.isfinite(gaps)])
    text = f"; the labels differ by {sizes.mean():.2f} on average, {sizes.max():.2f} at most"
    return text, {"labelled": len(sizes), "mean_gap": float(sizes.mean()), "widest_gap": float(sizes.max())}


def _gaps(pool: Dataset, table: Dataset, pairs: list[tuple[int, int]]) -> np.ndarray | None:
    task_pairs = match_tasks(pool, table)
    if not task_pairs or not pairs:
        return None
    (task, other_task), (rows, table_rows) = task_pairs[0], np.array(pairs).T
    return pool.targets[rows, task] - table.targets[table_rows, other_task]


def _contradictions(pool: Dataset, table: Dataset, pairs: list[tuple[int, int]], name: str) -> list[Finding]:
    gaps = _gaps(pool, table, pairs)
    if gaps is None or not np.isfinite(gaps).any():
        return []
    task, other_task = match_tasks(pool, table)[0]
    noise, noise_source = measurement_noise(table, other_task)
    wide = np.flatnonzero(np.abs(np.nan_to_num(gaps)) > CONTRADICTION_FACTOR * noise)
    if not len(wide):
        return []
    worst = wide[np.argmax(np.abs(gaps[wide]))]
    rows, table_rows = (np.unique(ends) for ends in zip(*(pairs[index] for index in wide), strict=True))
    row, table_row = pairs[worst]
    unit = table.unit[other_task]
    return [
        Finding(
            f"contradiction: {name}",
            "fault",
            f"{len(rows):,} molecules have labels here and in {table_name(name)} that are more than "
            f"{CONTRADICTION_FACTOR * noise:.2g}{_unit_suffix(unit)} apart ({CONTRADICTION_FACTOR:g} times "
            f"{noise_source}); the widest gap is {abs(gaps[worst]):.2f}: {pool.targets[row, task]:.3g} here, "
            f"{table.targets[table_row, other_task]:.3g} there, {pool.smiles[row][:60]}",
            "One of the two is wrong, or they were measured differently.",
            "drop",
            rows,
            {name: table_rows},
            numbers={"rows": len(rows), "limit": CONTRADICTION_FACTOR * noise, "widest_gap": float(abs(gaps[worst]))},
        )
    ]


def measurement_noise(table: Dataset, task: int) -> tuple[float, str]:
    """Standard deviation of repeat measurements of a molecule in label units, and its source in words."""
    replicates = (table.provenance.get("replicates") or {}).get(table.tasks[task])
    if replicates and replicates["molecules"] >= 5 and replicates["sd"] > 0:
        return float(replicates["sd"]), "the noise of its repeated measurements"
    return DEFAULT_NOISE_SHARE * float(np.nanstd(table.targets[:, task])), "a fifth of the labels’ standard deviation"


def _near_copies(pool: Dataset, pool_keys: list[str], name: str, table: Dataset, report: Report) -> list[Finding]:
    """Very similar molecules with another graph, and how similar the pool is to the table."""
    generator = np.random.default_rng(0)
    rows = np.sort(generator.permutation(len(pool))[:MAX_QUERIES])
    table_rows = np.sort(generator.permutation(len(table))[:MAX_REFERENCES])
    report(0, f"searching for near-copies in {table_name(name)}")
    neighbours, similarities = chem.nearest(list(pool.smiles[rows]), list(table.smiles[table_rows]), 2)
    table_keys = stereo_free_keys(table.smiles[table_rows])
    copies, copied_rows, best = [], [], []
    for row, columns, values in zip(rows, neighbours, similarities, strict=True):
        other_graphs = [
            (value, column)
            for value, column in zip(values, columns, strict=True)
            if table_keys[column] != pool_keys[row]
        ]
        best.append(float(max(values)))
        if other_graphs and max(other_graphs)[0] >= NEAR_COPY_SIMILARITY:
            copies.append(row)
            copied_rows.append(table_rows[max(other_graphs)[1]])
    sampled = "" if len(rows) == len(pool) else f" (a sample of {len(pool):,})"
    findings = [
        Finding(
            f"nearness: {name}",
            "note",
            f"half of the {len(rows):,} molecules{sampled} have a neighbour in {table_name(name)} with a Tanimoto "
            f"similarity of {np.median(best):.2f} or more; a tenth, of {np.quantile(best, 0.9):.2f} or more",
            "Similar molecules add little; dissimilar ones may add more, or be irrelevant.",
            numbers={"median": float(np.median(best)), "tenth": float(np.quantile(best, 0.9))},
        )
    ]
    if copies:
        findings.append(
            Finding(
                f"near-copies: {name}",
                "caution",
                f"{len(copies):,} of {len(rows):,}{sampled} have a near-copy in {table_name(name)} "
                f"(Tanimoto {NEAR_COPY_SIMILARITY:g} or more, another graph)",
                "Nearly the same as training on the evaluation set."
                if name in HELD_OUT_PARTS
                else "They add little that is new.",
                "drop" if name in HELD_OUT_PARTS else "",
                np.array(copies),
                {name: np.unique(copied_rows)},
                numbers={"rows": len(copies)},
            )
        )
    return findings


def _scaffolds(pool: Dataset, name: str, table: Dataset, report: Report) -> list[Finding]:
    report(0, "comparing scaffolds")
    generator = np.random.default_rng(0)
    rows = np.sort(generator.permutation(len(pool))[:MAX_QUERIES])
    table_scaffolds = {
        chem.scaffold(one) for one in table.smiles[np.sort(generator.permutation(len(table))[:MAX_SCAFFOLDS])]
    } - {""}
    pool_scaffolds = [chem.scaffold(one) for one in pool.smiles[rows]]
    ringed = [one for one in pool_scaffolds if one]
    if not ringed:
        return []
    shared = sum(one in table_scaffolds for one in ringed) / len(ringed)
    return [
        Finding(
            f"scaffolds: {name}",
            "note",
            f"{shared:.0%} of the molecules with rings have a scaffold that {table_name(name)} has too "
            f"({len(set(ringed)):,} scaffolds in {len(ringed):,} molecules)",
            "Models do better on scaffolds they were trained on. A scaffold split shows this, a random split hides it.",
            numbers={"share": shared},
        )
    ]


def _shift(
    pool: Dataset, name: str, table: Dataset, report: Report, embedding: Embedding | None = None
) -> list[Finding]:
    """Distribution shift between pool and table: size, descriptors, labels, and a classifier that separates them."""
    from scipy.stats import ks_2samp

    generator = np.random.default_rng(0)
    samples = [np.sort(generator.permutation(len(one))[:MAX_SHIFT_ROWS]) for one in (pool, table)]
    if min(map(len, samples)) < 20:
        return []
    report(0, f"comparing descriptors with {table_name(name)}")
    pool_values, table_values = (
        properties.compute_named_descriptors(list(one.smiles[rows]), SHIFT_DESCRIPTORS)
        for one, rows in zip((pool, table), samples, strict=True)
    )
    values, is_pool = (
        np.concatenate([pool_values, table_values]),
        np.repeat([True, False], [len(pool_values), len(table_values)]),
    )
    descriptor_auroc = _domain_auroc(values, is_pool, squares=True)
    columns = (
        (one, *(each[:, column] for each in (pool_values, table_values)))
        for column, one in enumerate(SHIFT_DESCRIPTORS)
    )
    gaps = {one: float(ks_2samp(a, b, nan_policy="omit").statistic) for one, a, b in columns}
    widest = max(gaps, key=gaps.get)
    statement = (
        f"twelve descriptors separate the pool from {table_name(name)} with AUROC {descriptor_auroc:.2f} (0.5: "
        f"alike); they differ most in {widest} (Kolmogorov–Smirnov {gaps[widest]:.2f}), in size by "
        f"{gaps['HeavyAtomCount']:.2f}"
    )
    numbers: dict[str, Any] = {"auroc": descriptor_auroc, "ks": gaps}
    if embedding is not None:
        report(0.5, f"comparing embeddings with {table_name(name)}")
        embeddings = [embedding.of(list(one.smiles[rows])) for one, rows in zip((pool, table), samples, strict=True)]
        numbers["auroc_embedding"] = _domain_auroc(np.concatenate(embeddings), is_pool)
        statement += f", and the embedding of {embedding.name} with AUROC {numbers['auroc_embedding']:.2f}"
    for one, other in match_tasks(pool, table)[:1]:
        labels, table_labels = (values[~np.isnan(values)] for values in (pool.targets[:, one], table.targets[:, other]))
        if len(labels) > 1 and len(table_labels) > 1:
            numbers["ks_label"] = float(ks_2samp(labels, table_labels).statistic)
            statement += (
                f", in their labels by {numbers['ks_label']:.2f} ({labels.mean():.2f} ± {labels.std():.2f} here, "
                f"{table_labels.mean():.2f} ± {table_labels.std():.2f} there)"
            )
    return [
        Finding(
            f"shift: {name}",
            "caution"
            if max(descriptor_auroc, numbers.get("auroc_embedding", 0)) > SHIFT_AUROC
            or numbers.get("ks_label", 0) > 0.3
            else "note",
            statement,
            "What helps on molecules like the pool may not help on the test molecules.",
            numbers=numbers,
        )
    ]


def _domain_auroc(values: np.ndarray, flags: np.ndarray, squares: bool = False) -> float:
    """Cross-validated AUROC of a logistic regression that predicts `flags` (n,) from `values` (n, p); 0.5: chance."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    from core.stats.metrics import auroc

    values = np.nan_to_num((values - np.nanmedian(values, 0)) / np.maximum(np.nanstd(values, 0), 1e-9))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = LogisticRegression(C=1.0 if squares else 0.01, max_iter=1000, class_weight="balanced")
    columns = np.hstack([values, values**2]) if squares else values
    probabilities = cross_val_predict(model, columns, flags, cv=folds, method="predict_proba")[:, 1]
    return float(auroc(flags, probabilities) or 0.5)


def _unit_suffix(unit: str) -> str:
    return f" {unit}" if unit else ""
