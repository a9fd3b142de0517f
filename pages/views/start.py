"""Start: what this is, what it runs on, and three ways in."""

import streamlit as st

from core.experiments import preset
from pages.base.machine import machine
from pages.base.service import service, submit
from pages.base.text import ago, headline, plain
from pages.widgets.frame import STYLE, empty
from pages.widgets.job_panel import chip
from pages.widgets.run_picker import open_run, runs

QUICK = (
    "load",
    "molecules",
    "part",
    "join",
    "plant",
    "select",
    "few",
    "computed",
    "excerpt",
    "member",
    "study-pool",
)  # made on the way

st.html(STYLE)
st.title("Molsway", anchor=False)
st.markdown(
    "**Fine-tune a chemical language model on your measurements, see which molecules sway it, and prove it.** "
    "Every molecule of a pool gets a score: how much the error on your validation molecules is predicted to change if "
    "you add it. Then the choice is put to the test: train again with and without, see the difference beside the noise."
)
found = runs()
last = next((run for run in found if run.kind not in QUICK), None)
demo = preset("demo")
ready = service().store.has(demo)
first, second, third = st.columns(3, border=True)
with first:
    with st.container(height="stretch"):
        st.subheader("Run the demo", anchor=False)
        st.markdown(
            "Measured solubilities, a fifth of the pool's labels wrong, six ways to choose and a baseline. Eighteen "
            "short trainings of a small pre-trained model, some minutes on two cores. No network."
        )
    if st.button(
        "See the demo" if ready else "Run the demo", type="primary", icon=":material/play_arrow:", width="stretch"
    ):
        open_run(demo.key if ready else submit(demo), demo.kind)
with second:
    with st.container(height="stretch"):
        st.subheader("Start from my table", anchor=False)
        st.markdown(
            "CSV, Excel, SDF, SMILES or Parquet with a measured column. What cannot be read is listed, with the reason."
        )
    if st.button("Choose a table", icon=":material/upload_file:", width="stretch"):
        st.switch_page("pages/views/data.py", query_params={"from": "My file"})
with third:
    with st.container(height="stretch"):
        st.subheader("Open the last run", anchor=False)
        st.markdown(
            plain(f"{headline(last.title)}, {ago(last.moment)}.")
            if last
            else "None yet. What you run is kept and listed here."
        )
    if st.button("Open it", icon=":material/history:", width="stretch", disabled=last is None):
        open_run(last.key, last.kind)

st.caption(":material/memory: " + " · ".join(plain(fact) for fact in machine()))
st.subheader("Recent runs", anchor=False)
recent = [run for run in found if run.kind not in QUICK and not run.arm][:8]
if not recent:
    empty("No runs yet", "The demo needs no data of yours and shows every room filled.")
for run in recent:
    state, title, metric, moment, door = st.columns([1.6, 5.2, 3.6, 1.6, 1.2], vertical_alignment="center")
    with state:
        chip(run.state)
    title.markdown(plain(headline(run.title)))
    metric.caption(plain(run.entry.headline) if run.entry else "")
    moment.caption(ago(run.moment))
    if door.button("Open", key=f"open-{run.key}", type="tertiary", icon=":material/arrow_forward:"):
        open_run(run.key, run.kind)
