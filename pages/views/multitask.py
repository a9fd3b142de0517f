"""Multitask: several tables, one shared backbone; whether that helps any of them, and a small table afterwards."""

from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from core.engine.spec import Spec
from core.experiments import Ablation, MixtureStudy, Multitask, Representation, Transfer
from pages.base.address import read_address, write_address
from pages.base.service import find_entry
from pages.forms.multitask import ask_ablation, ask_representation, ask_study, ask_training, ask_transfer
from pages.results import multitask as results
from pages.widgets.frame import show_head
from pages.widgets.run_page import new_run, show_run
from pages.widgets.run_picker import Run, list_runs


class Question(NamedTuple):
    """What the page calls a kind of run; its form, its result, and the empty state."""

    title: str
    ask: Callable[[], Spec | None]
    result: Callable[[Run], None]
    about: str


QUESTIONS = {  # by kind
    Multitask.kind: Question(
        "Train a shared backbone", ask_training, results.multitask_result,
        "Choose tables. One network learns all of them; afterwards it can be used as a backbone.",
    ),
    MixtureStudy.kind: Question(
        "Together or alone", ask_study, results.together_or_alone_result,
        "Does a table gain from the others? Each table is also trained alone, with as many steps and with as many "
        "molecules, as controls.",
    ),
    Transfer.kind: Question(
        "Transfer", ask_transfer, results.transfer_result,
        "What does a shared backbone bring where few labels exist? Train one first.",
    ),
    Ablation.kind: Question(
        "More tables or compounds", ask_ablation, results.ablation_result,
        "What helps more: further tables, or further molecules? Each is varied with the other held fixed.",
    ),
    Representation.kind: Question(
        "Representation", ask_representation, results.representation_result,
        "Which layer encodes which property, and how similar are two backbones? Random weights are the control.",
    ),
}  # fmt: skip

show_head(
    "Multitask",
    "Several tables, one network: does learning them together help each table, or a small table afterwards?",
)
asked = find_entry(read_address("run"))
first = (
    asked.kind if asked is not None and asked.kind in QUESTIONS else st.session_state.get("question", Multitask.kind)
)
kind = st.segmented_control("Question", list(QUESTIONS), default=first, format_func=lambda one: QUESTIONS[one].title,
                            key=f"question-{first}", label_visibility="collapsed") or first  # fmt: skip
if kind != first:
    st.session_state["question"] = kind
    write_address()
question = QUESTIONS[kind]
count = len(list_runs(kind=kind))
new_run("New run", question.ask, "Run", f"{kind}-{count}", expanded=not count)
show_run("Run", kind=kind, result=question.result, without=("No result yet", question.about))
