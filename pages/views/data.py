"""Data: choose a table, see what it holds and what was left out, audit it, save it."""

import streamlit as st

from core.data.audit import Findings
from core.data.dataset import Dataset
from core.engine.spec import BadInput, Spec
from core.experiments import Load
from pages.base.service import load_product, make_and_save, preview_product
from pages.forms import table_source
from pages.results.audit import ask_audit, show_audit
from pages.results.table import table_result
from pages.widgets.frame import show_command, show_empty, show_error, show_head
from pages.widgets.run_page import show_run
from pages.widgets.run_picker import Run, list_runs, read_spec

SOURCES = {
    "Built in": table_source.choose_built_in,
    "My file": table_source.upload_table,
    "MoleculeNet": table_source.choose_moleculenet,
}
NO_TABLE = (
    "No table chosen yet",
    "Choose a file with one row per molecule: a column of SMILES and one or more columns of measured values.",
)


def show_new(source: str) -> None:
    """A table from a source: shown, audited and saved on request."""
    spec = SOURCES[source]()
    if spec is None:
        show_empty(*NO_TABLE)
        return
    try:
        with st.spinner("Reading molecules …"):
            table = preview_product(spec)
    except BadInput as error:
        show_error(error)
        return
    table_result(table, spec.key)
    ask_audit(spec)
    if st.button("Use this table", type="primary", icon=":material/check:"):
        make_and_save(spec)
        train_on(spec)
    show_command(spec)


def show_saved(run: Run) -> None:
    """A table of the library."""
    spec = read_spec(run)
    if spec is None:
        return
    table_result(load_product(run.entry), run.key)
    ask_audit(spec)
    if spec.kind == Load.kind and st.button("Train on it", type="primary", icon=":material/model_training:"):
        train_on(spec)
    show_command(spec)


def show_run_audit(run: Run) -> None:
    if (spec := read_spec(run)) is not None:
        show_audit(spec)


def train_on(spec: Spec[Dataset]) -> None:
    st.session_state["table"] = spec.key
    st.switch_page("pages/views/train.py")


LIBRARY = {  # by what the page calls it: the product, the label of the box, how it is shown, the empty state
    "Saved tables": (Dataset, "Table", show_saved, NO_TABLE),
    "Audits": (Findings, "Audit", show_run_audit, ("No audit yet", "Choose a table and audit it.")),
}

show_head(
    "Data",
    "Choose a table of molecules. Every row that cannot be used is listed with the reason.",
)
views = [*SOURCES, *(name for name, (cls, *_) in LIBRARY.items() if list_runs(cls))]
first = st.query_params.get("from", views[0])
if "run" in st.query_params:
    audit_keys = {run.key for run in list_runs(Findings)}
    first = "Audits" if st.query_params["run"] in audit_keys else "Saved tables"
first = first if first in views else views[0]
view = st.segmented_control("Source", views, default=first, key="source", label_visibility="collapsed") or first
if view in SOURCES:
    show_new(view)
else:
    cls, label, show, without = LIBRARY[view]
    show_run(label, cls, result=show, without=without)
