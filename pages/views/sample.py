"""Sample: keep some molecules of a pool by a rule, and see which, before anything is trained."""

import dataclasses

import streamlit as st

from core.engine.spec import BadInput, Spec
from core.experiments import FineTune, Join, Select
from core.results.scores import Scores
from core.selection import SAMPLERS
from pages.base.service import entry_of, keep, submit
from pages.base.text import plain
from pages.forms.spec_form import spec_form
from pages.forms.tables import choose_fit, choose_pool, fit_recipe
from pages.results.selection import choice_result
from pages.widgets.frame import command, empty, head
from pages.widgets.run_picker import Run, finished, go, open_run, pick, readable, runs, show

WITHOUT_SCORES = ", ".join(SAMPLERS.name_of(kind) for kind in SAMPLERS if "scores" not in SAMPLERS.default(kind).needs)


def scored(pool: Spec) -> Run | None:
    """Scores of this very pool, if there are any and they are wanted."""
    found = {run.key: run for run, spec in finished(Scores) if spec.pool.key == pool.key}
    chosen = st.selectbox(
        "Scores", ["", *found], index=min(1, len(found)), key=f"sample-scores-{pool.key[:6]}",
        format_func=lambda key: found[key].label if key else f"none, for {WITHOUT_SCORES}",
        help="Samplers that rank by influence need scores of this very pool (page Influence)",
    )  # fmt: skip
    return found.get(chosen)


def choice() -> tuple[Select | None, Spec | None]:
    """The form: a pool, scores, a sampler; and the fit whose training part the choice would join."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**From what**")
        run = choose_fit("Fit whose training part they would join", "sample-fit")
        fit = fit_recipe(run) if run is not None else None
        if fit is None:
            st.info("There is no fine-tuned model yet: train one, or run the demo.", icon=":material/model_training:")
            return None, None
        pool = choose_pool(fit, "sample")
        scores = scored(pool)
    with right:
        st.markdown("**By what rule**")
        given = {"pool": pool, "scores": readable(scores) if scores is not None else None}
        return spec_form(Select, "sample", given, ("sampler",)), fit


head("Sample", "Keep some molecules of a pool by a rule, and look at them beside the training part before training.")
count = len(runs(kind=Select.kind))
with st.expander("New choice", icon=":material/add:", expanded=not count, key=f"new-{count}"):
    spec, fit = choice()
    if st.button("Choose", type="primary", icon=":material/filter_alt:", disabled=spec is None) and spec is not None:
        try:
            ready = all(entry_of(part.key) for part in (spec.scores,) if part is not None)
            if ready:
                keep(spec)
            st.session_state[f"fit-of-{spec.key}"] = fit.key
            go(spec.key if ready else submit(spec))
        except BadInput as error:
            st.error(plain(error), icon=":material/error:")
    if spec is not None:
        command(spec)
run = pick("Choice", kind=Select.kind)
if run is None:
    empty(
        "Nothing chosen yet", "Choose a pool and a rule. What it keeps is shown on a map beside what is there already."
    )
elif show(run):
    made = readable(run)
    own = made.scores.fit if made is not None and made.scores is not None else None
    entry = entry_of(st.session_state.get(f"fit-of-{run.key}", "")) or (entry_of(own.key) if own is not None else None)
    base = entry.spec if entry is not None else None
    if made is not None and base is None:
        other = choose_fit("Beside the training part of", f"beside-{run.key}")
        base = fit_recipe(other) if other is not None else None
    if made is not None:
        choice_result(run, made, base)
    if made is not None and isinstance(base, FineTune):
        again = dataclasses.replace(base, train=Join((base.train, made)))
        if st.button("Train with these", type="primary", icon=":material/model_training:", key=f"train-{run.key}"):
            open_run(submit(again), again.kind)
        command(again, "Copy the command that trains with these")
