"""The latest runs as rows with a button that opens each."""

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
)
from core.experiments.studies.pool_checks import CheckedPool
from pages.base.text import capitalise, escape_markdown, format_age
from pages.widgets.frame import show_empty
from pages.widgets.job_panel import state_badge
from pages.widgets.run_picker import Run, list_runs, run_door

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
STEP_KINDS = {step.kind for step in STEPS}  # parts of other runs: not listed
MAX_ROWS = 8


def list_main_runs() -> list[Run]:
    """Runs that are not a step towards another run, newest first."""
    return [run for run in list_runs() if run.kind not in STEP_KINDS]


def show_recent_runs(runs: list[Run]) -> None:
    """The latest runs that are no arms of a study."""
    recent = [run for run in runs if not run.arm][:MAX_ROWS]
    if not recent:
        show_empty("No runs yet", "The demo needs no data of yours and shows what the pages can do.")
    for run in recent:
        state, title, metric, moment, way = st.columns([1.8, 4.8, 3.4, 1.7, 1.6], vertical_alignment="center")
        with state:
            state_badge(run.state)
        title.markdown(escape_markdown(capitalise(run.title)))
        metric.caption(escape_markdown(run.entry.headline) if run.entry else "")
        moment.caption(format_age(run.moment))
        with way:
            run_door("Open", run.key, run.kind, "recent")
