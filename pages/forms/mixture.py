"""Forms of multitask training: which tables, how each is learned, by which network, for how long."""

import dataclasses
import types
from typing import Any

import pandas as pd
import streamlit as st

from core.data.dataset import Dataset
from core.engine.form import describe_fields
from core.engine.spec import BadInput, Spec, iterate_fields
from core.experiments import (
    ComputedLabels,
    Load,
    MixtureStudy,
    MixtureTable,
    Multitask,
    Split,
    build_mixture,
    split_table,
)
from core.experiments.presets.mixtures import bundled_mixture
from core.models.backbones import Gnn
from pages.base.text import escape_markdown
from pages.forms.spec_form import field_input, spec_form
from pages.forms.tables import ADD_TABLE, list_tables
from pages.widgets.frame import show_error

MEASURED_VALUES = "measured values"
MEMBER_FIELDS = {field.name: field for field in describe_fields(MixtureTable)}
MAIN_FIELDS = ("backbone", "mixing", "weighting", "epochs", "batch_size", "learning_rate")
SHORT_TRAINING = Multitask(
    (bundled_mixture()[0],), backbone=Gnn(width=48, depth=3), epochs=8, batch_size=64, learning_rate=3e-3
)


def list_mixture_tables() -> dict[str, tuple[str, Spec[Dataset]]]:
    """Tables to learn by key: those with labels, and computed properties of the built-in drugs."""
    computed = ComputedLabels(Load("bundled:drugs", limit=800))
    return list_tables() | {
        computed.key: ("computed properties of 800 drugs · logP, TPSA, molar refractivity", computed)
    }


def choose_members(key: str, exclude: tuple[tuple[Spec[Dataset], Spec[Dataset]], ...] = ()) -> tuple[MixtureTable, ...]:
    """The tables of a mixture, each with its loss, scaler and weight; nothing, and the reason, while that is wrong.

    `exclude`: validation and test sets whose molecules no training set may contain.
    """
    tables = list_mixture_tables()
    options = [one for one, (name, _) in tables.items() if "·" in name]
    chosen = st.multiselect(
        "Tables", options, default=options[:3], format_func=lambda one: tables[one][0], key=f"{key}-tables",
        help=ADD_TABLE,
    )  # fmt: skip
    one, two, three = st.columns(3)
    by = one.selectbox("Split by", ("random", "scaffold"), key=f"{key}-by", help="The same for every table")
    share = two.number_input("Validation and test set, each", 0.02, 0.4, 0.1, 0.02, key=f"{key}-share")
    seed = three.number_input("Seed of the split", 0, 2**31 - 1, 0, key=f"{key}-seed")
    if not chosen:
        st.info("Choose a table. Two or more are learned together.")
        return ()
    plain_names = [tables[one][0].split(" · ")[0] for one in chosen]
    names = [
        f"{name} ({plain_names[: index + 1].count(name)})" if plain_names[:index].count(name) else name
        for index, name in enumerate(plain_names)
    ]
    start = pd.DataFrame(
        {"table": names, "loss": "mae", "scaler": "standard", "weight": 1.0, "hidden": 64, "learned": MEASURED_VALUES}
    )
    help_ = {name: escape_markdown(field.help) for name, field in MEMBER_FIELDS.items()}
    columns = {
        "table": st.column_config.TextColumn(disabled=True),
        "loss": st.column_config.SelectboxColumn(options=list(MEMBER_FIELDS["loss"].choices), help=help_["loss"]),
        "scaler": st.column_config.SelectboxColumn(options=list(MEMBER_FIELDS["scaler"].choices), help=help_["scaler"]),
        "weight": st.column_config.NumberColumn(min_value=0.01, help=help_["weight"]),
        "hidden": st.column_config.NumberColumn("head width", min_value=1, max_value=4096, help=help_["hidden"]),
        "learned": st.column_config.SelectboxColumn(
            options=[MEASURED_VALUES, *(f"{one} of atoms" for one in MEMBER_FIELDS["atoms"].choices if one)],
            help=help_["atoms"],
        ),
    }
    slot = f"{key}-how-{'-'.join(one[:4] for one in chosen)}"
    rows = st.data_editor(start, column_config=columns, hide_index=True, key=slot, width="stretch")
    try:
        members = []
        for index, row in enumerate(rows.to_dict("records")):
            three_parts = split_table(tables[chosen[index]][1], by=by, seed=int(seed), valid=share, test=share)
            settings = {name: row[name] for name in ("loss", "scaler", "weight", "hidden")}
            atoms = "" if row["learned"] == MEASURED_VALUES else row["learned"].removesuffix(" of atoms")
            members.append(MixtureTable(*three_parts, name=names[index], atoms=atoms, **settings))
        return build_mixture(members, exclude)
    except BadInput as error:
        show_error(error)
        return ()


def choose_multitask(key: str, members: tuple[MixtureTable, ...]) -> Multitask | None:
    """The training of a mixture; nothing while the form is wrong."""
    if not members:
        return None
    return spec_form(
        Multitask, key, {"members": members, "step_reference": ()}, MAIN_FIELDS, start=_first_values(members)
    )


def _first_values(members: tuple[MixtureTable, ...]) -> Any:
    """What the form shows first: a network and a number of epochs that take minutes."""
    return types.SimpleNamespace(**dict(iterate_fields(SHORT_TRAINING)) | {"members": members})


def choose_study(key: str, multi: Multitask | None) -> MixtureStudy | None:
    """Together or alone: which networks, which controls, which seeds."""
    if multi is None:
        return None
    first = multi.backbone.layer if isinstance(multi.backbone, Gnn) else "gine"
    layers = st.multiselect(
        "Graph layers", ("gcn", "gin", "gine"), default=[first],
        format_func=str.upper, key=f"{key}-layers", help="Each is trained together and alone",
        disabled=not isinstance(multi.backbone, Gnn),
    )  # fmt: skip
    fields = {field.name: field for field in describe_fields(MixtureStudy)}
    one, two = st.columns(2)
    with one:
        controls = field_input(fields["controls"], f"{key}-controls", fields["controls"].default)
    with two:
        seeds = field_input(fields["seeds"], f"{key}-seeds", fields["seeds"].default)
    backbones = ()
    if isinstance(multi.backbone, Gnn):
        backbones = tuple(dataclasses.replace(multi.backbone, layer=layer) for layer in layers)
    try:
        spec = MixtureStudy(multi, backbones=backbones, controls=controls, seeds=seeds)
    except BadInput as error:
        show_error(error)
        return None
    st.caption(f"{len(spec.runs)} training runs.")
    return spec


def choose_split(table: Spec[Dataset], key: str) -> dict[str, Split]:
    """A plain split of a small table."""
    one, two = st.columns(2)
    by = one.selectbox("Split of this table by", ("random", "scaffold"), key=f"{key}-split-by")
    seed = two.number_input("Seed of this split", 0, 2**31 - 1, 0, key=f"{key}-split-seed")
    return dict(zip(("train", "valid", "test"), split_table(table, by=by, seed=int(seed)), strict=True))
