"""The form of a comparison of fine-tuning methods."""

import streamlit as st

from core.engine.form import describe_fields
from core.engine.spec import BadInput, Spec
from core.experiments import FineTune, Split, Study, build_method_arms
from core.models.backbones import Pretrained
from core.models.baselines import BASELINES, SupportVectors
from core.models.methods import IA3, METHODS, BitFit, Full, Head, LoRA
from pages.forms.spec_form import field_input
from pages.forms.tables import ADD_TABLE, choose_split, choose_table, require_three_sets
from pages.widgets.frame import show_error
from pages.widgets.run_picker import trained_backbones

COMMON = (Full, LoRA, IA3, BitFit)
STARTS = {"Common methods and the head alone": (*COMMON, Head), "Common methods": COMMON}
FIRST = next(iter(STARTS))
STUDY = {field.name: field for field in describe_fields(Study)}
FIT = {field.name: field for field in describe_fields(FineTune)}


def ask_study() -> Spec | None:
    """The form of a comparison of methods."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Data**")
        table = choose_table("Table", "methods-table", help=ADD_TABLE)
        parts = choose_split(table, "methods-split", Split(table))
    with right:
        st.markdown("**What is compared**")
        sets = require_three_sets(parts)
        return ask_arms(sets) if sets is not None else None


def ask_arms(sets: dict[str, Split]) -> Spec | None:
    """Methods, baselines and seeds; nothing, and the reason, while the choice is wrong."""
    start = st.segmented_control("Start from", list(STARTS), default=FIRST, key="methods-preset") or FIRST
    chosen = st.multiselect(
        "Methods; the first is the reference",
        list(METHODS),
        default=[method.kind for method in STARTS[start]],
        format_func=METHODS.name_of,
        key=f"methods-{start}",
        help="Each with its default settings. Other settings can be compared from the command line.",
    )
    backbone = field_input(FIT["backbone"], "methods-backbone", Pretrained(), trained_backbones())
    baselines = st.multiselect(
        "Baselines",
        list(BASELINES),
        default=[SupportVectors.kind],
        format_func=BASELINES.name_of,
        key="methods-learners",
        help="Classical models on descriptors or fingerprints",
    )
    one, two = st.columns(2)
    tuned = one.toggle("Tune learning rates", value=True, key="methods-tuned",
                       help="Three short trials for each method, compared on the validation set")  # fmt: skip
    adapted = two.toggle("Adapted backbone too", value=False, key="methods-adapted",
                         help="Each method also starts from a backbone adapted to the training molecules")  # fmt: skip
    seeds = field_input(STUDY["seeds"], "methods-seeds", STUDY["seeds"].default)
    methods = [METHODS[kind]() for kind in chosen]
    try:
        fit = FineTune(**sets, backbone=backbone)
        spec = Study(
            build_method_arms(fit, methods, tuned, adapted, [BASELINES[kind]() for kind in baselines]), seeds=seeds
        )
    except BadInput as error:
        show_error(error)
        return None
    networks = len(chosen) * (1 + adapted)
    st.caption(f"{networks * len(spec.seeds)} training runs{f' and {3 * networks} short trials' if tuned else ''}.")
    return spec
