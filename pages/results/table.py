"""A table on a page: counts, measured values, some structures, and what was left out with the reasons."""

import numpy as np
import pandas as pd
import streamlit as st

from core.data.actions import list_actions
from core.data.dataset import Dataset
from core.figures import base as figures
from pages.base.text import escape_markdown
from pages.widgets.frame import to_csv
from pages.widgets.molecules import show_cards


def table_result(table: Dataset, key: str) -> None:
    """Everything a table shows."""
    dropped = table.dropped
    counts = {
        "Molecules": len(table),
        "Properties to predict": len(table.tasks),
        "Rows left out": int((dropped["what"] == "molecule").sum()),
        "Duplicates merged": int((dropped["what"] == "merged").sum()),
    }
    for column, (label, value) in zip(st.columns(len(counts)), counts.items(), strict=True):
        column.metric(label, f"{value:,}")
    for note in table.provenance.get("notes", []):
        st.caption(f":material/info: {escape_markdown(note)}")
    values, sample, how, out, rows = st.tabs(
        ["Measured values", "Structures", "How it was read", f"Left out or merged ({len(dropped):,})", "Rows"]
    )
    with values:
        value_histogram(table, key)
    with sample:
        picked = np.random.default_rng(0).permutation(len(table))[:12]
        cards = pd.DataFrame({"smiles": table.smiles[picked]})
        if table.tasks:
            cards["label"] = table.targets[picked, 0]
        show_cards(cards, table.unit[0] if table.tasks else "")
    with how:
        show_reading(table, key)
    with out:
        if len(dropped):
            st.dataframe(dropped, hide_index=True, lazy=False, height=340, alt="Rows left out, with reasons")
            st.download_button(
                "Left out (CSV)", lambda: to_csv(dropped), "molsway-left-out.csv", key=f"{key}-out", on_click="ignore"
            )
        else:
            st.caption("None: every row was read.")
    with rows:
        first = pd.DataFrame({"smiles": table.smiles[:200]})
        for column_index, task in enumerate(table.tasks):
            first[f"{task} ({table.unit[column_index]})" if table.unit[column_index] else task] = table.targets[
                :200, column_index
            ]
        st.dataframe(first, hide_index=True, lazy=False, height=340, alt="The first rows of the table")


def show_reading(table: Dataset, key: str) -> None:
    """What was decided about the file, and what was done to its rows."""
    decisions = [one for one in table.provenance.get("reading", []) if one["value"]]
    if decisions:
        frame = pd.DataFrame(decisions)[["subject", "value", "reason"]].set_axis(["what", "read as", "why"], axis=1)
        st.dataframe(frame, hide_index=True, lazy=False, alt="How the file was read")
    actions = list_actions(table.dropped)
    if actions:
        frame = pd.DataFrame(actions)
        st.dataframe(frame, hide_index=True, lazy=False, alt="What was done to the rows")
        st.download_button(
            "What was done (CSV)",
            lambda: to_csv(frame),
            "molsway-what-was-done.csv",
            key=f"{key}-did",
            on_click="ignore",
        )
    elif not decisions:
        st.caption("Every row was read as it is in the file.")


def value_histogram(table: Dataset, key: str) -> None:
    """The measured values of one property."""
    if not table.tasks:
        st.caption("Structures only, without measured values. A backbone can be adapted to them.")
        return
    task = table.tasks[0] if len(table.tasks) == 1 else st.selectbox("Property", table.tasks, key=f"{key}-task")
    index = table.tasks.index(task)
    values = table.targets[:, index]
    figure = figures.plot_label_histogram({task: values}, task, table.unit[index])
    st.plotly_chart(figure, key=f"{key}-labels", config=figures.CONFIG, alt=f"Histogram of {task}")
    finite = values[np.isfinite(values)]
    unit = table.unit[index] or "no unit given"
    st.caption(
        f"{len(finite):,} measured, {len(values) - len(finite):,} missing · {table.kinds[index]} · "
        f"{escape_markdown(unit)}"
    )
