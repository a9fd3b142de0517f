"""Multitask: many tables, one trunk; whether that helps any of them, and what it is worth for a small table."""

import streamlit as st

from core.engine.form import form
from core.engine.spec import BadInput, Spec
from core.experiments import Ablation, FineTune, MixtureStudy, Multitask, Represent, Transfer
from core.experiments.presets.mixtures import fitted
from core.models.backbones import Gnn
from core.models.methods import METHODS, Full
from core.models.trunk import Trunk
from pages.base.service import entry_of, submit
from pages.base.text import plain
from pages.forms.mixture import choose_members, choose_multitask, choose_study, split_of
from pages.forms.spec_form import widget
from pages.forms.tables import choose_table
from pages.results.multitask import (
    ablation_result,
    mixture_study_result,
    representation_result,
    transfer_result,
    trunk_result,
)
from pages.widgets.frame import command, empty, head
from pages.widgets.run_picker import go, pick, recipes, runs, show, starts

TRANSFER = {field.name: field for field in form(Transfer)}
ABLATION = {field.name: field for field in form(Ablation)}
FINE_TUNE = {field.name: field for field in form(FineTune)}
REPRESENT = {field.name: field for field in form(Represent)}


def train() -> Spec | None:
    return choose_multitask("trunk", choose_members("trunk-of"))


def study() -> Spec | None:
    return choose_study("study", choose_multitask("study-as", choose_members("study-of")))


def transfer() -> Spec | None:
    """A small table, and what is begun from."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**The small table**")
        table = choose_table("Table", "transfer-table")
        split = split_of(table, "transfer")
        sizes = widget(TRANSFER["sizes"], "transfer-sizes", (50, 100, 200, 420))
        seeds = widget(TRANSFER["seeds"], "transfer-seeds", TRANSFER["seeds"].default)
    with right:
        st.markdown("**What is begun from**")
        known = recipes(Trunk)
        chosen = st.multiselect("Trunks", list(known), default=list(known)[:2], key="transfer-trunks",
                                help="Beside random weights of the same network, the reference")  # fmt: skip
        methods = st.multiselect("Methods", list(METHODS), default=[Full.kind], key="transfer-methods",
                                 format_func=lambda kind: METHODS[kind].name)  # fmt: skip
        passes = st.number_input("Passes of a fine-tuning", 1, 10_000, 40, key="transfer-passes",
                                 help="Over the molecules it learns from; random weights need them")  # fmt: skip
        features = widget(FINE_TUNE["features"], "transfer-features", "none")
        anew = st.checkbox("Train each trunk anew for every seed", key="transfer-anew",
                           help="The intervals then know that noise too")  # fmt: skip
        if not chosen:
            st.info("There is no trunk chosen yet: train one first.", icon=":material/model_training:")
            return None
    trunks = [known[label] for label in chosen]
    network = next((one.backbone for one in trunks if isinstance(one.backbone, Gnn)), Gnn())
    try:
        fit = fitted(**split, network=network, epochs=int(passes), features=features)
        names = ("random weights", *(f"{one.called} ({one.key[:4]})" for one in trunks))
        made = Transfer(fit, starts=(network, *trunks), names=names, methods=tuple(METHODS[kind]() for kind in methods),
                        sizes=sizes, seeds=seeds, anew=anew)  # fmt: skip
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
        return None
    st.caption(f"{len(made.runs)} trainings.")
    return made


def variety() -> Spec | None:
    """Tables to make trunks of, and the small table they are for."""
    table = choose_table("The small table", "variety-table")
    split = split_of(table, "variety")
    multi = choose_multitask("variety-as", choose_members("variety-of", ((split["valid"], split["test"]),)))
    if multi is None:
        return None
    one, two, three, four = st.columns(4)
    with one:
        totals = widget(ABLATION["totals"], "variety-totals", (200, 400, 800))
    with two:
        columns = widget(ABLATION["columns"], "variety-columns", 1)
    with three:
        steps = widget(ABLATION["steps"], "variety-steps", 200)
    with four:
        seeds = widget(ABLATION["seeds"], "variety-seeds", ABLATION["seeds"].default)
    try:
        fit = fitted(**split, network=multi.backbone)
        made = Ablation(multi, fit, totals=totals, columns=columns, steps=steps, seeds=seeds)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
        return None
    st.caption(f"{len(made.trunks)} trunks and {len(made.runs)} fine-tunings.")
    return made


def representation() -> Spec | None:
    """Which trunks are looked at, and what they are asked for."""
    left, right = st.columns(2, gap="large")
    with left:
        known = starts()
        chosen = st.multiselect("Trunks and other backbones", list(known), default=list(known)[:2], key="hold-trunks",
                                help="Beside random weights of the first one's network, the control")  # fmt: skip
        table = choose_table("Molecules", "hold-table", labelled=False, help="Their labels are asked for too")
    with right:
        given = {}
        for name in ("properties", "molecules", "seed"):
            given[name] = widget(REPRESENT[name], f"hold-{name}", REPRESENT[name].default)
    if not chosen:
        st.info("There is no trunk chosen yet: train one first.", icon=":material/model_training:")
        return None
    specs = [known[label] for label in chosen]
    network = next((one.backbone for one in specs if isinstance(one.backbone, Gnn)), Gnn())
    try:
        names = (*(f"{one.called} ({one.key[:4]})" for one in specs), "random weights")
        return Represent((*specs, network), names=names, table=table, **given)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
        return None


QUESTIONS = {  # kind of recipe: what the page calls it, its form, its result, and what is said while there is none
    Multitask.kind: ("Train a trunk", train, trunk_result,
                     "Choose tables: one network learns all of them, and is a backbone afterwards."),
    MixtureStudy.kind: ("Alone or together", study, mixture_study_result,
                        "Does each table gain by the others? Every one is trained alone too, twice, as a control."),
    Transfer.kind: ("Transfer", transfer, transfer_result,
                    "What is a trunk worth where little has been measured? Train one first."),
    Ablation.kind: ("Variety or number", variety, ablation_result,
                    "More kinds of table, or more molecules? Both are varied, each with the other held."),
    Represent.kind: ("What a trunk holds", representation, representation_result,
                     "Which layer knows what, and how alike are two trunks? Random weights are the control."),
}  # fmt: skip

head(
    "Multitask",
    "Many tables, one network: what learning them together does for each, and for a small table afterwards.",
)
asked = entry_of(st.query_params.get("run", ""))
first = (
    asked.kind if asked is not None and asked.kind in QUESTIONS else st.session_state.get("question", Multitask.kind)
)
kind = st.segmented_control("Question", list(QUESTIONS), default=first, format_func=lambda one: QUESTIONS[one][0],
                            key=f"question-{first}", label_visibility="collapsed") or first  # fmt: skip
if kind != first:
    st.session_state["question"] = kind
    st.query_params.pop("run", None)
title, ask, result, about = QUESTIONS[kind]
count = len(runs(kind=kind))
with st.expander("New run", icon=":material/add:", expanded=not count, key=f"new-{kind}-{count}"):
    spec = ask()
    if st.button("Run it", type="primary", icon=":material/play_arrow:", disabled=spec is None) and spec is not None:
        try:
            go(submit(spec))
        except BadInput as error:
            st.error(plain(error), icon=":material/error:")
    if spec is not None:
        command(spec)
run = pick(title, kind=kind)
if run is None:
    empty("Nothing here yet", about)
elif show(run):
    try:
        result(run)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
