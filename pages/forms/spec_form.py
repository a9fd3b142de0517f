"""A form drawn from a settings class: every field with its limits, default and help; it gives the object."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.engine.form import FormField, describe_fields
from core.engine.spec import BadInput, Spec, iterate_fields
from pages.base.text import as_sentence, capitalise, escape_markdown, field_label
from pages.widgets.frame import show_error

MISSING = dataclasses.MISSING


def spec_form(
    cls: type,
    key: str,
    fixed: Mapping[str, Any],
    named: Sequence[str] = (),
    start: Any = None,
    hidden: Sequence[str] = (),
    extra: Mapping[str, Mapping[str, Any]] | None = None,
) -> Any:
    """Draw the fields of `cls` that are not `fixed`; the settings object, or None and an error while one is wrong.

    `named` fields come first, the others under "Advanced". `start` is an object with the initial values;
    `hidden` fields keep their default. `extra`: for the field of a family, further choices by label, such as trained
    backbones.
    """
    fields = {
        field.name: field for field in describe_fields(cls) if field.name not in fixed and field.name not in hidden
    }
    values = dict(fixed)
    values |= {n: getattr(start, n) for n in hidden if start is not None and hasattr(start, n)}
    key = f"{key}-{start.key[:8]}" if isinstance(start, Spec) else key
    extra = extra or {}

    def draw(names: list[str]) -> None:
        """Families and lists to pick from across, the rest two in a row."""
        row: list[Any] = []
        for name in names:
            field = fields[name]
            start_value = getattr(start, name, field.default) if start is not None else field.default
            if field.family is not None or _has_choices(field):
                container, row = st.container(), []
            else:
                row = row or list(st.columns(2))
                container = row.pop(0)
            with container:
                value = field_input(field, f"{key}-{name}", start_value, extra.get(name, {}))
            if value is not MISSING:
                values[name] = value

    wrong = st.empty()
    draw([name for name in named if name in fields])
    rest = [name for name in fields if name not in named]
    if rest and named:
        with st.expander("Advanced", icon=":material/tune:"):
            draw(rest)
    else:
        draw(rest)
    try:
        return cls(**values)
    except BadInput as error:
        wrong.error(escape_markdown(as_sentence(error)), icon=":material/error:")
        return None


def field_input(field: FormField, key: str, value: Any, extra: Mapping[str, Any] | None = None) -> Any:
    """The widget of one field; its value, or `MISSING` where the field stays as it is."""
    label, help_ = field_label(field.name), escape_markdown(field.help) or None
    value = None if value is MISSING else value
    if field.family is not None:
        return members_input(field, key, value or ()) if field.many else member_input(field, key, value, extra or {})
    if field.product is not None:
        return value if value is not None else MISSING  # a part of the spec, which the page provides
    if field.choices:
        index = field.choices.index(value) if value in field.choices else 0
        return st.selectbox(label, field.choices, index=index, key=key, help=help_)
    kinds = _kinds(field.type)
    is_tuple = typing.get_origin(field.type) is tuple
    if is_tuple:
        return tuple_input(field, key, value or ())
    if bool in kinds:
        return st.toggle(label, value=bool(value), key=key, help=help_)
    if int in kinds and float not in kinds:
        return st.number_input(
            label,
            min_value=_whole(field.least, 0),
            max_value=_whole(field.most),
            value=None if value is None else int(value),
            step=1,
            key=key,
            help=help_,
            placeholder="automatic",
        )
    if float in kinds:
        return st.number_input(
            label,
            min_value=None if field.least is None else float(field.least),
            max_value=None if field.most is None else float(field.most),
            value=None if value is None else float(value),
            step=_step(value),
            format="%g",
            key=key,
            help=help_,
            placeholder="automatic",
        )
    if str in kinds:
        return st.text_input(label, value=value or "", key=key, help=help_)
    text = st.text_input(f"{label} (JSON)", value=json.dumps(value), key=key, help=help_)
    try:
        return json.loads(text)
    except ValueError:
        st.error(f"{label}: this is not valid JSON")
        return value


def tuple_input(field: FormField, key: str, value: Sequence[Any]) -> tuple[Any, ...]:
    """A tuple: choices to pick from, or values separated by commas."""
    label, help_ = field_label(field.name), escape_markdown(field.help) or None
    inner = typing.get_args(field.type)[0]
    if _has_choices(field):
        choices = typing.get_args(inner)
        return tuple(st.multiselect(label, choices, default=list(value), key=key, help=help_))
    text = st.text_input(
        label, value=", ".join(map(str, value)), key=key, help=f"{help_ or ''} Separate values with commas.".strip()
    )
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if inner not in (int, float):
        return tuple(parts)
    try:
        return tuple(inner(part) for part in parts)
    except ValueError:
        return tuple(parts)  # the spec refuses them with the reason


def members_input(field: FormField, key: str, value: Sequence[Any]) -> tuple[Any, ...]:
    """Some members of a family or none: those of `value` as they are, the others with their defaults."""
    family = field.family
    members = {family.key_of(one): one for one in value}
    chosen = st.multiselect(
        field_label(field.name),
        list(dict.fromkeys((*family, *members))),
        default=list(members),
        format_func=lambda kind: capitalise(family.name_of(kind) if kind in family else kind),
        key=key,
        help=escape_markdown(field.help) or None,
        placeholder="none",
    )
    return tuple(members[kind] if kind in members else family.default(kind) for kind in chosen)


def member_input(field: FormField, key: str, start_member: Any, extra: Mapping[str, Any]) -> Any:
    """A member of a family: its kind, then its own fields. `extra` choices stand for themselves."""
    label, kinds = field_label(field.name), list(field.family)
    if isinstance(start_member, Spec):
        extra = {"as in the original run": start_member, **extra}
    now = kinds[0] if start_member is None else start_member.kind
    choices = [*kinds, *extra]
    kind = st.selectbox(
        label,
        choices,
        index=choices.index(now) if now in kinds else choices.index(next(iter(extra))) if extra and start_member else 0,
        format_func=lambda choice: capitalise(field.family.name_of(choice)) if choice in field.family else choice,
        key=key,
        help=escape_markdown(field.help) or None,
    )
    if kind in extra:
        return extra[kind]
    st.caption(escape_markdown(field.family.describe(kind)))
    start = start_member if start_member is not None and start_member.kind == kind else None
    values = {}
    inner_fields = describe_fields(field.family[kind])
    if inner_fields:
        with st.container(border=True):
            columns = st.columns(min(len(inner_fields), 2))
            for index, inner in enumerate(inner_fields):
                first = getattr(start, inner.name) if start is not None else inner.default
                with columns[index % len(columns)]:
                    value = field_input(inner, f"{key}-{kind}-{inner.name}", first)
                if value is not MISSING:
                    values[inner.name] = value
    try:
        return field.family[kind](**values)
    except BadInput as error:
        show_error(error)
        return kind  # the default settings, so that the rest of the form is drawn


def flatten_settings(value: Any, path: str = "") -> dict[str, Any]:
    """Every plain setting of a spec by its path, for comparing two specs."""
    settings: dict[str, Any] = {}
    for name, inner in iterate_fields(value):
        inner_path = f"{path}{name}"
        if isinstance(inner, tuple) and inner and all(dataclasses.is_dataclass(one) for one in inner):
            for number, one in enumerate(inner, 1):
                settings |= {f"{inner_path} {number}": one.kind, **flatten_settings(one, f"{inner_path} {number}.")}
        elif dataclasses.is_dataclass(inner):
            settings |= {inner_path: inner.kind, **flatten_settings(inner, f"{inner_path}.")}
        else:
            settings[inner_path] = inner
    return settings


def _has_choices(field: FormField) -> bool:
    """Whether a field is a tuple of given choices."""
    is_tuple = typing.get_origin(field.type) is tuple
    return is_tuple and typing.get_origin(typing.get_args(field.type)[0]) is typing.Literal


def _kinds(hint: Any) -> set[type]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return {kind for inner in typing.get_args(hint) for kind in _kinds(inner)}
    return {hint} if isinstance(hint, type) else set()


def _whole(limit: float | None, default: int | None = None) -> int | None:
    return default if limit is None else int(limit)


def _step(value: float | None) -> float:
    """A tenth of the value's size: 0.0003 → 0.00001."""
    return 10.0 ** (math.floor(math.log10(abs(value))) - 1) if value else 0.01
