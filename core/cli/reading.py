"""The option `--read FIELD=VALUE`: how a table is read where it does not prove it."""

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from core.data.readers import Reading
from core.engine.spec import BadInput

FIXED = {"source", "targets", "tasks", "digest", "hub_revision"}  # fields of Load with an option of their own


def parse_reading(options: Sequence[str]) -> Reading:
    """The settings of `--read` for a file that is read row by row. Raises `BadInput`."""
    from core.experiments.data.load import Load

    names = {field.name for field in dataclasses.fields(Reading)}
    fields = parse_fields(options, names)
    spec = Load(**fields)  # checks the values
    return Reading(**{name: getattr(spec, name) for name in names})


def parse_load_fields(options: Sequence[str]) -> dict[str, Any]:
    """Fields of `Load` from `--read`. Raises `BadInput` for an unknown field or a value of the wrong type."""
    from core.experiments.data.load import Load

    return parse_fields(options, {field.name for field in dataclasses.fields(Load)} - FIXED)


def parse_fields(options: Sequence[str], names: set[str]) -> dict[str, Any]:
    """Fields and values of options `FIELD=VALUE`. Raises `BadInput`."""
    from core.experiments.data.load import Load

    types = typing.get_type_hints(Load)
    fields: dict[str, Any] = {}
    for option in options:
        name, mark, value = option.partition("=")
        if not mark or name not in names:
            raise BadInput(f"--read wants FIELD=VALUE with one of {', '.join(sorted(names))}; got {option[:80]!r}")
        if name in fields:
            raise BadInput(f"--read gives {name!r} twice; give it once")
        fields[name] = _convert(name, value, types[name])
    return fields


def _convert(name: str, value: str, kind: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        return tuple(part.strip() for part in value.split(","))
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise BadInput(f"--read {name} wants true or false, got {value!r}")
        return value.lower() == "true"
    if kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            raise BadInput(f"--read {name} wants a number, got {value[:40]!r}") from None
    return value
