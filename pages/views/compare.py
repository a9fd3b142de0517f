"""Compare: a selection tested by training again, or trained models side by side."""

import streamlit as st

from core.engine.spec import BadInput
from core.experiments import SelectionStudy, build_preset
from core.results.fit import Fit
from pages.base.address import read_address, write_address
from pages.forms.selection_study import ask_study
from pages.results.comparison import study_result
from pages.results.side_by_side import choose_comparable, side_by_side_result
from pages.widgets.frame import show_empty, show_error, show_head
from pages.widgets.run_page import new_run, show_run, submit_and_show
from pages.widgets.run_picker import finished_runs, list_runs, show_missing_run


def show_studies() -> None:
    new_run("New comparison", ask_study, "Run the comparison", str(len(list_runs(kind=SelectionStudy.kind))))
    run = show_run(
        "Comparison",
        kind=SelectionStudy.kind,
        result=study_result,
        without=(
            "No comparison yet",
            "A comparison trains the model again with compounds chosen by several strategies, and says whether the "
            "selection helped.",
        ),
    )
    if run is None and st.button("Run the demo", type="primary", icon=":material/play_arrow:"):
        submit_and_show(build_preset("demo"))


def show_models() -> None:
    fits = {run.key: run for run, _ in finished_runs(Fit)}
    asked = [key for key in read_address("fits").split(",") if key]
    for key in asked:
        if key not in fits:
            show_missing_run(key, noun="Model")
    if len(fits) < 2:
        show_empty(
            "Two trained models are needed",
            "Train twice, for example with two methods. Their settings and metrics are shown side by side here.",
        )
        return
    if known := [key for key in asked if key in fits]:
        st.session_state["beside"] = known
    elif "beside" not in st.session_state:
        st.session_state["beside"] = choose_comparable(list(fits.values()))
    chosen = st.multiselect(
        "Trained models; the first is the reference", list(fits), max_selections=6,
        format_func=lambda key: fits[key].label, key="beside", on_change=write_choice,
    )  # fmt: skip
    if len(chosen) > 1:
        side_by_side_result([fits[key] for key in chosen])
    else:
        st.caption("Choose at least two.")


def write_choice() -> None:
    write_address(fits=",".join(st.session_state["beside"]))


VIEWS = {"Comparisons": show_studies, "Models side by side": show_models}


def choose_view() -> str:
    """What is compared; the address says it, until someone chooses."""
    if read_address("fits"):
        st.session_state["view"] = "Models side by side"
    elif read_address("run"):
        st.session_state["view"] = "Comparisons"
    st.session_state.setdefault("view", "Comparisons")
    return (
        st.segmented_control("View", list(VIEWS), key="view", on_change=write_address, label_visibility="collapsed")
        or "Comparisons"
    )


show_head(
    "Compare",
    "A difference counts when it is larger than the noise of repeating a run. “Not distinguishable” is a result.",
)
try:
    VIEWS[choose_view()]()
except BadInput as error:
    show_error(error)
