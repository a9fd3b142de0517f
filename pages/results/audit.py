"""An audit on a page: asked for, its findings by severity, and the corrected table."""

import pandas as pd
import streamlit as st

from core.data.audit import FIXES, Finding, Findings
from core.data.dataset import Dataset
from core.engine.spec import Spec
from core.experiments import Audit, Mend
from pages.base.service import entry_of, keep, product, service, submit
from pages.base.text import minus, plain
from pages.widgets.frame import as_csv, command, exports
from pages.widgets.job_panel import job_panel
from pages.widgets.molecules import cards

LOOKS = {
    "fault": ("red", ":material/error:"),
    "caution": ("orange", ":material/warning:"),
    "note": ("gray", ":material/info:"),
}
SHOWN = 6  # molecules of a finding


def audited(spec: Audit, words: str = "Audit this table") -> None:
    """A button that asks for the audit; its job; its findings."""
    entry, job = entry_of(spec.key), service().line.job(spec.key)
    if entry is not None:
        findings(spec, product(entry), product_of(spec.table))
        return
    if job is not None and job_panel(spec.key) is not None and job.live:
        return
    against = f" against {', '.join(spec.names)}" if spec.others else ""
    st.caption(
        plain(f"Checks the table{against}: ")
        + "duplicates and their noise, stereoisomer pairs, outlying values"
        + (", leakage, contradicting labels, distribution shift, and labels that look computed" if spec.others else "")
        + ". Takes a few seconds per 1,000 molecules."
    )
    if st.button(words, key=f"audit-{spec.key}", icon=":material/fact_check:"):
        submit(spec)
        st.rerun()


def product_of(spec: Spec) -> Dataset | None:
    """A table, if it is in the library."""
    entry = entry_of(spec.key)
    return product(entry) if entry is not None else None


def findings(spec: Audit, found: Findings, table: Dataset | None) -> None:
    """The findings, the most severe first, and what can be done about them."""
    counts = {level: sum(one.level == level for one in found.each) for level in LOOKS}
    st.markdown(
        " ".join(
            f":{LOOKS[level][0]}-badge[{count} {level}{'s' if count != 1 else ''}]"
            for level, count in counts.items()
            if count
        )
        or "No problems found."
    )
    chosen = []
    for one in found.each:
        colour, icon = LOOKS[one.level]
        with st.container(border=one.level != "note", key=f"finding-{spec.key}-{one.kind}"):
            st.markdown(
                f"{icon} :{colour}[**{plain(one.kind[0].upper() + one.kind[1:])}**] — {plain(minus(one.said))}."
            )
            st.caption(plain(one.means))
            _drawn(spec, one, table)
            if one.fix in ("drop", "merge") and one.level != "note" and table is not None:
                words = f"{FIXES[one.fix][0].upper()}{FIXES[one.fix][1:]} ({len(one.rows):,})"
                if len(one.rows) < len(table) and st.checkbox(words, key=f"mend-{spec.key}-{one.kind}"):
                    chosen.append(one.kind)
    if chosen:
        corrected = Mend(spec.table, spec, tuple(chosen))
        if st.button("Save the corrected table", type="primary", key=f"mended-{spec.key}", icon=":material/healing:"):
            keep(corrected)
            st.session_state["table"] = corrected.key
            st.toast("Saved. It is first in the list where a table is chosen.", icon=":material/check:")
        command(corrected)
    rows = found.rows()
    exports(f"audit-{spec.key}", found.summary(), {"rows": lambda: as_csv(_named(rows, table))}, spec.key)
    command(spec)


def _drawn(spec: Audit, one: Finding, table: Dataset | None) -> None:
    """Some molecules of a finding."""
    if table is None or not 0 < len(one.rows) < len(table):
        return
    many = "1 molecule" if len(one.rows) == 1 else f"{len(one.rows):,} molecules"
    with st.expander(many, icon=":material/hexagon:"):
        rows = one.rows[:SHOWN]
        shown = pd.DataFrame({"smiles": table.smiles[rows]})
        if table.tasks:
            shown["label"] = table.targets[rows, 0]
        cards(shown, table.unit[0] if table.tasks else "")
        if len(one.rows) > SHOWN:
            st.caption(f"{SHOWN} of {len(one.rows):,} are shown; the export has all.")


def _named(rows: pd.DataFrame, table: Dataset | None) -> pd.DataFrame:
    """The export: rows of the audited table with their SMILES; they count from 1."""
    named = rows.assign(row=rows["row"] + 1)
    if table is not None:
        mine = rows["table"] == ""
        named.loc[mine, "smiles"] = table.smiles[rows.loc[mine, "row"]]
    return named
