"""What a prediction needs: a trained model, molecules, and the column that measures what is predicted."""

from typing import NamedTuple

import streamlit as st

from core.data.dataset import Dataset
from core.data.readers import import_file
from core.engine.spec import BadInput, Spec
from core.experiments import Load, MultitaskHead
from core.models.multitask_model import MultitaskModel
from core.results.fit import Fit
from pages.base.address import read_address
from pages.base.service import get_service
from pages.base.text import escape_markdown
from pages.forms.table_source import upload_table
from pages.forms.tables import choose_table, show_no_model
from pages.widgets.frame import show_error
from pages.widgets.run_picker import Run, finished_runs, show_missing_run

MAX_PASTED = 5000  # lines
EXAMPLE = "CC(=O)Oc1ccccc1C(=O)O aspirin\nCn1cnc2c1c(=O)n(C)c(=O)n2C caffeine"


class Model(NamedTuple):
    """What predicts: the spec of a fit, and its tasks."""

    spec: Spec[Fit]
    tasks: tuple[str, ...]


def choose_predictor() -> Model | None:
    """A box with the trained models. It starts with the one in the address, or else the one shown last.

    For a multitask model, a second box asks for the table whose head predicts.
    """
    models = {run.key: (run, spec) for run, spec in finished_runs(Fit, MultitaskModel)}
    heads = {
        key: spec
        for key, (_, spec) in models.items()
        if isinstance(spec, MultitaskHead) and spec.multitask_model.key in models
    }
    models = {key: one for key, one in models.items() if key not in heads}
    if not models:
        show_no_model("There is no trained model yet. Train one, or run the demo.")
        return None
    keys = sorted(models, key=lambda key: bool(models[key][0].arm))
    asked = read_address("fit")
    if asked and asked not in {*keys, *heads}:
        show_missing_run(asked, noun="Model")
    asked = asked or st.session_state.get("last-run-Fit-Checkpoint")
    head = heads.get(asked)
    asked = head.multitask_model.key if head else asked
    index = keys.index(asked) if asked in keys else 0

    def label(key: str) -> str:
        run, spec = models[key]
        return f"Multitask: {run.label}" if spec.product is MultitaskModel else run.label

    run, spec = models[st.selectbox("Trained model", keys, index=index, format_func=label, key="predict-fit")]
    return (
        choose_head(run, spec, head)
        if spec.product is MultitaskModel
        else Model(spec, tuple(run.entry.summary["tasks"]))
    )


def choose_head(run: Run, model: Spec[MultitaskModel], head: MultitaskHead | None) -> Model | None:
    """The head of one table of a multitask model; heads of single atoms predict nothing of a molecule."""
    cards = {
        card["name"]: (member, card)
        for member, card in zip(model.members, run.entry.summary["members"], strict=True)
        if not card["atoms"]
    }
    if not cards:
        st.info("This model predicts properties of single atoms only. Choose another model.", icon=":material/info:")
        return None
    keys = [member.key for member, _ in cards.values()]
    index = keys.index(head.member.key) if head is not None and head.member.key in keys else 0
    name = st.selectbox("Table whose properties are predicted", list(cards), index=index, key=f"head-{run.key}")
    member, card = cards[name]
    return Model(MultitaskHead(model, member), tuple(card["tasks"]))


def paste_molecules() -> Spec[Dataset] | None:
    """Typed or pasted molecules, one per line; a name may follow the SMILES."""
    st.session_state.setdefault("pasted", st.session_state.get("pasted-before", ""))  # survives a visit of other pages
    text = st.text_area("SMILES, one per line; a name may follow", height=150, placeholder=EXAMPLE, key="pasted")
    st.session_state["pasted-before"] = text
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    try:
        if len(lines) > MAX_PASTED:
            raise BadInput(f"{len(lines):,} lines were pasted; at most {MAX_PASTED:,} fit here: upload them as a file")
        name, digest = import_file(("\n".join(lines) + "\n").encode(), "pasted.smi", get_service().store.files)
        return Load(f"file:{name}", digest=digest)
    except BadInput as error:
        show_error(error)
        return None


SOURCES = {
    "Paste": paste_molecules,
    "A table": lambda: choose_table(
        "Table", "predict-table", labelled=False, help="Labels, where present, are used to report errors"
    ),
    "My file": lambda: upload_table(labels_wanted=False),
}


def choose_molecules() -> Spec[Dataset] | None:
    """Molecules from one of the sources; nothing while there are none."""
    source = st.segmented_control("From", list(SOURCES), default="Paste", key="predict-where") or "Paste"
    return SOURCES[source]()


def choose_labels(table: Spec[Dataset], tasks: tuple[str, ...]) -> tuple[str, ...]:
    """The column of a table that measures the one task of the model, where it has another name."""
    columns = (table.tasks or table.targets) if isinstance(table, Load) else ()
    if len(tasks) != 1 or not columns or tasks[0] in columns:
        return ()
    none = "none: predict only"
    chosen = st.selectbox(f"Column with measured “{escape_markdown(tasks[0])}”", [none, *columns], key="predict-labels")
    return () if chosen == none else (chosen,)
