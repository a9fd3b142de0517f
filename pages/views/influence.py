"""Influence: a trained model, a pool and the validation set → which compounds would improve or hurt the model."""

import dataclasses

import streamlit as st

from core.engine.spec import Spec
from core.experiments import Influence, SeedAverage, audit_against_parts
from core.influence.solvers import GradientSimilarity
from core.results.fit import Fit
from core.results.scores import Scores
from pages.forms.spec_form import spec_form
from pages.forms.tables import choose_fit, choose_pool, read_fit_spec, show_no_model
from pages.results.audit import show_audit
from pages.results.scores import scores_result
from pages.widgets.frame import show_head
from pages.widgets.run_page import new_run, show_run, submit_and_show
from pages.widgets.run_picker import Run, list_runs


def ask_scores() -> Influence | SeedAverage | None:
    """The form: what is scored on the left, how on the right."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What is scored**")
        run = choose_fit("Trained model", "score-fit")
        if run is None:
            show_no_model()
        fit = None if run is None else read_fit_spec(run)
        if fit is None:
            return None
        pool = ask_pool(run, fit)
    with right:
        st.markdown("**How**")
        spec = spec_form(
            Influence, "influence", {"fit": fit, "pool": pool, "target": fit.valid}, ("solver", "damping", "scope")
        )
        fits = st.number_input(
            "Training seeds",
            1,
            20,
            1,
            key="score-fits",
            disabled=not fit.repeatable,
            help="Scores depend on the training seed. With several, the model is trained again with other seeds; the "
            "mean score is shown, with an interval that covers seed and validation-set noise.",
        )
    spec = spec if spec is None or fits == 1 else SeedAverage(spec, tuple(fit.seed + k for k in range(fits)))
    if spec is not None and st.button(
        "Gradient similarity, test set as target",
        icon=":material/compare:",
        help="For comparison only. The score is the dot product of a candidate’s loss gradient with the gradient of "
        "the test loss, without curvature (TracIn: Pruthi et al. 2020, arXiv:2002.08484). Two things make it "
        "misleading. Compounds chosen by the test set leak it, so the test error of a model trained on them is "
        "optimistic. And without the inverse Hessian, directions that the training set already fixes count as much as "
        "unknown ones.",
    ):
        submit_and_show(gradient_similarity(spec))
    return spec


def ask_pool(run: Run, fit: Spec[Fit]) -> Spec:
    """The candidate compounds, their audit, and what the scores are a prediction of."""
    pool = choose_pool(fit, "score")
    with st.expander("Audit the candidates against the model’s data", icon=":material/fact_check:"):
        show_audit(audit_against_parts(pool, fit), "Audit the candidates")
    rows = run.entry.summary.get("rows", {}).get("valid")
    st.caption(
        f"**Target: the model’s validation set{f' ({rows:,} molecules)' if rows else ''}.** The test set is never "
        "used: a selection made with it could not be tested on it."
    )
    return pool


def gradient_similarity(spec: Influence | SeedAverage) -> Influence:
    """The same scores without curvature and with the test set as target."""
    spec = spec.scores if isinstance(spec, SeedAverage) else spec
    return dataclasses.replace(spec, solver=GradientSimilarity(), target=spec.fit.test)


show_head(
    "Influence",
    "Which candidate compounds would improve the model, and which would hurt it? ΔL is the predicted change of the "
    "validation loss when a compound is added to the training set: **negative helps, positive harms**.",
)
count = len(list_runs(Scores))
asked = "fit" in st.query_params and "run" not in st.query_params
new_run("New scores", ask_scores, "Score the candidates", str(count), expanded=not count or asked)
show_run(
    "Scores",
    Scores,
    result=scores_result,
    without=(
        "No scores yet",
        "Choose a trained model and candidate compounds. One linear system is solved for the whole pool; each compound "
        "then costs two forward passes.",
    ),
)
