"""Data: choose a table, see what it holds and what was left out, keep it."""

import streamlit as st

from core.data.audit import Findings
from core.data.dataset import Dataset
from core.engine.spec import BadInput
from core.experiments import Audit
from pages.base.service import keep, previewed, product
from pages.base.text import plain
from pages.forms import table_source
from pages.forms.tables import known_tables, table_result
from pages.results.audit import audited
from pages.widgets.frame import command, empty, head
from pages.widgets.run_picker import pick, readable, runs, show

head(
    "Data",
    "Choose a table of molecules. A row that cannot be used is listed with the reason; none goes silently.",
)
WAYS = {"Comes with Molsway": table_source.bundled, "My file": table_source.uploaded, "MoleculeNet": table_source.hub}
if runs(Dataset):
    WAYS["Kept before"] = None
if runs(Findings):
    WAYS["Audits"] = None
named = {run.key for run in runs(Findings)}
asked = st.query_params.get("from")
asked = asked if asked in WAYS else next(iter(WAYS))
if "run" in st.query_params:
    asked = "Audits" if st.query_params["run"] in named else "Kept before" if "Kept before" in WAYS else asked
way = st.segmented_control("Where from", list(WAYS), default=asked, key="way", label_visibility="collapsed") or asked
if way == "Audits":
    run = pick("Audit", Findings)
    if show(run) and (recipe := readable(run)) is not None:
        audited(recipe)
    st.stop()
if way == "Kept before":
    run = pick("Table", Dataset)
    spec, key = (readable(run), run.key) if run and run.entry else (None, "")
else:
    spec = WAYS[way]()
    key = spec.key if spec else ""
if spec is None:
    empty(
        "No table chosen yet",
        "A file with one row a molecule: a column of SMILES, and one or more columns of measurements.",
    )
    st.stop()
try:
    with st.spinner("Reading molecules …"):
        table = product(run.entry) if way == "Kept before" else previewed(spec)
except BadInput as error:
    st.error(plain(error), icon=":material/error:")
    st.stop()
table_result(table, key)
with st.expander("Audit: what is wrong with it", icon=":material/fact_check:", key=f"audit-of-{key}"):
    beside = {one.key: (words, one) for words, one in known_tables(labelled=False).values() if one.key != spec.key}
    chosen = st.multiselect(
        "Beside", list(beside), format_func=lambda k: beside[k][0], key=f"beside-{key}", max_selections=3,
        help="Tables it is to join, or to be judged by: what both have, contradictions, labels computed from theirs",
    )  # fmt: skip
    audited(Audit(spec, tuple(beside[k][1] for k in chosen)))
with st.container(horizontal=True):
    if way != "Kept before" and st.button("Use this table", type="primary", icon=":material/check:"):
        keep(spec)
        st.session_state["table"] = spec.key
        st.switch_page("pages/views/train.py")
    if way == "Kept before" and spec.kind == "load" and st.button("Train on it", type="primary"):
        st.session_state["table"] = spec.key
        st.switch_page("pages/views/train.py")
command(spec)
