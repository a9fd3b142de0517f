"""Influence: a trained model, a pool and the validation set → which compounds would improve or hurt the model."""

import streamlit as st

from core.engine.spec import Spec
from core.experiments import Influence, SeedAverage, audit_against_parts
from core.results.fit import Fit
from core.results.scores import Scores
from pages.base.address import read_address
from pages.forms.scoring import ask_gradient_similarity, choose_scoring
from pages.forms.tables import choose_fit, choose_pool, read_fit_spec, show_no_model
from pages.results.audit import show_audit
from pages.results.scores import scores_result
from pages.widgets.frame import show_head
from pages.widgets.run_page import new_run, show_run
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
        if pool is None:
            return None
    with right:
        st.markdown("**How**")
        spec = choose_scoring(fit, pool)
    if spec is not None:
        ask_gradient_similarity(spec)
    return spec


def ask_pool(run: Run, fit: Spec[Fit]) -> Spec | None:
    """The candidate compounds, their audit, and what the scores are a prediction of."""
    pool = choose_pool(fit, "score")
    if pool is None:
        return None
    with st.expander("Audit the candidates against the model’s data", icon=":material/fact_check:"):
        show_audit(audit_against_parts(pool, fit), "Audit the candidates")
    rows = run.entry.summary.get("rows", {}).get("valid")
    st.caption(
        f"**Target: the model’s validation set{f' ({rows:,} molecules)' if rows else ''}.** The test set is never "
        "used: a selection made with it could not be tested on it."
    )
    return pool


show_head(
    "Influence",
    "Which candidate compounds would improve the model, and which would hurt it? ΔL is the predicted change of the "
    "validation loss when a compound is added to the training set: **negative helps, positive harms**.",
)
count = len(list_runs(Scores))
asked = bool(read_address("fit"))
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
