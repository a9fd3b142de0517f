"""Start: what this is, three ways in, and the latest runs."""

import streamlit as st

from core.experiments import (
    ComputedLabels,
    Concat,
    FileSample,
    LabelNoise,
    Load,
    MixtureTable,
    Molecules,
    Select,
    Split,
    Subsample,
    build_preset,
)
from core.experiments.studies.pool_checks import CheckedPool
from pages.base.machine import describe_machine
from pages.base.service import get_service, submit
from pages.base.text import capitalise, escape_markdown, format_age
from pages.widgets.frame import STYLE, show_empty
from pages.widgets.job_panel import state_badge
from pages.widgets.run_picker import list_runs, open_run

STEPS = (
    Load,
    Molecules,
    Split,
    Concat,
    LabelNoise,
    Select,
    Subsample,
    ComputedLabels,
    FileSample,
    MixtureTable,
    CheckedPool,
)
ON_THE_WAY = {step.kind for step in STEPS}  # to something else: not listed

st.html(STYLE)
st.title("Molsway", anchor=False)
st.markdown(
    "**Fine-tune a chemical language model on your measurements, see which compounds improve or hurt the model, and "
    "test it.** Every candidate compound gets a score: the predicted change of the error on your validation set if the "
    "compound is added to the training set. The selection is then tested: the model is trained again with it and "
    "without it, and the difference is compared with the noise of repeated runs."
)
runs = list_runs()
last = next((run for run in runs if run.kind not in ON_THE_WAY), None)
demo = build_preset("demo")
done = get_service().store.has(demo)
first, second, third = st.columns(3, border=True)
with first:
    with st.container(height="stretch"):
        st.subheader("Run the demo", anchor=False)
        st.markdown(
            "300 measured solubilities and a pool of 300 candidates, 20 % of them with deliberately wrong labels. "
            "Compares six selection strategies and a baseline in 18 short runs (a few minutes on 2 cores; works "
            "offline)."
        )
    if st.button(
        "See the demo" if done else "Run the demo", type="primary", icon=":material/play_arrow:", width="stretch"
    ):
        open_run(demo.key if done else submit(demo), demo.kind)
with second:
    with st.container(height="stretch"):
        st.subheader("Use my table", anchor=False)
        st.markdown(
            "CSV, Excel, SDF, SMILES or Parquet with a column of measured values. Rows that cannot be read are listed "
            "with the reason."
        )
    if st.button("Choose a table", icon=":material/upload_file:", width="stretch"):
        st.switch_page("pages/views/data.py", query_params={"from": "My file"})
with third:
    with st.container(height="stretch"):
        st.subheader("Open the last run", anchor=False)
        st.markdown(
            escape_markdown(f"{capitalise(last.title)}, {format_age(last.moment)}.")
            if last
            else "None yet. Every run is saved and listed here."
        )
    if st.button("Open it", icon=":material/history:", width="stretch", disabled=last is None):
        open_run(last.key, last.kind)

st.caption(":material/memory: " + " · ".join(escape_markdown(fact) for fact in describe_machine()))
st.subheader("Recent runs", anchor=False)
recent = [run for run in runs if run.kind not in ON_THE_WAY and not run.arm][:8]
if not recent:
    show_empty("No runs yet", "The demo needs no data of yours and shows what the pages can do.")
for run in recent:
    state, title, metric, moment, door = st.columns([1.6, 5.2, 3.6, 1.6, 1.2], vertical_alignment="center")
    with state:
        state_badge(run.state)
    title.markdown(escape_markdown(capitalise(run.title)))
    metric.caption(escape_markdown(run.entry.headline) if run.entry else "")
    moment.caption(format_age(run.moment))
    if door.button("Open", key=f"open-{run.key}", type="tertiary", icon=":material/arrow_forward:"):
        open_run(run.key, run.kind)
