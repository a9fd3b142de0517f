"""Influence: a fit, a pool and the validation part → which molecules would help, which would harm."""

import dataclasses

import streamlit as st

from core.engine.spec import BadInput
from core.experiments import Influence, MeanInfluence, beside_parts
from core.influence.solvers import Identity
from core.results.fit import Fit
from core.results.scores import Scores
from pages.base.service import submit
from pages.base.text import plain
from pages.forms.spec_form import spec_form
from pages.forms.tables import choose_fit, choose_pool, fit_recipe
from pages.results.audit import audited
from pages.results.scores import scores_result
from pages.widgets.frame import command, empty, head
from pages.widgets.run_picker import go, pick, runs, show


def scoring() -> Influence | MeanInfluence | None:
    """The form of a scoring."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What is scored**")
        run = choose_fit("Fit", "score-fit")
        if run is None:
            st.info("There is no fine-tuned model yet: train one, or run the demo.", icon=":material/model_training:")
            if st.button("Go to Train"):
                st.switch_page("pages/views/train.py")
            return None
        fit = fit_recipe(run)
        if fit is None:
            return None
        pool = choose_pool(fit, "score")
        with st.expander("Audit this pool beside the fit’s parts", icon=":material/fact_check:"):
            audited(beside_parts(pool, fit), "Audit this pool")
        rows = run.entry.summary.get("rows", {}).get("valid")
        st.caption(
            f"**Target: the validation part of this fit{f' ({rows:,} molecules)' if rows else ''}.** Never the test "
            "part: what is chosen by the test part cannot be reported on it."
        )
    with right:
        st.markdown("**How**")
        given = {"fit": fit, "pool": pool, "target": fit.valid}
        spec = spec_form(Influence, "influence", given, ("solver", "damping", "scope"))
        fits = st.number_input(
            "Fits",
            1,
            20,
            1,
            key="score-fits",
            disabled=not fit.repeatable,
            help="Scores hang on the chance in a fit. With several, each is made again with another seed; shown is the "
            "mean, with an interval that knows both chances",
        )
        return spec if spec is None or fits == 1 else MeanInfluence(spec, tuple(fit.seed + k for k in range(fits)))


def as_the_report(spec: Influence | MeanInfluence) -> Influence:
    """The same scoring as in the report that this project began with: no curvature, and the test part for a target."""
    spec = spec.scores if isinstance(spec, MeanInfluence) else spec
    return dataclasses.replace(spec, solver=Identity(), target=spec.fit.test)


head(
    "Influence",
    "A score is the predicted change of the validation loss if a molecule joined the training set: below zero helps.",
)
count = len(runs(Scores))
named = "fit" in st.query_params and "run" not in st.query_params
with st.expander("New scores", icon=":material/add:", expanded=not count or named, key=f"new-{count}"):
    spec = scoring()
    ready = bool(runs(Fit))
    with st.container(horizontal=True):
        wanted = ready and st.button(
            "Score the pool", type="primary", icon=":material/play_arrow:", disabled=spec is None
        )
        wrong = ready and st.button(
            "As the report did it",
            icon=":material/history:",
            disabled=spec is None,
            help="gradient similarity against the test part: to see what is wrong with it",
        )
    if spec is not None and (wanted or wrong):
        st.query_params.pop("fit", None)
        go(submit(as_the_report(spec) if wrong else spec))
    if spec is not None:
        command(spec)
run = pick("Scores", Scores)
if run is None:
    empty(
        "No scores yet",
        "Choose a fit and a pool. One linear system is solved for all of it, then each molecule takes two passes.",
    )
elif show(run):
    try:
        scores_result(run)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
