"""Forms of the questions that are asked of several tables: training, comparison, transfer, ablation, representation."""

from typing import Any

import streamlit as st

from core.engine.form import describe_fields
from core.engine.spec import BadInput, Spec
from core.experiments import Ablation, FineTune, Representation, Transfer
from core.experiments.presets.mixtures import transfer_fit
from core.models.backbones import Gnn
from core.models.methods import METHODS, Full
from core.models.multitask_model import MultitaskModel
from pages.forms.mixture import choose_members, choose_multitask, choose_split, choose_study
from pages.forms.spec_form import field_input
from pages.forms.tables import choose_table
from pages.widgets.frame import show_error
from pages.widgets.run_picker import specs_by_label, trained_backbones

TRANSFER_FIELDS = {field.name: field for field in describe_fields(Transfer)}
ABLATION_FIELDS = {field.name: field for field in describe_fields(Ablation)}
FINE_TUNE_FIELDS = {field.name: field for field in describe_fields(FineTune)}
REPRESENTATION_FIELDS = {field.name: field for field in describe_fields(Representation)}


def ask_training() -> Spec | None:
    return choose_multitask("multitask", choose_members("multitask-of"))


def ask_study() -> Spec | None:
    return choose_study("study", choose_multitask("study-as", choose_members("study-of")))


def ask_transfer() -> Spec | None:
    """A small table, and the backbones to start from."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**The small table**")
        split = choose_split(choose_table("Table", "transfer-table"), "transfer")
        settings = {
            "sizes": field_input(TRANSFER_FIELDS["sizes"], "transfer-sizes", (50, 100, 200, 420)),
            "seeds": field_input(TRANSFER_FIELDS["seeds"], "transfer-seeds", TRANSFER_FIELDS["seeds"].default),
        }
    with right:
        st.markdown("**Backbones to start from**")
        options = specs_by_label(MultitaskModel)
        chosen = st.multiselect("Shared backbones", list(options), default=list(options)[:2], key="transfer-trunks",
                                help="Random weights of the same architecture are the reference")  # fmt: skip
        methods = st.multiselect("Methods", list(METHODS), default=[Full.kind], key="transfer-methods",
                                 format_func=lambda kind: METHODS[kind].name)  # fmt: skip
        epochs = st.number_input("Epochs of a fine-tuning", 1, 10_000, 40, key="transfer-passes",
                                 help="Random weights need many")  # fmt: skip
        features = field_input(FINE_TUNE_FIELDS["features"], "transfer-features", "none")
        settings["retrain_backbones"] = st.checkbox(
            "Train each shared backbone again for every seed",
            key="transfer-retrain",
            help="The intervals then include the noise of that training too",
        )
        if not chosen:
            show_no_backbone()
            return None
    backbones = [options[label] for label in chosen]
    network = architecture_of(backbones)
    try:
        fit = transfer_fit(**split, backbone=network, epochs=int(epochs), features=features)
        names = ("random weights", *map(short_name, backbones))
        spec = Transfer(
            fit, (network, *backbones), names, methods=tuple(METHODS[kind]() for kind in methods), **settings
        )
    except BadInput as error:
        show_error(error)
        return None
    st.caption(f"{len(spec.runs)} training runs.")
    return spec


def ask_ablation() -> Spec | None:
    """Tables to train shared backbones on, and the small table they are for."""
    table = choose_table("The small table", "variety-table")
    split = choose_split(table, "variety")
    multi = choose_multitask("variety-as", choose_members("variety-of", ((split["valid"], split["test"]),)))
    if multi is None:
        return None
    first = {"totals": (200, 400, 800), "columns": 1, "steps": 200, "seeds": ABLATION_FIELDS["seeds"].default}
    settings = {}
    for column, (name, value) in zip(st.columns(len(first)), first.items(), strict=True):
        with column:
            settings[name] = field_input(ABLATION_FIELDS[name], f"variety-{name}", value)
    try:
        spec = Ablation(multi, transfer_fit(**split, backbone=multi.backbone), **settings)
    except BadInput as error:
        show_error(error)
        return None
    st.caption(f"{len(spec.shared_backbones)} shared backbones and {len(spec.runs)} fine-tunings.")
    return spec


def ask_representation() -> Spec | None:
    """Which backbones are compared, and which properties are read from them."""
    left, right = st.columns(2, gap="large")
    with left:
        options = trained_backbones()
        chosen = st.multiselect("Backbones", list(options), default=list(options)[:2], key="hold-trunks",
                                help="Random weights of the same architecture are added as a control")  # fmt: skip
        table = choose_table("Molecules", "hold-table", labelled=False, help="Their labels are read out too")
    with right:
        names = ("properties", "molecules", "seed")
        settings = {
            name: field_input(REPRESENTATION_FIELDS[name], f"hold-{name}", REPRESENTATION_FIELDS[name].default)
            for name in names
        }
    if not chosen:
        show_no_backbone()
        return None
    specs = [options[label] for label in chosen]
    try:
        names = (*map(short_name, specs), "random weights")
        return Representation((*specs, architecture_of(specs)), names=names, table=table, **settings)
    except BadInput as error:
        show_error(error)
        return None


def show_no_backbone() -> None:
    st.info("No shared backbone is chosen. Train one first.", icon=":material/model_training:")


def short_name(spec: Any) -> str:
    return f"{spec.called} ({spec.key[:4]})"


def architecture_of(specs: list[Spec]) -> Gnn:
    """The graph network of the first spec that has one."""
    return next((one.backbone for one in specs if isinstance(one.backbone, Gnn)), Gnn())
