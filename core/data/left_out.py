"""How much of a source was left out of a table, and whether that is alarming."""

from typing import Any

import pandas as pd

ALARMING_SHARE = 0.10  # of the rows of a source


def count_left_out(n: int, dropped: pd.DataFrame) -> dict[str, Any]:
    """Of a table of `n` molecules: source rows that gave none, all source rows, the commonest reason; plain JSON.

    Merged rows count as read.
    """
    lost = dropped[dropped["what"] == "molecule"]
    rows, merged = int(lost["row"].nunique()), int((dropped["what"] == "merged").sum())
    reasons = lost["reason"].astype(str).value_counts()
    return {"rows": rows, "of": n + merged + rows, "reason": str(reasons.index[0]) if len(reasons) else ""}


def describe_left_out(counts: dict[str, Any]) -> list[str]:
    """A sentence if more than a tenth of the source was left out; else nothing."""
    if not counts["of"] or counts["rows"] <= ALARMING_SHARE * counts["of"]:
        return []
    return [
        f"{counts['rows']:,} of {counts['of']:,} rows of the source ({counts['rows'] / counts['of']:.0%}) were left "
        f"out, most often because of this: {counts['reason']}; check that the right columns were read"
    ]
