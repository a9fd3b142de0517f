"""Train: a table and its split → a fine-tuned model or a baseline; or a backbone adapted to unlabelled molecules."""

import streamlit as st

from core.engine.spec import Spec
from core.experiments import Adapt, Baseline, FineTune, Pretrain
from core.models.backbones.checkpoint import Checkpoint
from core.results.fit import Fit
from pages.base.address import door, read_address
from pages.base.service import load_product
from pages.forms.training import ask_adaptation, ask_baseline, ask_ensemble, ask_fine_tuning, spec_to_change
from pages.results.fit import fit_result
from pages.results.pretraining import adapted_result, pretrained_result
from pages.widgets.frame import scroll_to_top, show_head
from pages.widgets.run_page import new_run, show_run, submit_and_show
from pages.widgets.run_picker import Run, list_runs, read_spec

FORMS = {  # by what the page calls it
    "Fine-tune": ask_fine_tuning,
    "Baseline": ask_baseline,
    "Adapt a backbone (no labels needed)": ask_adaptation,
}
CHANGEABLE = {FineTune.kind: "Fine-tune", Baseline.kind: "Baseline"}
RESULTS = {Adapt.kind: adapted_result, Pretrain.kind: pretrained_result}  # by kind; all others are fits


def ask() -> Spec | None:
    """The choice of what is trained, and its form."""
    first = next(iter(FORMS))
    chosen = st.segmented_control("What", list(FORMS), default=first, key="what", label_visibility="collapsed")
    return FORMS[chosen or first]()


def begin(spec: Spec) -> None:
    st.session_state.pop("again", None)
    submit_and_show(spec)


def change(spec: Spec) -> None:
    """Show the form with the settings of a run."""
    st.session_state["again"], st.session_state["what"] = spec, CHANGEABLE[spec.kind]


def keep() -> None:
    """Show the run again, unchanged."""
    st.session_state.pop("again", None)


def show_model(run: Run) -> None:
    """The result, and what can be done with it."""
    RESULTS.get(run.kind, fit_result)(run)
    with st.container(horizontal=True, vertical_alignment="center"):
        if Spec.kinds[run.kind].has_gradient:
            door(
                "Score candidates with it", "pages/views/influence.py", "score", ":material/balance:", True, fit=run.key
            )
        if isinstance(load_product(run.entry), Fit):
            door("Predict with it", "pages/views/predict.py", "predict", ":material/query_stats:", fit=run.key)
        if run.kind in CHANGEABLE and (spec := read_spec(run)) is not None:
            ask_ensemble(spec)
            st.button("Change and run again", icon=":material/edit:", on_click=change, args=(spec,))


show_head(
    "Train",
    "Fine-tune a chemical language model on measured molecules, or fit a baseline that it has to beat. The test set is "
    "used only to report the error, never for training or selection.",
)
count = len(list_runs(Fit, Checkpoint))
changing = spec_to_change(Spec) is not None
if changing:  # the form alone: below a result, or above it, it would be out of sight
    scroll_to_top()
    st.info("The form has the settings of the run. Change them, then press Start.", icon=":material/edit:")
new_run(
    "New run",
    ask,
    "Start",
    f"{count}-{changing}",
    expanded=not count or changing or bool(read_address("table")),
    act=begin,
)
if changing:
    st.button("Back to the result", icon=":material/arrow_back:", on_click=keep)
else:
    show_run(
        "Run",
        Fit,
        Checkpoint,
        result=show_model,
        without=(
            "No model yet",
            "Choose a table and start; the defaults are a good first choice. The learning curve appears here.",
        ),
    )
