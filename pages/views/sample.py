"""Sample: select compounds from a pool and inspect them before anything is trained."""

import dataclasses

import streamlit as st

from core.engine.spec import BadInput, Spec
from core.experiments import FineTune, Join, Select
from core.results.scores import Scores
from core.selection import SAMPLERS
from pages.base.service import entry_of, keep, submit
from pages.base.text import plain
from pages.forms.spec_form import spec_form
from pages.forms.tables import choose_fit, choose_pool, fit_recipe, no_model
from pages.results.selection import choice_result
from pages.widgets.frame import command, head
from pages.widgets.run_page import new_run, show_run, start
from pages.widgets.run_picker import Run, finished, go, open_run, readable, runs

WITHOUT_SCORES = ", ".join(SAMPLERS.name_of(kind) for kind in SAMPLERS if "scores" not in SAMPLERS.default(kind).needs)


def choose_scores(pool: Spec) -> Spec[Scores] | None:
    """Scores of this very pool, if there are any and they are wanted."""
    scored = {run.key: (run, spec) for run, spec in finished(Scores) if spec.pool.key == pool.key}
    chosen = st.selectbox(
        "Influence scores", ["", *scored], index=min(1, len(scored)), key=f"sample-scores-{pool.key[:6]}",
        format_func=lambda key: scored[key][0].label if key else f"none, for {WITHOUT_SCORES}",
        help="Strategies that rank by influence need scores of this pool; see the page Influence",
    )  # fmt: skip
    return scored[chosen][1] if chosen else None


def ask_selection() -> Select | None:
    """The form: a pool, its scores, a selection strategy; and the model whose training set would be extended."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Candidates**")
        run = choose_fit("Model whose training set would be extended", "sample-fit")
        fit = fit_recipe(run) if run is not None else no_model()
        if fit is None:
            return None
        pool = choose_pool(fit, "sample")
        scores = choose_scores(pool)
    with right:
        st.markdown("**Selection strategy**")
        spec = spec_form(Select, "sample", {"pool": pool, "scores": scores}, ("sampler",))
    if spec is not None:
        st.session_state[f"fit-of-{spec.key}"] = fit.key
    return spec


def select(spec: Select) -> None:
    """Select at once where the scores are there: it takes a moment, and the queue may be long."""
    if spec.scores is not None and entry_of(spec.scores.key) is None:
        start(spec)
        return
    try:
        keep(spec)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
        return
    go(spec.key)


def base_model(run: Run, spec: Select) -> Spec | None:
    """The model whose training set the selection would extend: the one of the form, of the scores, or one chosen."""
    keys = [st.session_state.get(f"fit-of-{run.key}"), spec.scores.fit.key if spec.scores is not None else None]
    for entry in (entry_of(key) for key in keys if key):
        if entry is not None:
            return entry.spec
    other = choose_fit("Compare with the training set of", f"beside-{run.key}")
    return fit_recipe(other) if other is not None else None


def show_selection(run: Run) -> None:
    spec = readable(run)
    if spec is None:
        return
    base = base_model(run, spec)
    choice_result(run, spec, base)
    if isinstance(base, FineTune):
        again = dataclasses.replace(base, train=Join((base.train, spec)))
        if st.button("Train with these", type="primary", icon=":material/model_training:", key=f"train-{run.key}"):
            open_run(submit(again), again.kind)
        command(again, "Command that trains with these")


head(
    "Sample",
    "Select compounds from a pool by a strategy. Compare them with the training set before anything is trained.",
)
count = len(runs(kind=Select.kind))
new_run("New selection", ask_selection, "Select", str(count), expanded=not count, act=select)
show_run(
    "Selection",
    kind=Select.kind,
    result=show_selection,
    without=(
        "No selection yet",
        "Choose candidates and a strategy. The selected compounds are shown on a map with the pool and the training "
        "set.",
    ),
)
