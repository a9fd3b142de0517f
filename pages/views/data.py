"""Data: choose a table, see what it holds and what was left out, audit it, save it."""

import streamlit as st

from core.data.audit import Findings
from core.data.dataset import Dataset
from core.data.left_out import describe_left_out
from core.engine.spec import BadInput
from core.experiments import Load
from pages.base.address import door, open_page, read_address, write_address
from pages.base.service import load_product, make_and_save, preview_product
from pages.forms import table_source
from pages.results.audit import ask_audit, show_audit
from pages.results.table import table_result
from pages.widgets.frame import show_command, show_empty, show_error, show_head, show_warnings
from pages.widgets.run_page import show_run
from pages.widgets.run_picker import Run, list_runs, read_spec, show_missing_run

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
    show_warnings(describe_left_out(table.left_out))
    table_result(table, spec.key)
    ask_audit(spec)
    if st.button("Use this table", type="primary", icon=":material/check:"):
        st.session_state["table"] = make_and_save(spec)
        open_page("pages/views/train.py")
    show_command(spec)


def show_saved(run: Run) -> None:
    """A table of the library."""
    spec = read_spec(run)
    if spec is None:
        return
    table = load_product(run.entry)
    show_warnings(describe_left_out(table.left_out))
    table_result(table, run.key)
    ask_audit(spec)
    if spec.kind == Load.kind:
        door("Train on it", "pages/views/train.py", "train", ":material/model_training:", True, table=run.key)
    show_command(spec)


def show_run_audit(run: Run) -> None:
    if (spec := read_spec(run)) is not None:
        show_audit(spec)


def choose_view(views: list[str]) -> str:
    """A new table from a source, or one of the library; the one that the address names, until another is chosen."""
    asked, source = read_address("run"), read_address("from")
    if asked in {run.key for run in list_runs(Findings)}:
        source = "Audits"
    elif asked in {run.key for run in list_runs(Dataset)}:
        source = "Saved tables"
    elif asked:
        show_missing_run(asked)
    if source in views:
        st.session_state["source"] = source
    if st.session_state.get("source") not in views:
        st.session_state["source"] = views[0]
    chosen = st.segmented_control("Source", views, key="source", on_change=write_address, label_visibility="collapsed")
    return chosen or views[0]


LIBRARY = {  # by what the page calls it: the product, the label of the box, how it is shown, the empty state
    "Saved tables": (Dataset, "Table", show_saved, NO_TABLE),
    "Audits": (Findings, "Audit", show_run_audit, ("No audit yet", "Choose a table and audit it.")),
}

show_head(
    "Data",
    "Choose a table of molecules. Every row that cannot be used is listed with the reason.",
)
views = [*SOURCES, *(name for name, (cls, *_) in LIBRARY.items() if list_runs(cls))]
view = choose_view(views)
if view in SOURCES:
    show_new(view)
else:
    cls, label, show, without = LIBRARY[view]
    show_run(label, cls, result=show, without=without)
