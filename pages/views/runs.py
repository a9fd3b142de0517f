"""Runs: the job queue, and the library of saved results."""

import streamlit as st

from core.engine.job_queue import Job
from core.engine.spec import BadInput
from pages.base.address import read_address
from pages.base.service import get_service
from pages.base.text import (
    as_sentence,
    capitalise,
    escape_markdown,
    format_age,
    format_bytes,
    format_device,
    format_duration,
)
from pages.widgets.frame import show_command, show_empty, show_head
from pages.widgets.job_panel import show_job, state_badge
from pages.widgets.library_table import choose_from_table, confirm_delete, download_buttons
from pages.widgets.run_picker import Run, list_runs, locate_run, read_spec, run_door, show_missing_run


def show_queue(jobs: list[Job]) -> None:
    """Jobs that run or wait, then those that failed or were stopped."""
    active, ended = (
        [job for job in jobs if job.is_active],
        [job for job in jobs if not job.is_active and job.state != "done"],
    )
    if get_service().worker.trouble:
        st.info(escape_markdown(get_service().worker.trouble), icon=":material/info:")
    if not active:
        st.caption("No job is running or waiting.")
    for job in sorted(active, key=lambda job: (job.state != "running", get_service().queue.position(job.key) or 0)):
        show_job(job.key)
    for job in ended:
        with st.expander(
            f"{escape_markdown(capitalise(job.title))} · {job.state} · {format_age(job.ended)}", key=f"ended-{job.key}"
        ):
            show_job(job.key)
            run_door("Open its page", job.key, job.kind, "job")


def show_saved(saved: list[Run]) -> None:
    """The table of saved results, filtered by kind; the chosen one, or the one that the address names, in detail."""
    chosen = st.pills("Kinds", sorted({run.kind for run in saved}), selection_mode="multi", key="kinds",
                      help="Show only these kinds. With none chosen, all are shown.")  # fmt: skip
    listed = [run for run in saved if not chosen or run.kind in chosen]
    row = choose_from_table(listed)
    asked = next((run for run in saved if run.key == read_address("run")), None)
    run = listed[row] if row is not None else asked
    if run is None:
        st.caption("Choose a row to open, export or delete it.")
    else:
        show_details(run)


def show_details(run: Run) -> None:
    """One saved result: where it is shown, its files, its summary, its command."""
    entry = run.entry
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            state_badge("done")
            st.markdown(f"**{escape_markdown(capitalise(run.title))}**")
            st.code(run.key, language=None)
        device = escape_markdown(format_device(entry.device))
        st.caption(
            f"{format_age(run.moment)} · took {format_duration(entry.seconds)} · {format_bytes(entry.bytes)} · {device}"
            + (" · unchecked" if entry.integrity == "unchecked" else "")
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            elsewhere = locate_run(run.key, run.kind)[0] != "pages/views/runs.py"
            if elsewhere:
                run_door("Open", run.key, run.kind, "saved", primary=True)
            download_buttons(entry)
            if st.button("Delete", icon=":material/delete:"):
                confirm_delete(entry)
        with st.expander("Summary"):
            st.json(entry.summary, expanded=1)
        try:
            entry.check_current()
        except BadInput as error:
            st.warning(escape_markdown(error))
        if (spec := read_spec(run)) is not None:
            show_command(spec)


show_head(
    "Runs",
    "The job queue, and the library of saved results. A result is saved under a key made from its settings: the same "
    "settings are never computed twice.",
)
st.subheader("Queue", anchor=False)
show_queue(get_service().queue.jobs())
st.subheader("Saved results", anchor=False)
for damaged in (entry.damaged for entry in get_service().store.entries() if entry.damaged):
    st.error(escape_markdown(as_sentence(damaged)), icon=":material/error:")
runs = list_runs()
saved = [run for run in runs if run.entry]
if (asked := read_address("run")) and asked not in {run.key for run in runs}:
    show_missing_run(asked)
if saved:
    show_saved(saved)
else:
    show_empty("The library is empty", "Every finished run is saved here: tables, trained models, scores, comparisons.")
