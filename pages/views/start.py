"""Start: what this is, what it runs on, and three ways in."""

import streamlit as st

from core.experiments import preset
from pages.parts.machine import machine
from pages.parts.runs import open_run, runs
from pages.parts.service import service, submit
from pages.parts.shell import STYLE, empty
from pages.parts.words import STATES, ago, key_metric, plain

st.html(STYLE)
st.title("Molsway", anchor=False)
st.markdown(
    "**Fine-tune a chemical language model on your measurements, see which molecules sway it, and prove it.** "
    "Every molecule of a pool gets a score: how much the error on your validation molecules is predicted to change if "
    "you add it. Then the choice is put to the test: train again with and without, see the difference beside the noise."
)
found = runs()
first, second, third = st.columns(3, border=True)
with first:
    st.subheader("Run the demo", anchor=False)
    st.markdown(
        "Measured solubilities, wrong labels planted in a fifth of the pool, six ways to choose. Minutes, no network."
    )
    demo = preset("demo")
    ready = service().store.has(demo)
    if st.button(
        "See the demo" if ready else "Run the demo", type="primary", icon=":material/play_arrow:", width="stretch"
    ):
        open_run(demo.key if ready else submit(demo), demo.kind)
with second:
    st.subheader("Start from my table", anchor=False)
    st.markdown("CSV, SDF, SMILES or Parquet with one measured column. What cannot be read is listed, with the reason.")
    if st.button("Choose a table", icon=":material/upload_file:", width="stretch"):
        st.switch_page("pages/views/data.py")
with third:
    st.subheader("Open the last run", anchor=False)
    last = next((run for run in found if run.kind != "load" and run.kind != "part"), None)
    st.markdown(
        plain(f"{last.title}, {ago(last.moment)}.") if last else "None yet. What you run is kept and listed here."
    )
    if st.button("Open it", icon=":material/history:", width="stretch", disabled=last is None):
        open_run(last.key, last.kind)

st.caption(":material/memory: " + " · ".join(plain(fact) for fact in machine()))
st.subheader("Recent runs", anchor=False)
recent = [run for run in found if run.kind not in ("load", "part", "select", "join", "plant")][:8]
if not recent:
    empty("No runs yet", "The demo needs no data of yours and shows every room filled.")
for run in recent:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        symbol, colour, word = STATES[run.state]
        st.badge(word, icon=symbol, color=colour)
        st.markdown(f"**{plain(run.title)}**", width="stretch")
        st.caption(plain(key_metric(run.kind, run.entry.summary)) if run.entry else "")
        st.caption(ago(run.moment))
        if st.button("Open", key=f"open-{run.key}", type="tertiary", icon=":material/arrow_forward:"):
            open_run(run.key, run.kind)
