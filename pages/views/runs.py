"""Runs: the job queue, and the library of saved results."""

import streamlit as st

from core.engine.job_queue import Job
from core.engine.spec import BadInput
from pages.base.service import service
from pages.base.text import ago, device_name, duration, headline, plain, size
from pages.widgets.frame import command, empty, head
from pages.widgets.job_panel import chip, job_panel
from pages.widgets.run_picker import Run, address_of, open_run, readable, runs
from pages.widgets.store_table import bundle, delete, overview


def show_queue(jobs: list[Job]) -> None:
    """Jobs that run or wait, then those that failed or were stopped."""
    live, ended = [job for job in jobs if job.live], [job for job in jobs if not job.live and job.state != "done"]
    if service().worker.trouble:
        st.info(plain(service().worker.trouble), icon=":material/info:")
    if not live:
        st.caption("No job is running or waiting.")
    for job in sorted(live, key=lambda job: (job.state != "running", service().line.position(job.key) or 0)):
        job_panel(job.key)
    for job in ended:
        with st.expander(f"{plain(headline(job.title))} · {job.state} · {ago(job.ended)}", key=f"ended-{job.key}"):
            job_panel(job.key)
            if st.button("Open its page", key=f"page-{job.key}", type="tertiary"):
                open_run(job.key, job.kind)


def show_saved(saved: list[Run]) -> None:
    """The table of saved results, filtered by kind; the chosen one, or the one that the address names, in detail."""
    chosen = st.pills("Kinds", sorted({run.kind for run in saved}), selection_mode="multi", key="kinds",
                      help="Show only these kinds. With none chosen, all are shown.")  # fmt: skip
    shown = [run for run in saved if not chosen or run.kind in chosen]
    row = overview(shown)
    asked = next((run for run in saved if run.key == st.query_params.get("run")), None)
    run = shown[row] if row is not None else asked
    if run is None:
        st.caption("Choose a row to open, export or delete it.")
    else:
        show_details(run)


def show_details(run: Run) -> None:
    """One saved result: where it is shown, its files, its summary, its command."""
    entry = run.entry
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            chip("done")
            st.markdown(f"**{plain(headline(run.title))}**")
            st.code(run.key, language=None)
        device = plain(device_name(entry.device))
        st.caption(f"{ago(run.moment)} · took {duration(entry.seconds)} · {size(entry.bytes)} · {device}")
        with st.container(horizontal=True):
            elsewhere = address_of(run.key, run.kind)[0] != "pages/views/runs.py"
            if elsewhere and st.button("Open", type="primary", icon=":material/arrow_forward:"):
                open_run(run.key, run.kind)
            bundle(entry)
            if st.button("Delete", icon=":material/delete:"):
                delete(entry)
        with st.expander("Summary"):
            st.json(entry.summary, expanded=1)
        try:
            entry.check_current()
        except BadInput as error:
            st.warning(plain(error))
        if (spec := readable(run)) is not None:
            command(spec)


head(
    "Runs",
    "The job queue, and the library of saved results. A result is saved under a key made from its settings: the same "
    "settings are never computed twice.",
)
st.subheader("Queue", anchor=False)
show_queue(service().line.jobs())
st.subheader("Saved results", anchor=False)
saved = [run for run in runs() if run.entry]
if saved:
    show_saved(saved)
else:
    empty("The library is empty", "Every finished run is saved here: tables, trained models, scores, comparisons.")
