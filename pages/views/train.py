"""Train: a table, its parts and a recipe → a fit; or a backbone taught the language of one's own molecules."""

import streamlit as st

from core.engine.spec import BadInput, Spec
from core.experiments import Adapt, Baseline, Ensemble, FineTune, Part
from core.models.backbones.checkpoint import Checkpoint
from core.results.fit import Fit
from pages.base.service import product, submit
from pages.base.text import plain
from pages.forms.spec_form import spec_form
from pages.forms.tables import choose_parts, choose_table, three_parts
from pages.results.fit import adapted_result, fit_result, pretrained_result
from pages.widgets.frame import command, empty, head
from pages.widgets.run_picker import Run, go, pick, readable, runs, show, starts


def fine_tuning() -> Spec | None:
    """The form of a fine-tuning."""
    made = starts()
    return supervised(FineTune, ("backbone", "method", "epochs", "seed"), {"backbone": made})


def baseline() -> Spec | None:
    """The form of a baseline."""
    return supervised(Baseline, ("learner", "seed"))


def supervised(cls: type, named: tuple[str, ...], extra: dict | None = None) -> Spec | None:
    """The form of a recipe that learns the labels of a table: its parts on the left, the model on the right."""
    again = asked_for(cls)
    split = again.train if again and isinstance(again.train, Part) else None
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Data**")
        help_ = "Add your own in the room Data"
        table = choose_table("Table", "train-table", help=help_, start=split.table if split else None)
        parts = choose_parts(table, "split", split if split and split.table == table else None)
    with right:
        st.markdown("**Model and method**")
        given = three_parts(parts)
        if given is None:
            return None
        return spec_form(cls, cls.kind, given, named, start=again, extra=extra)


def adaptation() -> Spec | None:
    """The form of an adaptation."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Molecules to read**")
        given = {"corpus": choose_table("Corpus", "corpus", labelled=False, help="Labels are not used")}
        if st.toggle("Leave out the test part of a table", value=True, help="So that no test molecule is seen"):
            parts = choose_parts(choose_table("Table", "leave-table"), "leave")
            given |= {"leave_out": parts["test"]} if parts and "test" in parts else {}
    with right:
        st.markdown("**Model**")
        return spec_form(Adapt, "adapt", given, ("backbone", "objective", "epochs", "seed"))


WHAT = {
    "Fine-tune": fine_tuning,
    "Baseline without a network": baseline,
    "Adapt a backbone first (no labels needed)": adaptation,
}
SHOWN = {"adapt": adapted_result, "pretrain": pretrained_result}  # by the kind of a run; a fit where it is no other
FORMS = {"finetune": "Fine-tune", "baseline": "Baseline without a network"}  # by the kind of a run


def asked_for(cls: type) -> Spec | None:
    """The recipe that someone asked to start from (Change and run again)."""
    spec = st.session_state.get("again")
    return spec if isinstance(spec, cls) else None


def begin_again(spec: Spec) -> None:
    """Show the form with a recipe's values."""
    st.session_state["again"], st.session_state["what"] = spec, FORMS[spec.kind]


def repeat(spec: Spec) -> None:
    """A button that asks for the mean of this recipe under several seeds."""
    with st.popover("Average over seeds", icon=":material/stacks:"):
        st.caption(
            "Makes this recipe again with other seeds and takes the mean of the predictions: mostly better than one of "
            "them, and how far they are apart is a first word on where to be careful."
        )
        count = st.number_input("Members", 2, 20, 3, key=f"members-{spec.key}")
        seeds = tuple(range(spec.seed, spec.seed + count))
        st.caption(f"Seeds {seeds[0]} to {seeds[-1]}; this one counts as the first.")
        if st.button("Start", type="primary", icon=":material/play_arrow:", key=f"repeat-{spec.key}"):
            go(submit(Ensemble(spec, seeds)))


def followed(run: Run) -> bool:
    """Whether a run is a single network, whose gradient influence can follow."""
    made = Spec.kinds.get(run.kind)
    return made is not None and made.has_gradient


def result(run: Run | None) -> None:
    if run is None:
        empty(
            "No model yet",
            "Choose a table and start: the defaults are the advice. The curve appears here while it trains.",
        )
        return
    if not show(run):
        return
    try:
        SHOWN.get(run.kind, fit_result)(run)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
        return
    with st.container(horizontal=True):
        if followed(run) and st.button("Score a pool with it", type="primary", icon=":material/balance:"):
            st.switch_page("pages/views/influence.py", query_params={"fit": run.key})
        if isinstance(product(run.entry), Fit) and st.button("Predict with it", icon=":material/query_stats:"):
            st.switch_page("pages/views/predict.py", query_params={"fit": run.key})
        if run.kind in FORMS and readable(run) is not None:
            repeat(run.spec)
        if run.kind in FORMS:
            st.button("Change and run again", icon=":material/edit:", on_click=begin_again, args=(run.spec,))


head(
    "Train",
    "Fine-tune a chemical language model on measured molecules, or fit a baseline that it has to beat. The test part "
    "is touched once, at the end, to report.",
)
count = len(runs(Fit, Checkpoint))
with st.expander(
    "New run", icon=":material/add:", expanded=not count or asked_for(Spec) is not None, key=f"new-{count}"
):
    what = st.segmented_control("What", list(WHAT), default="Fine-tune", key="what", label_visibility="collapsed")
    spec = WHAT[what or "Fine-tune"]()
    if st.button("Start", type="primary", icon=":material/play_arrow:", disabled=spec is None, key="start") and spec:
        st.session_state.pop("again", None)
        go(submit(spec))
    if spec is not None:
        command(spec)
result(pick("Run", Fit, Checkpoint))
