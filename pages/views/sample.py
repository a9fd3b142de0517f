"""Sample: select compounds from a pool and inspect them before anything is trained."""

import dataclasses

import streamlit as st

from core.engine.spec import BadInput
from core.experiments import Concat, FineTune, Select
from pages.base.service import find_run, make_and_save, submit
from pages.forms.selection import ask_selection, base_model
from pages.results.selection import selection_result
from pages.widgets.frame import show_command, show_error, show_head
from pages.widgets.run_page import new_run, show_run, submit_and_show
from pages.widgets.run_picker import Run, list_runs, open_run, read_spec, show_after_rerun


def select(spec: Select) -> None:
    """Select at once where the scores are there: it takes a moment, and the queue may be long."""
    if spec.scores is not None and find_run(spec.scores) is None:
        submit_and_show(spec)
        return
    try:
        key = make_and_save(spec)
    except BadInput as error:
        show_error(error)
        return
    show_after_rerun(key)


def show_selection(run: Run) -> None:
    spec = read_spec(run)
    if spec is None:
        return
    base = base_model(run, spec)
    selection_result(run, spec, base)
    if isinstance(base, FineTune):
        again = dataclasses.replace(base, train=Concat((base.train, spec)))
        if st.button("Train with these", type="primary", icon=":material/model_training:", key=f"train-{run.key}"):
            open_run(submit(again), again.kind)
        show_command(again, "Command that trains with these")


show_head(
    "Sample",
    "Select compounds from a pool by a strategy. Compare them with the training set before anything is trained.",
)
count = len(list_runs(kind=Select.kind))
new_run("New selection", ask_selection, "Select", str(count), expanded=not count, act=select)
show_run(
    "Selection",
    kind=Select.kind,
    result=show_selection,
    without=(
        "No selection yet",
        "Choose candidates and a strategy. The selected compounds are shown on a map with the pool and the training "
        "set.",
    ),
)
