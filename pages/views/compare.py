"""Compare: the proof by training again, or finished fits side by side."""

import dataclasses
from types import SimpleNamespace

import streamlit as st

from core.engine.spec import BadInput, Spec
from core.experiments import SelectionStudy, preset
from core.models.random_weights import random_weights
from core.results.fit import Fit
from pages.base.service import submit
from pages.base.text import plain
from pages.forms.spec_form import spec_form
from pages.forms.tables import choose_fit, choose_pool, fit_recipe
from pages.results.comparison import study_result
from pages.results.side_by_side import side_by_side
from pages.widgets.frame import command, empty, head
from pages.widgets.run_picker import finished, go, pick, runs, show


def study() -> Spec | None:
    """The form of a study."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**What is repeated**")
        run = choose_fit("Fit", "study-fit")
        fit = fit_recipe(run) if run else None
        if fit is None:
            st.info("There is no fine-tuned model to repeat yet: train one first, or run the demo.")
            return None
        steps = run.entry.summary.get("steps")
        if (
            fit.steps is None
            and steps
            and st.toggle("Equal work for every arm", value=True, help="The same number of steps")
        ):
            fit = dataclasses.replace(fit, steps=int(steps))
        pool = choose_pool(fit, "study")
    with right:
        st.markdown("**How the pool is chosen from, and what stands beside**")
        given, named = {"fit": fit, "pool": pool}, ("count", "counts", "arms", "seeds", "baselines", "control")
        read = pre_trained(fit)
        made = spec_form(
            SelectionStudy, "study", given, named, SimpleNamespace(control=read), () if read else ("control",)
        )
        if made is not None:
            repeats, took = (len(made.rules) + made.control) * len(made.seeds), run.entry.seconds
            beside = " Baselines take seconds." if made.baselines else ""
            st.caption(
                f"{repeats} trainings; this fit took {took:.0f} s, so about {repeats * took / 60:.0f} min.{beside}"
            )
        return made


def pre_trained(fit: Spec) -> bool:
    """Whether random weights of the same shape can be set against a fit's own."""
    try:
        return bool(random_weights(fit.backbone, 0))
    except BadInput:
        return False


def studies() -> None:
    count = len(runs(kind=SelectionStudy.kind))
    with st.expander("New study", icon=":material/add:", key=f"new-{count}"):
        spec = study()
        if st.button("Run the study", type="primary", icon=":material/play_arrow:", disabled=spec is None) and spec:
            go(submit(spec))
        if spec is not None:
            command(spec)
    run = pick("Study", kind=SelectionStudy.kind)
    if run is None:
        empty(
            "No study yet",
            "A study trains again with molecules chosen by several rules, and says whether choosing helped.",
        )
        if st.button("Run the demo", type="primary", icon=":material/play_arrow:"):
            go(submit(preset("demo")))
    elif show(run):
        study_result(run)


def beside() -> None:
    fits = {run.key: run for run, _ in finished(Fit)}
    if len(fits) < 2:
        empty(
            "Two fits are needed",
            "Train twice, for instance with two methods, and their settings and numbers stand side by side here.",
        )
        return
    asked = [key for key in st.query_params.get("fits", "").split(",") if key in fits]
    chosen = st.multiselect(
        "Fits, the first is the reference", list(fits), default=asked or list(fits)[:2], max_selections=6,
        format_func=lambda key: fits[key].label, key="beside",
    )  # fmt: skip
    st.query_params["fits"] = ",".join(chosen)
    if len(chosen) > 1:
        side_by_side([fits[key] for key in chosen])
    else:
        st.caption("Choose at least two.")


head(
    "Compare",
    "A difference counts when it is larger than the noise of repeating a run. “Not distinguishable” is a result.",
)
asked = "Fits side by side" if "fits" in st.query_params else "Studies"
room = st.segmented_control(
    "What", ["Studies", "Fits side by side"], default=asked, key="room", label_visibility="collapsed"
)
try:
    (beside if (room or asked) == "Fits side by side" else studies)()
except BadInput as error:
    st.error(plain(error), icon=":material/error:")
