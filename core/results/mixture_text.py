"""Results of multitask studies as formatted tables, for the page and as text for the command line."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from core.stats.formatting import format_number, format_with_sd
from core.stats.metrics import averaged_metrics, metric_name

MAX_LINE_WIDTH = 10_000  # characters of a line of text


def table_means(record: dict[str, Any]) -> pd.DataFrame:
    """One row per table, network and arm: mean ± sd over seeds of every mean metric.

    Below them are the metrics of the seeds' averaged predictions, and published ones, named as such.
    """
    rows = [
        {"table": one["member"], "network": _network(one["backbone"]), "arm": one["arm"]}
        | {
            metric.name: format_with_sd(one[metric.key]["mean"], one[metric.key]["sd"])
            for metric in averaged_metrics()
            if one.get(metric.key)
        }
        for one in record["means"]
    ]
    rows += [
        {"table": one["member"], "network": _network(one["backbone"])}
        | {"arm": f"{one['arm']}, predictions averaged over seeds"}
        | {metric_name(name): format_number(value) for name, value in one["averaged"].items()}
        for one in record["means"]
        if one.get("averaged")
    ]
    rows += [
        {"table": one["member"], "network": one["layer"], "arm": f"published, {one['arm']}"}
        | {metric.name: format_number(one[metric.key]) for metric in averaged_metrics() if metric.key in one}
        for one in record["published"]
    ]
    return pd.DataFrame(rows).fillna("–")


def task_means(table: pd.DataFrame, member: str) -> pd.DataFrame:
    """One row per task, network and arm of a table: mean ± sd over seeds of every metric; – where undefined."""
    rows = []
    for (task, backbone, arm), group in table[table["member"] == member].groupby(
        ["task", "backbone", "arm"], sort=False
    ):
        metric_values = {one.name: group[one.key].dropna() for one in averaged_metrics() if one.key in group}
        rows.append(
            {"task": task, "network": _network(backbone), "arm": arm}
            | {
                name: format_with_sd(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)
                for name, values in metric_values.items()
                if len(values)
            }
        )
    return pd.DataFrame(rows).fillna("–")


def study_text(table: pd.DataFrame, record: dict[str, Any]) -> str:
    """The verdict, all means, the metrics of every task, and every difference with its interval, as text."""
    differences = [
        {"table": one["member"], "network": _network(one["backbone"]), "together minus": one["against"]}
        | {"metric": one["metric"], "difference": format_number(one["mean"])}
        | {"from": format_number(one["low"]), "to": format_number(one["high"]), "verdict": one["verdict"]}
        for one in record["differences"]
    ]
    task_tables = {one["name"]: task_means(table, one["name"]) for one in record["members"]}
    parts = [
        ("by table, mean ± sd over seeds", table_means(record)),
        ("together minus alone", pd.DataFrame(differences)),
    ]
    return format_report(
        record["verdict"],
        [*parts, *((f"{name}, task by task", task_table) for name, task_table in task_tables.items())],
    )


def size_means(record: dict[str, Any]) -> pd.DataFrame:
    """Transfer study, one row per arm, one column per size: mean ± sd over seeds of the test metric."""
    metric = record["metric"]
    rows: dict[str, dict[str, str]] = {}
    for one in sorted(record["points"], key=lambda one: one["rows"]):
        arm_row = rows.setdefault(one["arm"], {"arm": one["arm"]})
        arm_row[f"{one['rows']:,}"] = format_with_sd(one[metric]["mean"], one[metric]["sd"])
    order = list(dict.fromkeys(one["arm"] for one in record["points"]))
    return pd.DataFrame([rows[arm] for arm in order]).fillna("–")


def size_differences(record: dict[str, Any]) -> pd.DataFrame:
    """Transfer study, one row per pair of arms and size: difference of their errors with its interval."""
    rows = [
        {"arm": one["arm"], "against": one["against"], "molecules": f"{one['size']:,}" if one["size"] else "all"}
        | {
            "difference": format_number(one["mean"]),
            "from": format_number(one["low"]),
            "to": format_number(one["high"]),
        }
        | {"verdict": one["verdict"]}
        for one in record["differences"]
    ]
    return pd.DataFrame(rows)


def transfer_text(record: dict[str, Any]) -> str:
    """The result of a transfer study as text."""
    words = f"{metric_name(record['metric'])} by number of training molecules, mean ± sd over seeds"
    return format_report(record["verdict"], [(words, size_means(record)), ("differences", size_differences(record))])


def factor_effects(record: dict[str, Any]) -> pd.DataFrame:
    """Ablation, one row per factor: its effect on the error with the other factors fixed, with its interval."""
    words = {"molecules": "twice as many molecules", "families": "one more table"}
    effects = {words[name]: one for name, one in record["effects"].items()}
    effects |= {f"{name} among the tables": one for name, one in record.get("presence", {}).items()}
    blend_names = {
        "all": "several tables minus the mean of each alone",
        "best": "several tables minus the best of them alone",
    }
    effects |= {words: record["blended"][name] for name, words in blend_names.items() if "blended" in record}
    rows = [
        {
            "factor": name,
            "effect": format_number(one["mean"]),
            "from": format_number(one["low"]),
            "to": format_number(one["high"]),
        }
        for name, one in effects.items()
    ]
    return pd.DataFrame(rows)


def table_set_means(record: dict[str, Any]) -> pd.DataFrame:
    """One row per set of tables, and one for random weights: mean ± sd of the error over sizes and seeds."""
    scratch = [record["scratch"] | {"tables": "none, random weights"}] if record["scratch"] else []
    rows = [
        {"tables": one["tables"], metric_name(record["metric"]): format_with_sd(one["mean"], one["sd"])}
        | {"trainings": one["trainings"]}
        for one in [*record.get("sets", []), *scratch]
    ]
    return pd.DataFrame(rows)


def ablation_text(record: dict[str, Any]) -> str:
    """The result of an ablation as text."""
    return format_report(
        record["verdict"], [("by tables, mean ± sd", table_set_means(record)), ("effects", factor_effects(record))]
    )


def format_report(verdict: str, parts: Sequence[tuple[str, pd.DataFrame]]) -> str:
    """A verdict followed by every table that has rows."""
    sections = [
        f"{title}\n{table.to_string(index=False, line_width=MAX_LINE_WIDTH)}" for title, table in parts if len(table)
    ]
    return "\n\n".join([verdict, *sections])


def _network(name: str) -> str:
    return name.removesuffix(" (random weights)")
