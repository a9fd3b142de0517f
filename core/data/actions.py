"""What was done to the rows of a table: left out or merged, each with its count, reason and first example."""

import re
from typing import Any

import pandas as pd

TITLES = {"molecule": "rows left out", "label": "labels left out", "merged": "rows merged into another"}
COLUMNS = ("action", "count", "reason", "row", "example")


def list_actions(dropped: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry for each kind of reason in the removed rows of a dataset, the most frequent first; plain JSON.

    `row` and `example` are the first of them: its row in the source, and its SMILES and full reason.
    """
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for row, smiles, what, reason in dropped[["row", "smiles", "what", "reason"]].itertuples(index=False):
        key = (what, _general_reason(reason))
        entry = groups.setdefault(
            key,
            {
                "action": TITLES.get(what, what),
                "count": 0,
                "reason": key[1],
                "row": int(row),
                "example": f"{smiles[:60]}: {reason}",
            },
        )
        entry["count"] += 1
    return sorted(groups.values(), key=lambda entry: -entry["count"])


def _general_reason(reason: str) -> str:
    """A reason without the values of one row."""
    if reason.startswith("same molecule as row"):
        rule = re.search(r"; (\w+) of", reason)
        return f"rows of one molecule{f': {rule[1]} of their labels' if rule else ''}"
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", reason)
    text = re.sub(r"\(near character \d+\)", "", text)
    text = re.sub(r"(?<![\w'])[-+]?\d[\d,.]*(e[-+]?\d+)?", "…", text)
    return re.sub(r"(…, )+…", "…", text).strip()[:160]
