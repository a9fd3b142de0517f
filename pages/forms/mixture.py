"""Forms of what is asked of many tables at once: which tables, how each is learned, by which network, for how long."""

import dataclasses
import types
from typing import Any

import pandas as pd
import streamlit as st

from core.data.dataset import Dataset
from core.engine.form import form
from core.engine.spec import BadInput, Spec, fields_of
from core.experiments import Computed, Load, Member, MixtureStudy, Multitask, Part, mixture, parts
from core.experiments.presets.mixtures import at_hand
from core.models.backbones import Gnn
from pages.base.text import plain
from pages.forms.spec_form import spec_form, widget
from pages.forms.tables import known_tables

LABELS = "its labels"
MEMBER = {field.name: field for field in form(Member)}
LONG = ("backbone", "mixing", "weighting", "epochs", "batch_size", "learning_rate")
SHORT = Multitask((at_hand()[0],), backbone=Gnn(width=48, depth=3), epochs=8, batch_size=64, learning_rate=3e-3)


def tables() -> dict[str, tuple[str, Spec[Dataset]]]:
    """Tables to learn by key: those with labels, and properties that are computed of the bundled drugs."""
    computed = Computed(Load("bundled:drugs", limit=800))
    return known_tables() | {
        computed.key: ("computed properties of 800 drugs · logP, TPSA, molar refractivity", computed)
    }


def choose_members(key: str, beside: tuple[tuple[Spec[Dataset], Spec[Dataset]], ...] = ()) -> tuple[Member, ...]:
    """The tables of a mixture, each with its loss, scaler and weight; nothing, and the reason, while that is wrong.

    `beside`: validation and test parts that no training part may touch.
    """
    found = tables()
    known = [one for one, (name, _) in found.items() if "·" in name]
    chosen = st.multiselect(
        "Tables", known, default=known[:3], format_func=lambda one: found[one][0], key=f"{key}-tables",
        help="Add your own in the room Data",
    )  # fmt: skip
    one, two, three = st.columns(3)
    by = one.selectbox("Split by", ("random", "scaffold"), key=f"{key}-by", help="The same way for every table")
    share = two.number_input("Validation and test part, each", 0.02, 0.4, 0.1, 0.02, key=f"{key}-share")
    seed = three.number_input("Seed of the split", 0, 2**31 - 1, 0, key=f"{key}-seed")
    if not chosen:
        st.info("Choose a table; two or more make a mixture.")
        return ()
    plainly = [found[one][0].split(" · ")[0] for one in chosen]
    names = [
        f"{name} ({plainly[: place + 1].count(name)})" if plainly[:place].count(name) else name
        for place, name in enumerate(plainly)
    ]
    start = pd.DataFrame(
        {"table": names, "loss": "mae", "scaler": "standard", "weight": 1.0, "hidden": 64, "learned": LABELS}
    )
    help_ = {name: plain(field.help) for name, field in MEMBER.items()}
    columns = {
        "table": st.column_config.TextColumn(disabled=True),
        "loss": st.column_config.SelectboxColumn(options=list(MEMBER["loss"].choices), help=help_["loss"]),
        "scaler": st.column_config.SelectboxColumn(options=list(MEMBER["scaler"].choices), help=help_["scaler"]),
        "weight": st.column_config.NumberColumn(min_value=0.01, help=help_["weight"]),
        "hidden": st.column_config.NumberColumn("head width", min_value=1, max_value=4096, help=help_["hidden"]),
        "learned": st.column_config.SelectboxColumn(
            options=[LABELS, *(f"{one} of atoms" for one in MEMBER["atoms"].choices if one)], help=help_["atoms"]
        ),
    }
    slot = f"{key}-how-{'-'.join(one[:4] for one in chosen)}"
    told = st.data_editor(start, column_config=columns, hide_index=True, key=slot, width="stretch")
    try:
        members = []
        for place, row in enumerate(told.to_dict("records")):
            three_parts = parts(found[chosen[place]][1], by=by, seed=int(seed), valid=share, test=share)
            given = {name: row[name] for name in ("loss", "scaler", "weight", "hidden")}
            atoms = "" if row["learned"] == LABELS else row["learned"].removesuffix(" of atoms")
            members.append(Member(*three_parts, name=names[place], atoms=atoms, **given))
        return mixture(members, beside)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
        return ()


def choose_multitask(key: str, members: tuple[Member, ...]) -> Multitask | None:
    """The training of a mixture; nothing while the form is wrong."""
    if not members:
        return None
    return spec_form(Multitask, key, {"members": members, "as_long_as": ()}, LONG, start=_start(members))


def _start(members: tuple[Member, ...]) -> Any:
    """What the form shows first: a network and a length that end within minutes."""
    return types.SimpleNamespace(**dict(fields_of(SHORT)) | {"members": members})


def choose_study(key: str, multi: Multitask | None) -> MixtureStudy | None:
    """The study of a mixture: which networks, which controls, which seeds."""
    if multi is None:
        return None
    layers = st.multiselect(
        "Layers", ("gcn", "gin", "gine"), default=[multi.backbone.layer if isinstance(multi.backbone, Gnn) else "gine"],
        format_func=str.upper, key=f"{key}-layers", help="Each is trained in all ways",
        disabled=not isinstance(multi.backbone, Gnn),
    )  # fmt: skip
    fields = {field.name: field for field in form(MixtureStudy)}
    one, two = st.columns(2)
    with one:
        controls = widget(fields["controls"], f"{key}-controls", fields["controls"].default)
    with two:
        seeds = widget(fields["seeds"], f"{key}-seeds", fields["seeds"].default)
    backbones = ()
    if isinstance(multi.backbone, Gnn):
        backbones = tuple(dataclasses.replace(multi.backbone, layer=layer) for layer in layers)
    try:
        made = MixtureStudy(multi, backbones=backbones, controls=controls, seeds=seeds)
    except BadInput as error:
        st.error(plain(error), icon=":material/error:")
        return None
    st.caption(f"{len(made.runs)} trainings.")
    return made


def split_of(table: Spec[Dataset], key: str) -> dict[str, Part]:
    """A plain split of a small table."""
    one, two = st.columns(2)
    by = one.selectbox("Split of that table", ("random", "scaffold"), key=f"{key}-split-by")
    seed = two.number_input("Its seed", 0, 2**31 - 1, 0, key=f"{key}-split-seed")
    return dict(zip(("train", "valid", "test"), parts(table, by=by, seed=int(seed)), strict=True))
