"""The source of a table as a spec: built in, MoleculeNet, or an uploaded file."""

import pandas as pd
import streamlit as st

from core.data.readers import RawTable, guess_smiles, guess_targets, import_file, peek_table, split_sheet, table_suffix
from core.engine.spec import BadInput
from core.experiments import Load
from core.experiments.data.load import BUNDLED, HUB
from pages.base.service import get_service
from pages.base.text import escape_markdown
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


def upload_table() -> Load | None:
    """An uploaded file with its columns assigned."""
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
    return choose_columns(name, digest, head.frame)


@st.cache_resource(max_entries=16, show_spinner="Reading the first rows …")
def read_first_rows(path: str) -> RawTable:
    """Of an imported file, whose name is its digest, so that it never changes. Raises `BadInput`."""
    return peek_table(path, 200)


def choose_columns(name: str, digest: str, frame: pd.DataFrame) -> Load | None:
    """The columns of a file, or of a sheet of it, and what they hold, guesses first."""
    tag = f"{digest[:8]}-{split_sheet(name)[1]}"
    columns = [str(column) for column in frame.columns]
    guess = guess_smiles(frame)
    with st.container(border=True):
        st.caption("The first rows, as they are in the file")
        st.dataframe(frame.head(5).astype(str), hide_index=True, lazy=False, alt="First rows of the file")
        left, right = st.columns(2)
        index = columns.index(guess) if guess in columns else None
        smiles = left.selectbox("SMILES column", columns, index=index, key=f"smiles-{tag}", placeholder="Choose one")
        labels = [column for column in (guess_targets(frame, guess) if guess else ()) if column in columns]
        targets = right.multiselect(
            "Properties to predict",
            [column for column in columns if column != smiles],
            default=labels[:1],
            key=f"targets-{tag}",
            help="Columns of measured values; several make a multitask model",
        )
        unit = left.text_input("Unit", key=f"unit-{tag}", placeholder="for example log10(mol/L)")
        rule = right.selectbox(
            "Repeat measurements",
            ["median", "mean", "first", "drop-if-spread"],
            key=f"rule-{tag}",
            help="The value that is used where a molecule was measured more than once",
        )
    if smiles is None:
        st.info("Choose the column with SMILES.")
        return None
    try:
        return Load(f"file:{name}", smiles=smiles, targets=tuple(targets), unit=unit, duplicates=rule, digest=digest)
    except BadInput as error:
        show_error(error)
        return None
