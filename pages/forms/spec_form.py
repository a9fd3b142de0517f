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
from pages.base.text import capitalise, escape_markdown, field_label

MISSING = dataclasses.MISSING


def spec_form(
    cls: type,
    key: str,
    given: Mapping[str, Any],
    named: Sequence[str] = (),
    start: Any = None,
    hidden: Sequence[str] = (),
    extra: Mapping[str, Mapping[str, Any]] | None = None,
) -> Any:
    """Draw the fields of `cls` that are not `given`; the settings object, or None (with the reason) while wrong.

    `named` fields come first, the rest lies under "Advanced". `start` is an object whose values are shown at first;
    `hidden` keep their default. `extra`: for a family's field, further choices by label, such as finished backbones.
    """
    fields = {
        field.name: field for field in describe_fields(cls) if field.name not in given and field.name not in hidden
    }
    values = dict(given)
    values |= {n: getattr(start, n) for n in hidden if start is not None and hasattr(start, n)}
    key = f"{key}-{start.key[:8]}" if isinstance(start, Spec) else key
    extra = extra or {}

    def draw(names: list[str]) -> None:
        """Families and lists to pick from across, the rest two in a row."""
        row: list[Any] = []
        for name in names:
            field = fields[name]
            shown = getattr(start, name, field.default) if start is not None else field.default
            if field.family is not None or _has_choices(field):
                place, row = st.container(), []
            else:
                row = row or list(st.columns(2))
                place = row.pop(0)
            with place:
                value = field_input(field, f"{key}-{name}", shown, extra.get(name, {}))
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
        wrong.error(escape_markdown(error), icon=":material/error:")
        return None


def field_input(field: FormField, key: str, shown: Any, extra: Mapping[str, Any] | None = None) -> Any:
    """The widget of one field; its value, or `MISSING` where the field stays as it is."""
    label, help_ = field_label(field.name), escape_markdown(field.help) or None
    shown = None if shown is MISSING else shown
    if field.family is not None:
        return members_input(field, key, shown or ()) if field.many else member_input(field, key, shown, extra or {})
    if field.product is not None:
        return shown if shown is not None else MISSING  # a spec in a spec: the page gives it
    if field.choices:
        place = field.choices.index(shown) if shown in field.choices else 0
        return st.selectbox(label, field.choices, index=place, key=key, help=help_)
    kinds = _kinds(field.type)
    many = typing.get_origin(field.type) is tuple
    if many:
        return tuple_input(field, key, shown or ())
    if bool in kinds:
        return st.toggle(label, value=bool(shown), key=key, help=help_)
    if int in kinds and float not in kinds:
        return st.number_input(
            label,
            min_value=_whole(field.least, 0),
            max_value=_whole(field.most),
            value=None if shown is None else int(shown),
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
            value=None if shown is None else float(shown),
            step=_step(shown),
            format="%g",
            key=key,
            help=help_,
            placeholder="automatic",
        )
    if str in kinds:
        return st.text_input(label, value=shown or "", key=key, help=help_)
    text = st.text_input(f"{label} (JSON)", value=json.dumps(shown), key=key, help=help_)
    try:
        return json.loads(text)
    except ValueError:
        st.error(f"{label}: this is not valid JSON")
        return shown


def tuple_input(field: FormField, key: str, shown: Sequence[Any]) -> tuple[Any, ...]:
    """A tuple: choices to pick from, or values separated by commas."""
    label, help_ = field_label(field.name), escape_markdown(field.help) or None
    inner = typing.get_args(field.type)[0]
    if _has_choices(field):
        choices = typing.get_args(inner)
        return tuple(st.multiselect(label, choices, default=list(shown), key=key, help=help_))
    text = st.text_input(
        label, value=", ".join(map(str, shown)), key=key, help=f"{help_ or ''} Separate values with commas.".strip()
    )
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if inner not in (int, float):
        return tuple(parts)
    try:
        return tuple(inner(part) for part in parts)
    except ValueError:
        return tuple(parts)  # the spec refuses them and says which


def members_input(field: FormField, key: str, shown: Sequence[Any]) -> tuple[Any, ...]:
    """Some members of a family or none: those of `shown` as they are, the others with their defaults."""
    family = field.family
    given = {family.key_of(one): one for one in shown}
    chosen = st.multiselect(
        field_label(field.name),
        list(dict.fromkeys((*family, *given))),
        default=list(given),
        format_func=lambda kind: capitalise(family.name_of(kind) if kind in family else kind),
        key=key,
        help=escape_markdown(field.help) or None,
        placeholder="none",
    )
    return tuple(given[kind] if kind in given else family.default(kind) for kind in chosen)


def member_input(field: FormField, key: str, shown: Any, extra: Mapping[str, Any]) -> Any:
    """A member of a family: its kind, then its own fields. `extra` choices stand for themselves."""
    label, kinds = field_label(field.name), list(field.family)
    if isinstance(shown, Spec):
        extra = {"as in the original run": shown, **extra}
    now = kinds[0] if shown is None else shown.kind
    choices = [*kinds, *extra]
    kind = st.selectbox(
        label,
        choices,
        index=choices.index(now) if now in kinds else choices.index(next(iter(extra))) if extra and shown else 0,
        format_func=lambda choice: capitalise(field.family.name_of(choice)) if choice in field.family else choice,
        key=key,
        help=escape_markdown(field.help) or None,
    )
    if kind in extra:
        return extra[kind]
    st.caption(escape_markdown(field.family.describe(kind)))
    start = shown if shown is not None and shown.kind == kind else None
    values = {}
    own = describe_fields(field.family[kind])
    if own:
        with st.container(border=True):
            columns = st.columns(min(len(own), 2))
            for place, inner in enumerate(own):
                first = getattr(start, inner.name) if start is not None else inner.default
                with columns[place % len(columns)]:
                    value = field_input(inner, f"{key}-{kind}-{inner.name}", first)
                if value is not MISSING:
                    values[inner.name] = value
    try:
        return field.family[kind](**values)
    except BadInput as error:
        st.error(escape_markdown(error), icon=":material/error:")
        return kind  # its defaults, so that the rest of the form still stands


def flatten_settings(value: Any, path: str = "") -> dict[str, Any]:
    """Every plain setting of a spec by its path, for comparing two specs."""
    found: dict[str, Any] = {}
    for name, inner in iterate_fields(value):
        place = f"{path}{name}"
        if isinstance(inner, tuple) and inner and all(dataclasses.is_dataclass(one) for one in inner):
            for number, one in enumerate(inner, 1):
                found |= {f"{place} {number}": one.kind, **flatten_settings(one, f"{place} {number}.")}
        elif dataclasses.is_dataclass(inner):
            found |= {place: inner.kind, **flatten_settings(inner, f"{place}.")}
        else:
            found[place] = inner
    return found


def _has_choices(field: FormField) -> bool:
    """Whether a field is a tuple of given choices."""
    many = typing.get_origin(field.type) is tuple
    return many and typing.get_origin(typing.get_args(field.type)[0]) is typing.Literal


def _kinds(hint: Any) -> set[type]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return {kind for inner in typing.get_args(hint) for kind in _kinds(inner)}
    return {hint} if isinstance(hint, type) else set()


def _whole(limit: float | None, default: int | None = None) -> int | None:
    return default if limit is None else int(limit)


def _step(shown: float | None) -> float:
    """A tenth of the value's size: 0.0003 → 0.00001."""
    return 10.0 ** (math.floor(math.log10(abs(shown))) - 1) if shown else 0.01
