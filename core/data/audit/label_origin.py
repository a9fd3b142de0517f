"""Where the labels of a pool come from: whether those of the tables beside it give them, and what feeds that rule."""

from collections.abc import Mapping

import numpy as np

from core.data.audit import computed_labels
from core.data.audit.findings import PARTS, Finding, called, shared_tasks
from core.data.dataset import Dataset
from core.engine.report import SILENT, Report


def origin(pool: Dataset, others: Mapping[str, Dataset], report: Report = SILENT) -> list[Finding]:
    """A finding for each task and source: the rule that gives the labels, or that none does."""
    found, sources = [], _sources(others)
    for place, (names, tables) in enumerate(sources):
        found += _derived(pool, names, tables, report.part(place / len(sources), (place + 1) / len(sources)))
    return found


def _sources(others: Mapping[str, Dataset]) -> list[tuple[list[str], list[Dataset]]]:
    """What labels may have been computed from: the parts of a table together, any other table by itself."""
    parts = [name for name in others if name in PARTS]
    alone = [[name] for name in others if name not in PARTS]
    return [(names, [others[name] for name in names]) for names in ([parts] if parts else []) + alone]


def _derived(pool: Dataset, names: list[str], tables: list[Dataset], report: Report) -> list[Finding]:
    """Labels that look computed from the tables'."""
    found, beside = [], _all_called(names)
    for one, other in shared_tasks(pool, tables[0]):
        if "binary" in (pool.kinds[one], tables[0].kinds[other]):
            continue
        report(0, f"looking for a rule that gives the labels from those of {beside}")
        smiles = np.concatenate([table.smiles for table in tables])
        labels = np.concatenate([table.targets[:, other] for table in tables])
        tried = computed_labels.rules(pool.smiles, pool.targets[:, one], smiles, labels)
        task, kind = pool.tasks[one], f"origin of labels: {', '.join(names)}"
        guilty = computed_labels.found(tried)
        if guilty is None:
            best = min(tried, key=lambda rule: rule.error / max(rule.usual, 1e-300), default=None)
            told = (
                f"none of {len(tried)} rules gives the labels of {task} better than measurements allow; the nearest, "
                f"{best.words}, errs by {best.error:.2f} here and by {best.usual:.2f} within {beside}"
                if best
                else f"too few labels of {task}, or too coarse ones, to tell where they come from"
            )
            numbers = {"rules": len(tried), "error": best.error, "usual": best.usual} if best else {"rules": 0}
            means = "No sign that they were computed. Rules that were not tried are not excluded."
            found.append(Finding(kind, "note", told, means, numbers=numbers))
            continue
        ends = np.cumsum([0, *map(len, tables)])
        feeding = {
            name: guilty.feeding[(guilty.feeding >= start) & (guilty.feeding < stop)] - start
            for name, start, stop in zip(names, ends, ends[1:], strict=False)
        }
        found.append(_accused(guilty, task, kind, beside, feeding, len(pool)))
    return found


def _accused(
    rule: computed_labels.Rule, task: str, kind: str, beside: str, feeding: dict[str, np.ndarray], rows: int
) -> Finding:
    if rule.coincides:
        said = (
            f"labels of {task} look computed: {rule.matches:,} of {rule.checkable:,} that can be checked are exactly "
            f"{rule.words} in {beside}, where chance gives {rule.chance * rule.checkable:.1f}"
        )
        if rule.tied:
            said += (
                f"; of {rule.tied:,} with neighbours equally far, {rule.tied_matches:,} are so for some choice of them"
            )
    else:
        said = (
            f"labels of {task} look computed: {rule.words} gives half of them to within {rule.error:.2g}, where it "
            f"errs by {rule.usual:.2g} on the labels of {beside}"
        )
    means = "They are no measurements"
    if len(rule.feeding):
        fed = " and ".join(f"{len(rows):,} rows of {called(name)}" for name, rows in feeding.items() if len(rows))
        means += (
            f", and carry what the other labels say, those that judge included. {fed[0].upper() + fed[1:]} feed the "
            "rule: keep such rows out of the report, or leave the pool."
        )
    else:
        means += ": a model that learns them learns the formula."
    numbers = {
        "rule": rule.words,
        "matches": rule.matches,
        "of": rule.checkable,
        "chance": rule.chance,
        "error": rule.error,
        "usual": rule.usual,
        "explained": rule.explained,
        "tied": rule.tied,
        "tied_matches": rule.tied_matches,
    }
    return Finding(
        kind,
        "fault",
        said,
        means,
        "hold out" if len(rule.feeding) else "drop",
        np.arange(rows),
        feeding,
        numbers=numbers | {"feeding": len(rule.feeding)},
    )


def _all_called(names: list[str]) -> str:
    if names == [name for name in PARTS if name in names] and len(names) > 1:
        return f"the {', '.join(names[:-1])} and {names[-1]} parts"
    return " and ".join(map(called, names))
