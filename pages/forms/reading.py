"""How a file is read, decision by decision: what the file proves, and boxes that decide otherwise."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.data.readers import Decision, TableInspection
from core.experiments import Load
from pages.base.service import get_service
from pages.base.text import escape_markdown

AS_PROVEN = "as the file shows"
TUPLES = ("classes", "missing")  # fields of `Load` that hold several texts
PREVIEW_ROWS = 5


def inspect_file(load: Load) -> TableInspection:
    """How an imported file is read. Raises `BadInput`."""
    return _inspect(load.key, _load=load)


@st.cache_resource(max_entries=16, show_spinner="Reading the file …")
def _inspect(key: str, _load: Load) -> TableInspection:
    return _load.inspect_file(get_service().store.files)


def chosen_settings(tag: str) -> dict[str, Any]:
    """The settings of reading that were chosen for the file with this tag."""
    chosen = st.session_state.get(f"reading-{tag}", {})
    return {field: tuple(value.split(",")) if field in TUPLES else value for field, value in chosen.items()}


def show_decisions(decisions: Sequence[Decision], tag: str) -> bool:
    """Every decision with its reason and, where there is a choice, a box; whether all are decided.

    A choice is stored for the file and applied when the page runs again.
    """
    chosen = st.session_state.setdefault(f"reading-{tag}", {})
    options_of = st.session_state.setdefault(f"reading-options-{tag}", {})
    shown: set[str] = set()
    open_fields = {decision.field for decision in decisions if decision.undecided}
    for decision in decisions:
        if decision.field in ("targets", "smiles") and not decision.undecided:
            continue
        if decision.options:
            options_of[decision.field] = decision.options
        what, box = st.columns([3, 2], vertical_alignment="center")
        value = "**to be decided**" if decision.undecided else f"**{escape_markdown(decision.value)}**"
        icon = ":material/help:" if decision.undecided else ":material/check:"
        what.markdown(f"{icon} {escape_markdown(decision.subject)}: {value}  \n{escape_markdown(decision.reason)}")
        options = options_of.get(decision.field, ())
        if not options or decision.field in shown or decision.field == "smiles":
            continue
        shown.add(decision.field)
        current = chosen.get(decision.field)
        names = [*options, AS_PROVEN] if current is not None or not decision.undecided else list(options)
        index = names.index(current) if current in names else names.index(AS_PROVEN) if AS_PROVEN in names else None
        picked = box.selectbox(
            decision.subject,
            names,
            index=index,
            key=f"decide-{decision.field}-{tag}",
            label_visibility="collapsed",
            placeholder="Choose",
            format_func=escape_markdown,
        )
        picked = None if picked == AS_PROVEN else picked
        if picked != current:
            chosen.pop(decision.field, None)
            if picked is not None:
                chosen[decision.field] = picked
            st.rerun()
    return not open_fields


def show_preview(inspection: TableInspection, targets: Sequence[str]) -> None:
    """The first rows: the text of the file, and beside each label what was read."""
    frame = inspection.frame.head(PREVIEW_ROWS)
    columns: dict[str, Any] = {}
    for name in frame.columns:
        columns[f"{name} (file)" if name in targets else str(name)] = frame[name].astype(str)
        if name in inspection.targets:
            values = inspection.labels[inspection.targets.index(name)].values[:PREVIEW_ROWS]
            columns[f"{name} (read)"] = ["–" if np.isnan(value) else f"{value:.10g}" for value in values]
    st.dataframe(pd.DataFrame(columns), hide_index=True, lazy=False, alt="First rows of the file, and what was read")


def show_candidates(decisions: Sequence[Decision]) -> None:
    """Why columns of numbers are labels or not."""
    lines = [
        f"{escape_markdown(one.subject)}: {one.value}, {escape_markdown(one.reason)}"
        for one in decisions
        if one.field == "targets"
    ]
    if lines:
        st.caption("  \n".join(lines[:12]) + (f"  \nand {len(lines) - 12} more" if len(lines) > 12 else ""))


def with_settings(load: Load, tag: str) -> Load:
    """The spec with the settings that were chosen for the file. Raises `BadInput`."""
    return dataclasses.replace(load, **chosen_settings(tag))
