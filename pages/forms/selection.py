"""The form of a selection: a pool, its scores, a strategy, and the model whose training set it would extend."""

import streamlit as st

from core.engine.spec import Spec
from core.experiments import Select
from core.results.scores import Scores
from core.selection import SAMPLERS
from pages.base.service import find_entry, settle
from pages.forms.spec_form import spec_form
from pages.forms.tables import choose_fit, choose_pool, read_fit_spec, show_no_model
from pages.widgets.run_picker import Run, finished_runs

SCORE_FREE_SAMPLERS = ", ".join(
    SAMPLERS.name_of(kind) for kind in SAMPLERS if "scores" not in SAMPLERS.default(kind).needs
)


def choose_scores(pool: Spec) -> Spec[Scores] | None:
    """Scores of this very pool, if there are any and they are wanted."""
    pool = settle(pool)
    scored = {run.key: (run, spec) for run, spec in finished_runs(Scores) if spec.pool.key == pool.key}
    chosen = st.selectbox(
        "Influence scores", ["", *scored], index=min(1, len(scored)), key=f"sample-scores-{pool.key[:6]}",
        format_func=lambda key: scored[key][0].label if key else f"none, for {SCORE_FREE_SAMPLERS}",
        help="Strategies that rank by influence need scores of this pool; see the page Influence",
    )  # fmt: skip
    return scored[chosen][1] if chosen else None


def ask_selection() -> Select | None:
    """The form: a pool, its scores, a selection strategy; and the model whose training set would be extended."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Candidates**")
        run = choose_fit("Model whose training set would be extended", "sample-fit")
        if run is None:
            show_no_model()
        fit = None if run is None else read_fit_spec(run)
        if fit is None:
            return None
        pool = choose_pool(fit, "sample")
        if pool is None:
            return None
        scores = choose_scores(pool)
    with right:
        st.markdown("**Selection strategy**")
        spec = spec_form(Select, "sample", {"pool": pool, "scores": scores}, ("sampler",))
    if spec is not None:
        st.session_state[f"fit-of-{settle(spec).key}"] = fit.key
    return spec


def base_model(run: Run, spec: Select) -> Spec | None:
    """The model whose training set the selection would extend: the one of the form, of the scores, or one chosen."""
    keys = [st.session_state.get(f"fit-of-{run.key}"), spec.scores.fit.key if spec.scores is not None else None]
    for entry in (find_entry(key) for key in keys if key):
        if entry is not None:
            return entry.spec
    other = choose_fit("Compare with the training set of", f"beside-{run.key}")
    return read_fit_spec(other) if other is not None else None
