"""Compare: a selection tested by training again, or trained models side by side."""

import dataclasses
from types import SimpleNamespace

import streamlit as st

from core.engine.spec import BadInput, Spec
from core.experiments import SelectionStudy, build_preset
from core.models.random_weights import with_random_weights
from core.results.fit import Fit
from pages.base.text import escape_markdown, format_duration
from pages.forms.spec_form import spec_form
from pages.forms.tables import choose_fit, choose_pool, read_fit_spec
from pages.results.comparison import study_result
from pages.results.side_by_side import side_by_side_result
from pages.widgets.frame import show_empty, show_error, show_head
from pages.widgets.run_page import new_run, show_run, submit_and_show
from pages.widgets.run_picker import finished_runs, list_runs

NAMED = ("count", "counts", "arms", "seeds", "baselines", "control")


def ask_study() -> Spec | None:
    """The form of a comparison of selection strategies."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What is trained again**")
        run = choose_fit("Trained model", "study-fit")
        fit = read_fit_spec(run) if run else None
        if fit is None:
            st.info("There is no fine-tuned model yet. Train one first, or run the demo.")
            return None
        steps = run.entry.summary.get("steps")
        help_ = "Every model is trained for the same number of steps, whatever the size of its training set"
        if fit.steps is None and steps and st.toggle("Equal number of steps", value=True, help=help_):
            fit = dataclasses.replace(fit, steps=int(steps))
        pool = choose_pool(fit, "study")
    with right:
        st.markdown("**Selection strategies and references**")
        control = has_random_weights(fit)
        spec = spec_form(
            SelectionStudy, "study", {"fit": fit, "pool": pool}, NAMED,
            SimpleNamespace(control=control), () if control else ("control",),
        )  # fmt: skip
        if spec is not None:
            repeats, seconds = (len(spec.arm_settings) + spec.control) * len(spec.seeds), run.entry.seconds
            st.caption(escape_markdown(
                f"{repeats} training runs. One took {format_duration(seconds)}, so about "
                f"{format_duration(repeats * seconds)} in all."
                + (" Baselines take seconds." if spec.baselines else "")
            ))  # fmt: skip
        return spec


def has_random_weights(fit: Spec) -> bool:
    """Whether the model has pre-trained weights, so that random ones of the same shape are a control."""
    try:
        return bool(with_random_weights(fit.backbone, 0))
    except BadInput:
        return False


def show_studies() -> None:
    new_run("New comparison", ask_study, "Run the comparison", str(len(list_runs(kind=SelectionStudy.kind))))
    run = show_run(
        "Comparison",
        kind=SelectionStudy.kind,
        result=study_result,
        without=(
            "No comparison yet",
            "A comparison trains the model again with compounds chosen by several strategies, and says whether the "
            "selection helped.",
        ),
    )
    if run is None and st.button("Run the demo", type="primary", icon=":material/play_arrow:"):
        submit_and_show(build_preset("demo"))


def show_models() -> None:
    fits = {run.key: run for run, _ in finished_runs(Fit)}
    if len(fits) < 2:
        show_empty(
            "Two trained models are needed",
            "Train twice, for example with two methods. Their settings and metrics are shown side by side here.",
        )
        return
    asked = [key for key in st.query_params.get("fits", "").split(",") if key in fits]
    chosen = st.multiselect(
        "Trained models; the first is the reference", list(fits), default=asked or list(fits)[:2], max_selections=6,
        format_func=lambda key: fits[key].label, key="beside",
    )  # fmt: skip
    st.query_params["fits"] = ",".join(chosen)
    if len(chosen) > 1:
        side_by_side_result([fits[key] for key in chosen])
    else:
        st.caption("Choose at least two.")


VIEWS = {"Comparisons": show_studies, "Models side by side": show_models}

show_head(
    "Compare",
    "A difference counts when it is larger than the noise of repeating a run. “Not distinguishable” is a result.",
)
first = "Models side by side" if "fits" in st.query_params else "Comparisons"
view = st.segmented_control("View", list(VIEWS), default=first, key="view", label_visibility="collapsed") or first
try:
    VIEWS[view]()
except BadInput as error:
    show_error(error)
