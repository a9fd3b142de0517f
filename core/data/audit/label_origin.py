"""Origin of the labels of a pool: whether a rule computes them from other tables, and from which rows."""

from collections.abc import Mapping

import numpy as np

from core.data.audit import computed_labels
from core.data.audit.findings import PARTS, Finding, match_tasks, table_name
from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT, Report


def find_label_origin(pool: Dataset, others: Mapping[str, Dataset], report: Report = SILENT_REPORT) -> list[Finding]:
    """One finding per task and source: the rule that computes the labels, or that none does."""
    findings, sources = [], _group_sources(others)
    for index, (names, tables) in enumerate(sources):
        findings += _find_computed_labels(
            pool, names, tables, report.part(index / len(sources), (index + 1) / len(sources))
        )
    return findings


def _group_sources(others: Mapping[str, Dataset]) -> list[tuple[list[str], list[Dataset]]]:
    """Possible sources of computed labels: the parts of a table together, any other table by itself."""
    parts = [name for name in others if name in PARTS]
    single_tables = [[name] for name in others if name not in PARTS]
    return [(names, [others[name] for name in names]) for names in ([parts] if parts else []) + single_tables]


def _find_computed_labels(pool: Dataset, names: list[str], tables: list[Dataset], report: Report) -> list[Finding]:
    """Findings on labels that look computed from those of the tables."""
    findings, source_names = [], _table_names(names)
    for task_column, other_column in match_tasks(pool, tables[0]):
        if "binary" in (pool.kinds[task_column], tables[0].kinds[other_column]):
            continue
        report(0, f"searching for a rule that computes the labels from those of {source_names}")
        smiles = np.concatenate([table.smiles for table in tables])
        labels = np.concatenate([table.targets[:, other_column] for table in tables])
        rules = computed_labels.try_rules(pool.smiles, pool.targets[:, task_column], smiles, labels)
        task, kind = pool.tasks[task_column], f"origin of labels: {', '.join(names)}"
        matching_rule = computed_labels.choose_rule(rules)
        if matching_rule is None:
            closest = min(rules, key=lambda rule: rule.error / max(rule.usual_error, 1e-300), default=None)
            statement = (
                f"none of {len(rules)} rules explains the labels of {task} better than measured ones; the best, "
                f"{closest.description}, has a median error of {closest.error:.2f} here and of "
                f"{closest.usual_error:.2f} within {source_names}"
                if closest
                else f"the labels of {task} are too few or too coarse to tell whether they were computed"
            )
            numbers = (
                {"rules": len(rules), "error": closest.error, "usual": closest.usual_error} if closest else {"rules": 0}
            )
            consequence = "No sign that the labels were computed. Other rules were not tried."
            findings.append(Finding(kind, "note", statement, consequence, numbers=numbers))
            continue
        ends = np.cumsum([0, *map(len, tables)])
        source_rows = {
            name: matching_rule.source_rows[(matching_rule.source_rows >= start) & (matching_rule.source_rows < stop)]
            - start
            for name, start, stop in zip(names, ends, ends[1:], strict=False)
        }
        findings.append(_report_rule(matching_rule, task, kind, source_names, source_rows, len(pool)))
    return findings


def _report_rule(
    rule: computed_labels.LabelRule,
    task: str,
    kind: str,
    source_names: str,
    source_rows: dict[str, np.ndarray],
    rows: int,
) -> Finding:
    if rule.coincides:
        statement = (
            f"labels of {task} look computed: {rule.matches:,} of {rule.checkable:,} checkable ones equal "
            f"{rule.description} in {source_names}, against {rule.chance_share * rule.checkable:.1f} by chance"
        )
        if rule.ties:
            statement += (
                f"; {rule.tie_matches:,} of {rule.ties:,} with equally distant neighbours match for some choice of them"
            )
    else:
        statement = (
            f"labels of {task} look computed: {rule.description} has a median error of {rule.error:.2g} on them, but "
            f"of {rule.usual_error:.2g} on the labels of {source_names}"
        )
    consequence = "They are not measurements"
    if len(rule.source_rows):
        source_text = " and ".join(
            f"{len(rows):,} rows of {table_name(name)}" for name, rows in source_rows.items() if len(rows)
        )
        consequence += (
            " and leak the labels they were computed from, held-out ones included. "
            f"{source_text[0].upper() + source_text[1:]} feed the rule: leave these rows out of the evaluation, or do "
            "not use the pool."
        )
    else:
        consequence += ": a model trained on them learns the formula."
    numbers = {
        "rule": rule.description,
        "matches": rule.matches,
        "of": rule.checkable,
        "chance": rule.chance_share,
        "error": rule.error,
        "usual": rule.usual_error,
        "explained": rule.explained_variance,
        "tied": rule.ties,
        "tied_matches": rule.tie_matches,
    }
    return Finding(
        kind,
        "fault",
        statement,
        consequence,
        "hold out" if len(rule.source_rows) else "drop",
        np.arange(rows),
        source_rows,
        numbers=numbers | {"feeding": len(rule.source_rows)},
    )


def _table_names(names: list[str]) -> str:
    if names == [name for name in PARTS if name in names] and len(names) > 1:
        return f"the {', '.join(names[:-1])} and {names[-1]} parts"
    return " and ".join(map(table_name, names))
