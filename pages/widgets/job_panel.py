"""A live job: progress, time left, learning curve; buttons to stop, resume or remove it; the reason of a failure."""

import time
from typing import Any

import pandas as pd
import streamlit as st

from core.engine.job_queue import Job
from core.engine.spec import BadInput
from core.figures import base as figures
from pages.base.address import live
from pages.base.service import get_service
from pages.base.text import STATES, capitalise, escape_markdown, format_age, format_duration
from pages.widgets.frame import show_error

JOB_SECONDS, QUEUE_SECONDS = 1.0, 2.0  # until a live part is drawn again
SILENT_SECONDS = 90  # seconds without a report


def state_badge(state: str, cancelling: bool = False) -> None:
    """A state as word, icon and colour."""
    icon, colour, word = STATES[state]
    st.badge("stopping" if cancelling else word, icon=icon, color=colour)


def show_job(key: str) -> Job | None:
    """Show a job that is not done. Gives the job, or nothing if it is not in the queue."""
    job = get_service().queue.job(key)
    if job is None or job.state == "done":
        return job
    if job.is_active:
        live(_show_live, JOB_SECONDS, key)(key)
    else:
        _show_ended(job)
    return job


def _show_live(key: str) -> None:
    queue = get_service().queue
    job = queue.job(key)
    if job is None or not job.is_active:
        st.rerun()
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            state_badge(job.state, job.cancelling)
            st.markdown(f"**{escape_markdown(capitalise(job.title))}**")
        st.progress(min(job.fraction, 1.0), text=_progress_text(job))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Stop",
                key=f"cancel-{key}",
                icon=":material/stop_circle:",
                disabled=job.cancelling,
                on_click=queue.cancel,
                args=(key,),
                help="Stops at the next step. A checkpoint is saved, so the job can be resumed.",
            )
            if job.state == "running":
                st.caption(f"running for {format_duration(time.time() - job.started)}")
            if job.state == "running" and time.time() - job.heartbeat > SILENT_SECONDS:
                st.caption(f":orange[no progress report for {format_duration(time.time() - job.heartbeat)}]")
        curve = learning_curve(queue.track(key))
        if len(curve) > 1:
            figure = figures.plot_learning_curves({"": curve}).update_layout(height=230)
            st.plotly_chart(figure, key=f"live-{key}", config=figures.CONFIG, alt="Loss so far by epoch")


def _progress_text(job: Job) -> str:
    if job.state == "waiting":
        queue, trouble = get_service().queue, get_service().worker.trouble
        before = (queue.position(job.key) or 0) + sum(other.state == "running" for other in queue.jobs())
        if trouble and not before:
            return escape_markdown(f"waiting: {trouble}")
        return f"waiting; {before} ahead in the queue" if before else "waiting for the worker"
    left = f" · about {format_duration(job.eta)} left" if job.eta is not None else ""
    part = job.numbers.get("title")
    what = f"{part}: {job.message}" if part and part != job.title else job.message
    return f"{job.fraction:.0%} · {escape_markdown(what)}{left}"


def learning_curve(points: list[dict]) -> pd.DataFrame:
    """Training and validation loss by epoch of the current training, from the reports of a job."""
    reports = [point["numbers"] for point in points if "epoch" in point["numbers"]]
    titles = [numbers.get("title") for numbers in reports]
    last = len(reports) - next((n for n, title in enumerate(reversed(titles)) if title != titles[-1]), len(reports))
    table = pd.DataFrame(reports[last:])
    wanted = [column for column in ("train_loss", "valid_loss") if column in table]
    if not wanted:
        return pd.DataFrame(columns=["epoch", "train_loss", "valid_loss"])
    return table[["epoch", *wanted]].dropna(subset=wanted, how="all").drop_duplicates("epoch", keep="last")


def _show_ended(job: Job) -> None:
    queue = get_service().queue
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            state_badge(job.state)
            st.markdown(f"**{escape_markdown(capitalise(job.title))}**")
            st.caption(format_age(job.ended))
        if job.state == "failed":
            show_error(job.error)
        else:
            reached = f" at {job.fraction:.0%}" if job.fraction else ""
            st.info(f"It was {job.state}{reached}. Finished steps are saved; resuming continues from there.")
        with st.container(horizontal=True):
            if st.button("Resume", key=f"resume-{job.key}", icon=":material/replay:", type="primary"):
                act_on_job(queue.resume, job.key)
            if st.button("Remove", key=f"remove-{job.key}", icon=":material/delete:", help="Remove it from the queue"):
                act_on_job(queue.remove, job.key)
        if job.traceback:
            with st.expander("Details for a bug report"):
                st.code(job.traceback, language="text")


def act_on_job(what: Any, key: str) -> None:
    """Call `what` with the key of a job and redraw the page; a message if that fails."""
    try:
        what(key)
    except BadInput as error:
        st.toast(escape_markdown(error), icon=":material/error:")
    else:
        st.rerun()


def show_queue_status() -> None:
    """In the sidebar: what is running now, live."""
    alive = any(job.is_active for job in get_service().queue.jobs())
    live(_show_queue_status, QUEUE_SECONDS if alive else None)(alive)


def _show_queue_status(was_alive: bool) -> None:
    jobs = [job for job in get_service().queue.jobs() if job.is_active]
    running = next((job for job in jobs if job.state == "running"), None)
    if was_alive and not jobs:
        st.rerun()
    if running is None:
        waiting = f"{len(jobs)} waiting" if jobs else "Nothing is running"
        st.caption(f":material/bedtime: {waiting}")
        return
    left = f" · {format_duration(running.eta)} left" if running.eta is not None else ""
    st.progress(
        min(running.fraction, 1.0),
        text=f"**{escape_markdown(capitalise(running.title))}**  \n{running.fraction:.0%}{left}",
    )
    if len(jobs) > 1:
        st.caption(f"{len(jobs) - 1} more waiting")
