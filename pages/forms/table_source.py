"""The source of a table as a spec: built in, MoleculeNet, or an uploaded file."""

import dataclasses

import streamlit as st

from core.data.readers import RawTable, import_file, peek_table, split_sheet, table_suffix
from core.engine.spec import BadInput
from core.experiments import Load
from core.experiments.data.load import BUNDLED, HUB
from pages.base.service import get_service
from pages.base.text import escape_markdown
from pages.forms import reading
from pages.widgets.frame import show_error

SUFFIXES = ["csv", "tsv", "txt", "xlsx", "xlsm", "smi", "sdf", "parquet", "gz"]
MAX_MEGABYTES = 25


def choose_built_in() -> Load:
    """A built-in table."""
    name = st.selectbox("Table", list(BUNDLED), key="bundled")
    st.caption(escape_markdown(BUNDLED[name].about))
    return Load(f"bundled:{name}")


def choose_moleculenet() -> Load | None:
    """A MoleculeNet table, fetched once on request."""
    name = st.selectbox("MoleculeNet table", list(HUB), format_func=lambda n: HUB[n].repo.rpartition("_")[2], key="hub")
    st.caption(escape_markdown(HUB[name].about) + ". Downloaded once from the Hugging Face hub, then cached.")
    asked = st.session_state.setdefault("fetched", set())
    if name not in asked and not st.button("Download", icon=":material/cloud_download:"):
        return None
    asked.add(name)
    return Load(f"hub:{name}")


def upload_table(labels_wanted: bool = True) -> Load | None:
    """An uploaded file with its columns assigned; `labels_wanted`: whether it needs labels."""
    file = st.file_uploader(
        "A table with SMILES and measured values", type=SUFFIXES, max_upload_size=MAX_MEGABYTES, key="file"
    )
    st.caption(
        "CSV, TSV, Excel, SMI, SDF or Parquet; text files may be gzipped. The file is stored in the cache of this "
        "installation and is not sent anywhere else."
    )
    if file is None:
        return None
    try:
        if file.size > MAX_MEGABYTES * 1_000_000:
            raise BadInput(
                f"the file has {file.size / 1e6:.0f} MB; at most {MAX_MEGABYTES} MB fit here: use the command line"
            )
        name, digest = import_file(file.getvalue(), file.name, get_service().store.files)
        path = str(get_service().store.files / (digest + table_suffix(name)))
        head = read_first_rows(path)
        if len(head.sheets) > 1:
            sheet = st.selectbox(
                "Sheet",
                head.sheets,
                index=head.sheets.index(head.sheet),
                key=f"sheet-{digest[:8]}",
                format_func=escape_markdown,
            )
            name, head = f"{name}#{sheet}", read_first_rows(f"{path}#{sheet}")
    except BadInput as error:
        show_error(error)
        return None
    return choose_columns(name, digest, labels_wanted)


@st.cache_resource(max_entries=16, show_spinner="Reading the first rows …")
def read_first_rows(path: str) -> RawTable:
    """Of an imported file, whose name is its digest, so that it never changes. Raises `BadInput`."""
    return peek_table(path, 200)


def choose_columns(name: str, digest: str, labels_wanted: bool = True) -> Load | None:
    """How a file, or a sheet of it, is read: what it proves, and boxes for the rest; nothing while that is open."""
    tag = f"{digest[:8]}-{split_sheet(name)[1]}"
    try:
        load = reading.with_settings(Load(f"file:{name}", digest=digest), tag)
        inspection = reading.inspect_file(load)
        columns = [str(column) for column in inspection.frame.columns]
        with st.container(border=True):
            left, right = st.columns(2)
            index = columns.index(inspection.smiles) if inspection.smiles in columns else None
            smiles = left.selectbox(
                "SMILES column", columns, index=index, key=f"smiles-{tag}", placeholder="Choose one"
            )
            targets: list[str] = []
            if labels_wanted:
                targets = right.multiselect(
                    "Properties to predict",
                    [column for column in columns if column != smiles],
                    default=list(inspection.targets[:1]),
                    key=f"targets-{tag}",
                    help="Columns of measured values; several make a multitask model",
                )
            if smiles is not None:
                chosen = dataclasses.replace(load, smiles=smiles, targets=tuple(targets))
                chosen_inspection = reading.inspect_file(chosen)
            else:
                chosen, chosen_inspection = load, inspection
            decisions = chosen_inspection.decisions
            if not labels_wanted and smiles is not None:
                decisions = [decision for decision in decisions if decision.field == "hidden"]
            st.caption("How it is read, beside the first rows")
            decided = reading.show_decisions(decisions, tag)
            for note in inspection.notes:
                st.caption(f":material/info: {escape_markdown(note)}")
            if labels_wanted:
                reading.show_candidates(inspection.decisions)
            reading.show_preview(chosen_inspection, targets)
            if labels_wanted:
                left, right = st.columns(2)
                unit = left.text_input("Unit", key=f"unit-{tag}", placeholder="for example log10(mol/L)")
                rule = right.selectbox(
                    "Repeat measurements",
                    ["median", "mean", "first", "drop-if-spread"],
                    key=f"rule-{tag}",
                    help="The value that is used where a molecule was measured more than once",
                )
                chosen = dataclasses.replace(chosen, unit=unit, duplicates=rule)
    except BadInput as error:
        show_error(error)
        return None
    if smiles is None:
        st.info("Choose the column with SMILES.")
        return None
    if not decided:
        st.warning("The file can be read in two ways. Choose above how it is read.", icon=":material/help:")
        return None
    return chosen
