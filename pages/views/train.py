"""Train: a table and its split → a fine-tuned model or a baseline; or a backbone adapted to one's own molecules."""

import streamlit as st

from core.engine.spec import Spec
from core.experiments import Adapt, Baseline, Ensemble, FineTune, Pretrain, Split
from core.models.backbones.checkpoint import Checkpoint
from core.results.fit import Fit
from pages.base.service import load_product
from pages.forms.spec_form import spec_form
from pages.forms.tables import ADD_TABLE, choose_split, choose_table, require_three_sets
from pages.results.fit import fit_result
from pages.results.pretraining import adapted_result, pretrained_result
from pages.widgets.frame import show_head
from pages.widgets.run_page import new_run, show_run, submit_and_show
from pages.widgets.run_picker import Run, list_runs, read_spec, trained_backbones


def ask_fine_tuning() -> Spec | None:
    return ask_supervised(FineTune, ("backbone", "method", "epochs", "seed"), {"backbone": trained_backbones()})


def ask_baseline() -> Spec | None:
    return ask_supervised(Baseline, ("baseline", "seed"))


def ask_supervised(cls: type, named: tuple[str, ...], extra: dict | None = None) -> Spec | None:
    """The form of a training with labels: the table and its split on the left, the model on the right."""
    first = spec_to_change(cls)
    split = first.train if first and isinstance(first.train, Split) else None
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Data**")
        table = choose_table("Table", "train-table", help=ADD_TABLE, start=split.table if split else None)
        parts = choose_split(table, "split", split if split and split.table == table else None)
    with right:
        st.markdown("**Model and method**")
        sets = require_three_sets(parts)
        return None if sets is None else spec_form(cls, cls.kind, sets, named, start=first, extra=extra)


def ask_adaptation() -> Spec | None:
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Molecules to learn from**")
        fixed = {"corpus": choose_table("Corpus", "corpus", labelled=False, help="Labels are not used")}
        help_ = "Then no test molecule has been seen when the backbone is fine-tuned on that table"
        if st.toggle("Leave out the test set of a table", value=True, help=help_):
            parts = choose_split(choose_table("Table", "leave-table"), "leave")
            fixed |= {"leave_out": parts["test"]} if parts and "test" in parts else {}
    with right:
        st.markdown("**Model**")
        return spec_form(Adapt, "adapt", fixed, ("backbone", "objective", "epochs", "seed"))


FORMS = {  # by what the page calls it
    "Fine-tune": ask_fine_tuning,
    "Baseline": ask_baseline,
    "Adapt a backbone (no labels needed)": ask_adaptation,
}
CHANGEABLE = {FineTune.kind: "Fine-tune", Baseline.kind: "Baseline"}
RESULTS = {Adapt.kind: adapted_result, Pretrain.kind: pretrained_result}  # by kind; all others are fits


def ask() -> Spec | None:
    """The choice of what is trained, and its form."""
    first = next(iter(FORMS))
    chosen = st.segmented_control("What", list(FORMS), default=first, key="what", label_visibility="collapsed")
    return FORMS[chosen or first]()


def begin(spec: Spec) -> None:
    st.session_state.pop("again", None)
    submit_and_show(spec)


def spec_to_change(cls: type) -> Spec | None:
    """The spec of a run that someone asked to change, if it is of this class."""
    spec = st.session_state.get("again")
    return spec if isinstance(spec, cls) else None


def change(spec: Spec) -> None:
    """Show the form with the settings of a run."""
    st.session_state["again"], st.session_state["what"] = spec, CHANGEABLE[spec.kind]


def ask_ensemble(spec: Spec) -> None:
    """A button that asks for an ensemble of this spec over several seeds."""
    with st.popover("Average over seeds", icon=":material/stacks:"):
        st.caption(
            "Trains the same settings again with other seeds and averages the predictions. The mean is usually more "
            "accurate than a single model, and the spread of the members is a first estimate of the uncertainty."
        )
        count = st.number_input("Members", 2, 20, 3, key=f"members-{spec.key}")
        seeds = tuple(range(spec.seed, spec.seed + count))
        st.caption(f"Seeds {seeds[0]} to {seeds[-1]}. This model is the first member.")
        if st.button("Start", type="primary", icon=":material/play_arrow:", key=f"repeat-{spec.key}"):
            submit_and_show(Ensemble(spec, seeds))


def show_model(run: Run) -> None:
    """The result, and what can be done with it."""
    RESULTS.get(run.kind, fit_result)(run)
    with st.container(horizontal=True):
        if Spec.kinds[run.kind].has_gradient and st.button(
            "Score candidates with it", type="primary", icon=":material/balance:"
        ):
            st.switch_page("pages/views/influence.py", query_params={"fit": run.key})
        if isinstance(load_product(run.entry), Fit) and st.button("Predict with it", icon=":material/query_stats:"):
            st.switch_page("pages/views/predict.py", query_params={"fit": run.key})
        if run.kind in CHANGEABLE and (spec := read_spec(run)) is not None:
            ask_ensemble(spec)
            st.button("Change and run again", icon=":material/edit:", on_click=change, args=(spec,))


show_head(
    "Train",
    "Fine-tune a chemical language model on measured molecules, or fit a baseline that it has to beat. The test set is "
    "used only to report the error, never for training or selection.",
)
count = len(list_runs(Fit, Checkpoint))
new_run("New run", ask, "Start", str(count), expanded=not count or spec_to_change(Spec) is not None, act=begin)
show_run(
    "Run",
    Fit,
    Checkpoint,
    result=show_model,
    without=(
        "No model yet",
        "Choose a table and start; the defaults are a good first choice. The learning curve appears here.",
    ),
)
