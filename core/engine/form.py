"""Fields of a spec or of a family member, as forms and the command line show them."""

import dataclasses
import typing
from typing import Any

from core.engine.spec import Family, Spec, field_names


@dataclasses.dataclass(frozen=True)
class FormField:
    """A field as a form and the command line show it."""

    name: str
    type: Any
    default: Any  # `dataclasses.MISSING` for a required field
    help: str
    least: float | None = None
    most: float | None = None
    choices: tuple[Any, ...] = ()
    family: Family | None = None
    product: type | None = None  # of the spec in this field
    many: bool = False  # whether it is a tuple


def describe_fields(cls: type) -> list[FormField]:
    """The fields of a settings class with their types, defaults, limits and help."""
    hints = typing.get_type_hints(cls, include_extras=True)
    form_fields = []
    for name in field_names(cls):
        info, hint = cls.__pydantic_fields__[name], hints[name]
        limits = {type(limit).__name__: limit for limit in info.metadata}
        bare = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
        form_fields.append(
            FormField(
                name=name,
                type=bare,
                default=dataclasses.MISSING if info.is_required() else info.get_default(call_default_factory=True),
                help=info.description or "",
                least=next((getattr(limits[k], a) for k, a in (("Ge", "ge"), ("Gt", "gt")) if k in limits), None),
                most=next((getattr(limits[k], a) for k, a in (("Le", "le"), ("Lt", "lt")) if k in limits), None),
                choices=typing.get_args(bare) if typing.get_origin(bare) is typing.Literal else (),
                family=next((limit for limit in (*info.metadata, *_marks(bare)) if isinstance(limit, Family)), None),
                product=_product(bare),
                many=typing.get_origin(bare) is tuple,
            )
        )
    return form_fields


def _marks(hint: Any) -> tuple[Any, ...]:
    """Annotations of the items of a tuple."""
    inner = (typing.get_args(hint) or (None,))[0] if typing.get_origin(hint) is tuple else None
    return typing.get_args(inner)[1:] if typing.get_origin(inner) is typing.Annotated else ()


def _product(hint: Any) -> type | None:
    if typing.get_origin(hint) is Spec:
        return typing.get_args(hint)[0]
    return next((product for inner in typing.get_args(hint) if (product := _product(inner))), None)
