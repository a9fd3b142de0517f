"""Runs: the line of jobs, and what the store has."""

import streamlit as st

from core.engine.spec import BadInput
from pages.base.service import service
from pages.base.text import ago, device_name, duration, headline, plain, size
from pages.widgets.frame import command, empty, head
from pages.widgets.job_panel import chip, job_panel
from pages.widgets.run_picker import open_run, readable, runs
from pages.widgets.store_table import bundle, delete, overview

head(
    "Runs",
    "What waits and runs, and what is kept. A run is kept under its recipe's key: the same recipe never runs twice.",
)
line, store = service().line, service().store
jobs = line.jobs()
live, ended = [job for job in jobs if job.live], [job for job in jobs if not job.live and job.state != "done"]
st.subheader("The line", anchor=False)
if service().worker.trouble:
    st.info(plain(service().worker.trouble), icon=":material/info:")
if not live:
    st.caption("Nothing waits and nothing runs.")
for job in sorted(live, key=lambda job: (job.state != "running", line.position(job.key) or 0)):
    job_panel(job.key)
for job in ended:
    with st.expander(f"{plain(headline(job.title))} · {job.state} · {ago(job.ended)}", key=f"ended-{job.key}"):
        job_panel(job.key)
        if st.button("Open its page", key=f"page-{job.key}", type="tertiary"):
            open_run(job.key, job.kind)

st.subheader("The store", anchor=False)
kept = [run for run in runs() if run.entry]
if not kept:
    empty("The store is empty", "What a run yields is kept here: tables, fits, scores, comparisons.")
    st.stop()
kinds = sorted({run.kind for run in kept})
chosen = st.pills(
    "Kinds", kinds, selection_mode="multi", key="kinds", help="Show these kinds only; none chosen shows all"
)
kept = [run for run in kept if not chosen or run.kind in chosen]
picked = overview(kept)
if picked is None:
    st.caption("Choose a row to open, export or delete it.")
    st.stop()
run = kept[picked]
with st.container(border=True):
    with st.container(horizontal=True, vertical_alignment="center"):
        chip("kept")
        st.markdown(f"**{plain(headline(run.title))}**")
        st.code(run.key, language=None)
    entry = run.entry
    st.caption(
        f"{ago(run.moment)} · took {duration(entry.seconds)} · {size(entry.bytes)} · {plain(device_name(entry.device))}"
    )
    with st.container(horizontal=True):
        if st.button("Open", type="primary", icon=":material/arrow_forward:"):
            open_run(run.key, run.kind)
        bundle(entry)
        if st.button("Delete", icon=":material/delete:"):
            delete(entry)
    with st.expander("What it says of itself"):
        st.json(entry.summary, expanded=1)
    try:
        entry.check_current()
    except BadInput as error:
        st.warning(plain(error))
    if (spec := readable(run)) is not None:
        command(spec)
