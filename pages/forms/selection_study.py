"""The form of a comparison of selection strategies."""

import dataclasses
from types import SimpleNamespace

import streamlit as st

from core.engine.spec import BadInput, Spec
from core.experiments import SelectionStudy
from core.models.random_weights import with_random_weights
from pages.base.text import escape_markdown, format_duration
from pages.forms.spec_form import spec_form
from pages.forms.tables import choose_fit, choose_pool, read_fit_spec

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
        if pool is None:
            return None
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
