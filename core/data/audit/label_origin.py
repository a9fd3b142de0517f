"""Where the labels of a pool come from: whether those of the tables beside it give them, and what feeds that rule."""

from collections.abc import Mapping

import numpy as np

from core.data.audit import computed_labels
from core.data.audit.findings import PARTS, Finding, match_tasks, table_name
from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT, Report


def find_label_origin(pool: Dataset, others: Mapping[str, Dataset], report: Report = SILENT_REPORT) -> list[Finding]:
    """A finding for each task and source: the rule that gives the labels, or that none does."""
    found, sources = [], _group_sources(others)
    for place, (names, tables) in enumerate(sources):
        found += _find_computed_labels(
            pool, names, tables, report.part(place / len(sources), (place + 1) / len(sources))
        )
    return found


def _group_sources(others: Mapping[str, Dataset]) -> list[tuple[list[str], list[Dataset]]]:
    """What labels may have been computed from: the parts of a table together, any other table by itself."""
    parts = [name for name in others if name in PARTS]
    alone = [[name] for name in others if name not in PARTS]
    return [(names, [others[name] for name in names]) for names in ([parts] if parts else []) + alone]


def _find_computed_labels(pool: Dataset, names: list[str], tables: list[Dataset], report: Report) -> list[Finding]:
    """Labels that look computed from the tables'."""
    found, beside = [], _table_names(names)
    for one, other in match_tasks(pool, tables[0]):
        if "binary" in (pool.kinds[one], tables[0].kinds[other]):
            continue
        report(0, f"looking for a rule that gives the labels from those of {beside}")
        smiles = np.concatenate([table.smiles for table in tables])
        labels = np.concatenate([table.targets[:, other] for table in tables])
        tried = computed_labels.try_rules(pool.smiles, pool.targets[:, one], smiles, labels)
        task, kind = pool.tasks[one], f"origin of labels: {', '.join(names)}"
        guilty = computed_labels.choose_rule(tried)
        if guilty is None:
            best = min(tried, key=lambda rule: rule.error / max(rule.usual_error, 1e-300), default=None)
            told = (
                f"none of {len(tried)} rules gives the labels of {task} better than measurements allow; the nearest, "
                f"{best.description}, errs by {best.error:.2f} here and by {best.usual_error:.2f} within {beside}"
                if best
                else f"too few labels of {task}, or too coarse ones, to tell where they come from"
            )
            numbers = {"rules": len(tried), "error": best.error, "usual": best.usual_error} if best else {"rules": 0}
            means = "No sign that they were computed. Rules that were not tried are not excluded."
            found.append(Finding(kind, "note", told, means, numbers=numbers))
            continue
        ends = np.cumsum([0, *map(len, tables)])
        feeding = {
            name: guilty.source_rows[(guilty.source_rows >= start) & (guilty.source_rows < stop)] - start
            for name, start, stop in zip(names, ends, ends[1:], strict=False)
        }
        found.append(_report_rule(guilty, task, kind, beside, feeding, len(pool)))
    return found


def _report_rule(
    rule: computed_labels.LabelRule, task: str, kind: str, beside: str, feeding: dict[str, np.ndarray], rows: int
) -> Finding:
    if rule.coincides:
        said = (
            f"labels of {task} look computed: {rule.matches:,} of {rule.checkable:,} that can be checked are exactly "
            f"{rule.description} in {beside}, where chance gives {rule.chance_share * rule.checkable:.1f}"
        )
        if rule.ties:
            said += (
                f"; of {rule.ties:,} with neighbours equally far, {rule.tie_matches:,} are so for some choice of them"
            )
    else:
        said = (
            f"labels of {task} look computed: {rule.description} gives half of them to within {rule.error:.2g}, where it "
            f"errs by {rule.usual_error:.2g} on the labels of {beside}"
        )
    means = "They are no measurements"
    if len(rule.source_rows):
        fed = " and ".join(f"{len(rows):,} rows of {table_name(name)}" for name, rows in feeding.items() if len(rows))
        means += (
            f", and carry what the other labels say, those that judge included. {fed[0].upper() + fed[1:]} feed the "
            "rule: keep such rows out of the report, or leave the pool."
        )
    else:
        means += ": a model that learns them learns the formula."
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
        said,
        means,
        "hold out" if len(rule.source_rows) else "drop",
        np.arange(rows),
        feeding,
        numbers=numbers | {"feeding": len(rule.source_rows)},
    )


def _table_names(names: list[str]) -> str:
    if names == [name for name in PARTS if name in names] and len(names) > 1:
        return f"the {', '.join(names[:-1])} and {names[-1]} parts"
    return " and ".join(map(table_name, names))
