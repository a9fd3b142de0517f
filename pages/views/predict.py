"""Predict: a finished model and any molecules → what it says of them, and how far that may be off."""

from typing import NamedTuple

import streamlit as st

from core.data.dataset import Dataset
from core.data.readers import import_file
from core.engine.spec import BadInput, Spec
from core.experiments import Load, Predict, TrunkHead
from core.models.trunk import Trunk
from core.results.fit import Fit
from core.results.predictions import Predicted
from pages.base.service import service, submit
from pages.base.text import plain
from pages.forms.table_source import uploaded
from pages.forms.tables import choose_table
from pages.results.predictions import predicted_result
from pages.widgets.frame import command, empty, head
from pages.widgets.run_picker import Run, finished, go, pick, runs, show

MOST_PASTED = 5000  # lines
EXAMPLE = "CC(=O)Oc1ccccc1C(=O)O aspirin\nCn1cnc2c1c(=O)n(C)c(=O)n2C caffeine"


class Model(NamedTuple):
    """What predicts: a recipe, and its tasks."""

    spec: Spec[Fit]
    tasks: tuple[str, ...]


def model() -> Model | None:
    """A fit, or a trunk under the head of one of its tables; at first the one named in the address, or shown last."""
    found = {run.key: (run, spec) for run, spec in finished(Fit, Trunk)}
    heads = {key: spec for key, (_, spec) in found.items() if isinstance(spec, TrunkHead) and spec.trunk.key in found}
    found = {key: one for key, one in found.items() if key not in heads}  # they stand with their trunks
    if not found:
        st.info("There is no model yet: train one, or run the demo.", icon=":material/model_training:")
        if st.button("Go to Train"):
            st.switch_page("pages/views/train.py")
        return None
    names = sorted(found, key=lambda key: bool(found[key][0].arm))
    asked = st.query_params.get("fit") or st.session_state.get("last-run-Fit-Checkpoint")
    head = heads.get(asked)
    asked = head.trunk.key if head else asked
    place = names.index(asked) if asked in names else 0

    def label(key: str) -> str:
        run, spec = found[key]
        return f"Trunk: {run.label}" if spec.product is Trunk else run.label

    run, spec = found[st.selectbox("Model", names, index=place, format_func=label, key="predict-fit")]
    return under(run, spec, head) if spec.product is Trunk else Model(spec, tuple(run.entry.summary["tasks"]))


def under(run: Run, trunk: Spec[Trunk], asked: TrunkHead | None) -> Model | None:
    """The trunk under the head of one of its tables; those that it learned atom by atom say nothing of a molecule."""
    cards = {
        card["name"]: (member, card)
        for member, card in zip(trunk.members, run.entry.summary["members"], strict=True)
        if not card["atoms"]
    }
    if not cards:
        st.info("All tables of this trunk were learned atom by atom; choose another model.", icon=":material/info:")
        return None
    keys = [member.key for member, _ in cards.values()]
    place = keys.index(asked.member.key) if asked is not None and asked.member.key in keys else 0
    name = st.selectbox("Table whose tasks it predicts", list(cards), index=place, key=f"head-{run.key}")
    member, card = cards[name]
    return Model(TrunkHead(trunk, member), tuple(card["tasks"]))


def pasted() -> Spec[Dataset] | None:
    """Molecules typed or pasted, one a line, a name behind a blank."""
    text = st.text_area("SMILES, one a line; a name may follow", height=150, placeholder=EXAMPLE, key="pasted")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    try:
        if len(lines) > MOST_PASTED:
            raise BadInput(f"{len(lines):,} lines, up to {MOST_PASTED:,} are taken here; give them as a file")
        name, digest = import_file(("\n".join(lines) + "\n").encode(), "pasted.smi", service().store.files)
        return Load(f"file:{name}", digest=digest)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
        return None


WHERE = {
    "Paste": pasted,
    "A table": lambda: choose_table("Table", "predict-table", labelled=False, help="Labels are compared with"),
    "My file": uploaded,
}


def labelled(table: Spec[Dataset], tasks: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a file that measure the fit's tasks, where they are called otherwise and someone says so."""
    columns = (table.tasks or table.targets) if isinstance(table, Load) else ()
    if len(tasks) != 1 or not columns or tasks[0] in columns:
        return ()
    none = "nothing: predict only"
    chosen = st.selectbox(f"What measures “{plain(tasks[0])}” in this table", [none, *columns], key="predict-labels")
    return () if chosen == none else (chosen,)


def wanted() -> Predict | None:
    """The form of a prediction."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**By which model**")
        chosen = model()
        if chosen is None:
            return None
        level = st.select_slider(
            "Intervals that hold",
            [0.5, 0.8, 0.9, 0.95],
            value=0.9,
            format_func=lambda share: f"{100 * share:.0f} %",
            key="predict-level",
            help="of the labels, by the errors on the fit’s validation part",
        )
    with right:
        st.markdown("**Which molecules**")
        where = st.segmented_control("From", list(WHERE), default="Paste", key="predict-where") or "Paste"
        table = WHERE[where]()
        if table is None:
            return None
        labels = labelled(table, chosen.tasks)
    try:
        return Predict(chosen.spec, table, labels=labels, level=level)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
        return None


head(
    "Predict",
    "What a finished model says of other molecules, how far that may be off, and what it has seen like them.",
)
count = len(runs(Predicted))
named = "fit" in st.query_params and "run" not in st.query_params
with st.expander("New predictions", icon=":material/add:", expanded=not count or named, key=f"new-{count}"):
    spec = wanted()
    if st.button("Predict", type="primary", icon=":material/play_arrow:", disabled=spec is None) and spec is not None:
        st.query_params.pop("fit", None)
        go(submit(spec))
    if spec is not None:
        command(spec)
run = pick("Predictions", Predicted)
if run is None:
    empty(
        "Nothing predicted yet",
        "Choose a model, paste a few SMILES or give a table. Every number comes with its interval.",
    )
elif show(run):
    try:
        predicted_result(run)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
