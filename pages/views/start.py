"""Start: what this is, three ways in, and the latest runs."""

import streamlit as st

from core.experiments import build_preset
from pages.base.address import door
from pages.base.machine import describe_machine
from pages.base.service import find_run, submit
from pages.base.text import capitalise, escape_markdown, format_age
from pages.widgets.frame import STYLE
from pages.widgets.recent_runs import list_main_runs, show_recent_runs
from pages.widgets.run_picker import open_run, run_door

st.html(STYLE)
st.title("Molsway", anchor=False)
st.markdown(
    "**Fine-tune a chemical language model on your measurements, see which compounds improve or hurt the model, and "
    "test it.** Every candidate compound gets a score: the predicted change of the error on your validation set if the "
    "compound is added to the training set. The selection is then tested: the model is trained again with it and "
    "without it, and the difference is compared with the noise of repeated runs."
)
runs = list_main_runs()
last = runs[0] if runs else None
demo = build_preset("demo")
done = find_run(demo)
with st.container(key="stacked-doors"):
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
        open_run(done.key if done else submit(demo), demo.kind)
with second:
    with st.container(height="stretch"):
        st.subheader("Use my table", anchor=False)
        st.markdown(
            "CSV, Excel, SDF, SMILES or Parquet with a column of measured values. Rows that cannot be read are listed "
            "with the reason."
        )
    door(
        "Choose a table",
        "pages/views/data.py",
        "table",
        ":material/upload_file:",
        width="stretch",
        **{"from": "My file"},
    )
with third:
    with st.container(height="stretch"):
        st.subheader("Open the last run", anchor=False)
        st.markdown(
            escape_markdown(f"{capitalise(last.title)}, {format_age(last.moment)}.")
            if last
            else "None yet. Every run is saved and listed here."
        )
    if last is not None:
        run_door("Open it", last.key, last.kind, "last", ":material/history:", width="stretch")

st.caption(":material/memory: " + " · ".join(escape_markdown(fact) for fact in describe_machine()))
st.subheader("Recent runs", anchor=False)
show_recent_runs(runs)
