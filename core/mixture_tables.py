"""What a study of a mixture found as tables of words: for the page, and as text for the command line."""

from typing import Any

import pandas as pd

from core.mixture import MEANS
from core.numerals import beside_noise, number

WORDS = {
    "mae_sd": "MAE in standard deviations",
    "mae": "MAE in label units",
    "rmse": "RMSE in label units",
    "pearson": "Pearson's r",
    "spearman": "Spearman's ρ",
    "r2": "R²",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "log_loss": "log loss",
}
WIDEST = 10_000  # characters of a line of text


def by_table(record: dict[str, Any]) -> pd.DataFrame:
    """A row a table, network and arm: mean ± sd over the seeds of every mean metric.

    Below them the metrics of the mean of what the seeds predict, and published ones, named as such.
    """
    rows = [
        {"table": one["member"], "network": _network(one["backbone"]), "arm": one["arm"]}
        | {WORDS[name]: beside_noise(one[name]["mean"], one[name]["sd"]) for name in MEANS if one.get(name)}
        for one in record["means"]
    ]
    rows += [
        {"table": one["member"], "network": _network(one["backbone"])}
        | {"arm": f"{one['arm']}, the mean of what the seeds predict"}
        | {WORDS[name]: number(value) for name, value in one["averaged"].items()}
        for one in record["means"]
        if one.get("averaged")
    ]
    rows += [
        {"table": one["member"], "network": one["layer"], "arm": f"published, {one['arm']}"}
        | {WORDS[name]: number(one[name]) for name in MEANS if name in one}
        for one in record["published"]
    ]
    return pd.DataFrame(rows).fillna("–")


def by_task(table: pd.DataFrame, member: str) -> pd.DataFrame:
    """A row a task, network and arm of a table: mean ± sd over seeds of every metric; – where it is undefined."""
    rows = []
    for (task, start, arm), each in table[table["member"] == member].groupby(["task", "backbone", "arm"], sort=False):
        known = {name: each[name].dropna() for name in MEANS if name in each}
        rows.append(
            {"task": task, "network": _network(start), "arm": arm}
            | {
                WORDS[name]: beside_noise(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)
                for name, values in known.items()
                if len(values)
            }
        )
    return pd.DataFrame(rows).fillna("–")


def text(table: pd.DataFrame, record: dict[str, Any]) -> str:
    """The verdict, what each mean and task came to, and every difference with its interval, as lines of text."""
    apart = [
        {"table": one["member"], "network": _network(one["backbone"]), "together less": one["against"]}
        | {"metric": one["metric"], "difference": number(one["mean"])}
        | {"from": number(one["low"]), "to": number(one["high"]), "verdict": one["verdict"]}
        for one in record["differences"]
    ]
    named = {one["name"]: by_task(table, one["name"]) for one in record["members"]}
    parts = [("by table, mean ± sd over seeds", by_table(record)), ("together less alone", pd.DataFrame(apart))]
    parts += [(f"{name}, task by task", found) for name, found in named.items()]
    said = [f"{words}\n{found.to_string(index=False, line_width=WIDEST)}" for words, found in parts if len(found)]
    return "\n\n".join([record["verdict"], *said])


def _network(name: str) -> str:
    return name.removesuffix(" (random weights)")
