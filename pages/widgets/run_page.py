"""The two halves of a page: the form of a new run, and the result or job of the chosen run."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from core.engine.spec import BadInput, Spec
from pages.base.service import submit
from pages.widgets.frame import show_command, show_empty, show_error
from pages.widgets.job_panel import show_job
from pages.widgets.run_picker import Run, choose_run, show_after_rerun


def submit_and_show(spec: Spec) -> None:
    """Submit a spec and show its run, or the error."""
    try:
        key = submit(spec)
    except BadInput as error:
        show_error(error)
        return
    show_after_rerun(key)


def new_run(
    title: str,
    ask: Callable[[], Spec | None],
    action: str,
    slot: str,
    expanded: bool = False,
    act: Callable[[Any], None] = submit_and_show,
) -> None:
    """A form in an expander; `action` is the button that hands the spec of the form to `act`.

    `slot` is the key of the expander: a new key gives a new expander, opened if `expanded`.
    """
    with st.expander(title, icon=":material/add:", expanded=expanded, key=f"new-{slot}"):
        spec = ask()
        if st.button(action, type="primary", icon=":material/play_arrow:", disabled=spec is None) and spec is not None:
            act(spec)
        if spec is not None:
            show_command(spec)


def show_run(
    label: str,
    *products: type,
    result: Callable[[Run], None],
    without: tuple[str, str],
    kind: str = "",
) -> Run | None:
    """The end of a page: a box to choose a run, then its result, or its job, or an error as a sentence.

    `without`: the title and the sentence of the empty state. Gives the run, or nothing where there is none.
    """
    run = choose_run(label, *products, kind=kind)
    if run is None:
        show_empty(*without)
    elif run.entry is None:
        show_job(run.key)
    else:
        try:
            result(run)
        except BadInput as error:
            show_error(error)
    return run
