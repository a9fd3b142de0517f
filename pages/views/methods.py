"""Methods: which way of fine-tuning, on this table? Several side by side, with every seed on the same molecules."""

import streamlit as st

from core.engine.form import form
from core.engine.spec import BadInput, Spec
from core.experiments import FineTune, Part, Study, of_methods, preset
from core.models.backbones import Pretrained
from core.models.baselines import LEARNERS, SupportVectors
from core.models.methods import METHODS
from pages.base.service import submit
from pages.base.text import plain
from pages.forms.spec_form import widget
from pages.forms.tables import choose_parts, choose_table, three_parts
from pages.results.method_study import methods_result
from pages.widgets.frame import command, empty, head
from pages.widgets.run_picker import go, pick, runs, show, starts

PRESETS = {"Four methods": "four-methods", "Four methods and the head alone": "methods"}
STUDY = {field.name: field for field in form(Study)}
FIT = {field.name: field for field in form(FineTune)}


def study() -> Spec | None:
    """The form of a study of methods."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Data**")
        table = choose_table("Table", "methods-table", help="Add your own in the room Data")
        parts = choose_parts(table, "methods-split", Part(table))
    with right:
        st.markdown("**What is compared**")
        given = three_parts(parts)
        if given is None:
            return None
        start = st.segmented_control("Begin with", list(PRESETS), default=list(PRESETS)[1], key="methods-preset")
        first = [arm.method.kind for arm in preset(PRESETS[start or list(PRESETS)[1]]).arms]
        chosen = st.multiselect(
            "Methods, the first is the reference",
            list(METHODS),
            default=first,
            format_func=METHODS.name_of,
            key=f"methods-{start}",
            help="Each with its defaults; a recipe with other settings can be run from the command line",
        )
        made = starts()
        backbone = widget(FIT["backbone"], "methods-backbone", Pretrained(), made)
        learners = st.multiselect(
            "Baselines without a network",
            list(LEARNERS),
            default=[SupportVectors.kind],
            format_func=LEARNERS.name_of,
            key="methods-learners",
        )
        one, two = st.columns(2)
        tuned = one.toggle(
            "Tune rates", value=True, key="methods-tuned",
            help="Three learning rates for each method in short trials, judged on the validation part",
        )  # fmt: skip
        adapted = two.toggle(
            "Also adapted", value=False, key="methods-adapted",
            help="Every method also from the backbone adapted to the training molecules first",
        )  # fmt: skip
        seeds = widget(STUDY["seeds"], "methods-seeds", STUDY["seeds"].default)
        try:
            fit = FineTune(**given, backbone=backbone)
            arms = of_methods(
                fit, [METHODS[kind]() for kind in chosen], tuned, adapted, [LEARNERS[k]() for k in learners]
            )
            made = Study(arms, seeds=seeds)
        except BadInput as error:
            st.error(plain(error), icon=":material/error:")
            return None
        networks = len(chosen) * (1 + adapted)
        st.caption(f"{networks * len(made.seeds)} trainings{f' and {3 * networks} short trials' if tuned else ''}.")
        return made


head(
    "Methods",
    "All weights, or a few in the right places? Each method learns from the same molecules with several seeds; what it "
    "costs stands beside what it buys.",
)
count = len(runs(kind=Study.kind))
with st.expander("New study", icon=":material/add:", expanded=not count, key=f"new-{count}"):
    spec = study()
    if st.button("Run the study", type="primary", icon=":material/play_arrow:", disabled=spec is None) and spec:
        go(submit(spec))
    if spec is not None:
        command(spec)
run = pick("Study", kind=Study.kind)
if run is None:
    empty("No study yet", "Choose a table and the methods: the defaults are the comparison that is asked for most.")
elif show(run):
    try:
        methods_result(run)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
