"""The forms of a training: fine-tuning, a baseline, a backbone adapted to unlabelled molecules."""

import streamlit as st

from core.engine.spec import Spec
from core.experiments import Adapt, Baseline, Ensemble, FineTune, Split
from pages.forms.spec_form import spec_form
from pages.forms.tables import ADD_TABLE, choose_split, choose_table, require_three_sets
from pages.widgets.run_page import submit_and_show
from pages.widgets.run_picker import trained_backbones


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


def spec_to_change(cls: type) -> Spec | None:
    """The spec of a run that someone asked to change, if it is of this class."""
    spec = st.session_state.get("again")
    return spec if isinstance(spec, cls) else None


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
