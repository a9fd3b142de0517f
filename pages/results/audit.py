"""An audit on a page: asked for, its findings by severity, and the corrected table."""

import pandas as pd
import streamlit as st

from core.data.audit import FIXES, Finding, Findings
from core.data.dataset import Dataset
from core.engine.spec import Spec
from core.experiments import Audit, CorrectedTable
from pages.base.service import find_job, find_run, load_product, make_and_save, submit
from pages.base.text import escape_markdown, with_minus_signs
from pages.forms.tables import list_tables
from pages.widgets.frame import export_buttons, show_command, to_csv
from pages.widgets.job_panel import show_job
from pages.widgets.molecules import show_cards

LEVEL_STYLES = {
    "fault": ("red", ":material/error:"),
    "caution": ("orange", ":material/warning:"),
    "note": ("gray", ":material/info:"),
}
MAX_DRAWN = 6  # molecules of a finding


def show_audit(spec: Audit, words: str = "Audit this table") -> None:
    """A button that asks for the audit; its job; its findings."""
    entry, job = find_run(spec), find_job(spec)
    if entry is not None:
        show_findings(spec, load_product(entry), find_table(spec.table))
        return
    if job is not None and show_job(job.key) is not None and job.is_active:
        return
    against = f" against {', '.join(spec.names)}" if spec.others else ""
    st.caption(
        escape_markdown(f"Checks the table{against}: ")
        + "duplicates and their noise, stereoisomer pairs, outlying values"
        + (", leakage, contradicting labels, distribution shift, and labels that look computed" if spec.others else "")
        + ". Takes a few seconds per 1,000 molecules."
    )
    if st.button(words, key=f"audit-{spec.key}", icon=":material/fact_check:"):
        submit(spec)
        st.rerun()


def ask_audit(spec: Spec[Dataset]) -> None:
    """The audit of a table, by itself or against others."""
    with st.expander("Audit: find errors in this table", icon=":material/fact_check:", key=f"audit-of-{spec.key}"):
        others = {one.key: (words, one) for words, one in list_tables(labelled=False).values() if one.key != spec.key}
        chosen = st.multiselect(
            "Compare with", list(others), format_func=lambda key: others[key][0], key=f"beside-{spec.key}",
            max_selections=3,
            help="Tables that it will be merged with or tested on: shared molecules, contradicting labels, and labels "
            "computed from theirs are reported",
        )  # fmt: skip
        show_audit(Audit(spec, tuple(others[key][1] for key in chosen)))


def find_table(spec: Spec) -> Dataset | None:
    """A table, if it is in the library."""
    entry = find_run(spec)
    return load_product(entry) if entry is not None else None


def show_findings(spec: Audit, findings: Findings, table: Dataset | None) -> None:
    """The findings, the most severe first, and what can be done about them."""
    counts = {level: sum(one.level == level for one in findings.findings) for level in LEVEL_STYLES}
    st.markdown(
        " ".join(
            f":{LEVEL_STYLES[level][0]}-badge[{count} {level}{'s' if count != 1 else ''}]"
            for level, count in counts.items()
            if count
        )
        or "No problems found."
    )
    chosen = []
    for one in findings.findings:
        colour, icon = LEVEL_STYLES[one.level]
        with st.container(border=one.level != "note", key=f"finding-{spec.key}-{one.kind}"):
            st.markdown(
                f"{icon} :{colour}[**{escape_markdown(one.kind[0].upper() + one.kind[1:])}**] — "
                f"{escape_markdown(with_minus_signs(one.statement))}."
            )
            st.caption(escape_markdown(one.consequence))
            _draw_molecules(spec, one, table)
            if one.fix in ("drop", "merge") and one.level != "note" and table is not None:
                words = f"{FIXES[one.fix][0].upper()}{FIXES[one.fix][1:]} ({len(one.rows):,})"
                if len(one.rows) < len(table) and st.checkbox(words, key=f"mend-{spec.key}-{one.kind}"):
                    chosen.append(one.kind)
    if chosen:
        corrected = CorrectedTable(spec.table, spec, tuple(chosen))
        if st.button("Save the corrected table", type="primary", key=f"mended-{spec.key}", icon=":material/healing:"):
            st.session_state["table"] = make_and_save(corrected)
            st.toast("Saved. It is first in the list where a table is chosen.", icon=":material/check:")
        show_command(corrected)
    rows = findings.rows()
    export_buttons(
        f"audit-{spec.key}", findings.summary(), {"rows": lambda: to_csv(_export_table(rows, table))}, spec.key
    )
    show_command(spec)


def _draw_molecules(spec: Audit, one: Finding, table: Dataset | None) -> None:
    """Some molecules of a finding."""
    if table is None or not 0 < len(one.rows) < len(table):
        return
    words = "1 molecule" if len(one.rows) == 1 else f"{len(one.rows):,} molecules"
    with st.expander(words, icon=":material/hexagon:"):
        rows = one.rows[:MAX_DRAWN]
        cards = pd.DataFrame({"smiles": table.smiles[rows]})
        if table.tasks:
            cards["label"] = table.targets[rows, 0]
        show_cards(cards, table.unit[0] if table.tasks else "")
        if len(one.rows) > MAX_DRAWN:
            st.caption(f"{MAX_DRAWN} of {len(one.rows):,} are shown; the export has all.")


def _export_table(rows: pd.DataFrame, table: Dataset | None) -> pd.DataFrame:
    """The export: rows of the audited table with their SMILES; they count from 1."""
    named = rows.assign(row=rows["row"] + 1)
    if table is not None:
        in_table = rows["table"] == ""
        named.loc[in_table, "smiles"] = table.smiles[rows.loc[in_table, "row"]]
    return named
