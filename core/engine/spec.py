"""Specs: frozen, validated settings of one piece of work, and the families whose members they name.

A `Spec[Product]` yields one product. Its fields are plain values, members of a family (a solver, a sampler …) and
other specs, typed by what they yield. Its canonical JSON is its text; the first 16 hex digits of the text's SHA-256
are its key. The same key is the same work, done once.
"""

import dataclasses
import difflib
import functools
import hashlib
import json
import numbers
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import pydantic
from pydantic_core import core_schema

from core.engine.former_names import FORMER_FIELDS, current_fields, current_kind
from core.engine.strict_json import NotStrict, check_integer, check_items, check_text, load_strict_json

Product = TypeVar("Product")
Settings = TypeVar("Settings")

MAX_FAULTS = 5  # that one message names


class BadInput(ValueError):
    """Unusable input; the message says what was given, what is valid and what to try."""


@dataclasses.dataclass(frozen=True)
class FailedPart:
    """Takes the place of a failed part in a tolerant spec; `reason` is one line."""

    reason: str


@typing.dataclass_transform(frozen_default=True, field_specifiers=(pydantic.Field,))
def settings(cls: type[Settings]) -> type[Settings]:
    """Make a frozen, validated dataclass of `cls`; unknown fields and wrong types raise `BadInput`.

    Types are strict: "40", 40.0 and true are no integers, 1 is no truth value; a whole number is a fine float. Lists
    become tuples, numbers of numpy plain ones.
    """
    wrapped = pydantic.dataclasses.dataclass(
        frozen=True,
        config=pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False, strict=True),
    )(cls)
    validated_init = wrapped.__init__

    @functools.wraps(validated_init)
    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # a field named `self` must not bind to it
        if "self" in kwargs:
            raise BadInput(f"{cls.kind}.self: is not a field of this spec")
        names = field_names(wrapped)
        try:
            plain_args = [_plain(value, name) for value, name in zip(args, names, strict=False)]
            plain = {name: _plain(value, name) for name, value in kwargs.items()}
        except NotStrict as error:
            raise BadInput(f"{cls.kind}.{error}") from None
        try:
            validated_init(self, *plain_args, *args[len(names) :], **plain)
        except pydantic.ValidationError as error:
            raise BadInput(explain_error(cls, error)) from None

    wrapped.__init__ = __init__
    return wrapped


def _plain(value: Any, name: str) -> Any:
    """A value of a field as plain Python: tuples for lists, int and float for numpy's. Raises `NotStrict`."""
    try:
        return _plain_value(value)
    except NotStrict as error:
        raise NotStrict(f"{name:.80}: {error}") from None


def _plain_value(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, (list, tuple)):
        check_items(len(value))
        return tuple(_plain_value(inner) for inner in value)
    elif isinstance(value, numbers.Integral):
        return check_integer(int(value))
    elif isinstance(value, numbers.Real):
        return float(value)
    return value


def explain_error(cls: type, error: pydantic.ValidationError) -> str:
    """All validation errors in one line: where, what is valid, what was given."""
    lines, faults = [], error.errors()
    for fault in faults[:MAX_FAULTS]:
        cause = fault.get("ctx", {}).get("error")
        where = ".".join([cls.kind, *(f"{step!s:.80}" for step in fault["loc"])])
        if isinstance(cause, BadInput):
            message = str(cause)
        elif fault["type"] in ("unexpected_keyword_argument", "missing_argument", "missing"):
            new = FORMER_FIELDS.get(fault["loc"][-1])
            hint = f"; it is called {new!r} now" if new in cls.__pydantic_fields__ else ""
            message = f"is not a field of this spec{hint}" if "unexpected" in fault["type"] else "is missing"
        else:
            text = fault["msg"].replace("valid tuple", "list")
            message = f"{text[0].lower()}{text[1:]}; got {fault['input']!r:.80}"
        lines.append(f"{where}: {message}")
    more = [f"and {len(faults) - MAX_FAULTS:,} more"] if len(faults) > MAX_FAULTS else []
    return "; ".join([*lines, *more])


class Family(dict):
    """Alternatives to choose from: `{kind: settings class}`. `Annotated[Any, FAMILY]` validates a field.

    With a `product`, a spec that yields one is valid too.
    """

    def __init__(self, noun: str, *members: type, product: type | None = None, name: str = "name") -> None:
        """`name`: the class variable with a member's display name."""
        super().__init__({member.kind: member for member in members})
        self.noun, self.product, self._name = noun, product, name

    __eq__ = object.__eq__  # by identity: typing would share annotations of equal families
    __hash__ = object.__hash__

    def read(self, value: Any) -> Any:
        """A member, unchanged or built from `{"kind": …, fields …}` or from its kind. Raises `BadInput`."""
        if type(value) in self.values():
            return value
        kind = value.get("kind") if isinstance(value, Mapping) else None
        kind = kind if isinstance(kind, str) else None
        kind = current_kind(kind, self)
        foreign = kind not in self and current_kind(kind, Spec.kinds) in Spec.kinds
        if self.product and (isinstance(value, Spec) or foreign):
            return read_spec(value, self.product)
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, Mapping) or "kind" not in value:
            raise BadInput(f"a {self.noun} wants an object with a `kind` ({', '.join(self)}); got {value!r:.80}")
        fields = dict(value)
        kind = current_kind(fields.pop("kind"), self)
        if not isinstance(kind, str) or kind not in self:
            raise BadInput(f"there is no {self.noun} of kind {kind!r:.80}; there are {', '.join(self)}")
        return self[kind](**current_fields(fields, self[kind].__pydantic_fields__))

    def key_of(self, value: Any) -> str:
        """The key of a member in the family."""
        return value.kind

    def default(self, key: str) -> Any:
        """The member with its defaults."""
        return self[key]()

    def name_of(self, key: str) -> str:
        """The display name of a member: the only source for forms, tables and titles."""
        return getattr(self[key], self._name)

    def describe(self, key: str) -> str:
        """The first line of a member's docstring."""
        return (self[key].__doc__ or "").strip().split("\n")[0]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)


class Spec(Generic[Product]):
    """The settings of one piece of work. Subclasses are `@settings` classes with a `kind` and a `make`.

    `make(report, **parts)` gets the products of `parts()` by name and returns a `product`.
    """

    kind: ClassVar[str]
    product: ClassVar[type]
    revision: ClassVar[int] = 1  # raised when the same fields come to mean other work
    effort: ClassVar[float] = 1.0  # time, relative to other specs
    tolerant: ClassVar[bool] = False  # whether it works without a part: a failed one is a `FailedPart`
    has_gradient: ClassVar[bool] = False  # whether it yields a model with gradients, as influence needs
    repeatable: ClassVar[bool] = False  # whether it has a `seed` for repeats
    page: ClassVar[str] = "runs"  # the page that shows its product
    backbone: ClassVar[Any] = None  # start of a training; a field where there is one
    kinds: ClassVar[dict[str, type["Spec"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in cls.__orig_bases__:
            if typing.get_origin(base) is Spec:
                cls.product = typing.get_args(base)[0]
        Spec.kinds[cls.kind] = cls

    def parts(self) -> dict[str, Any]:
        """The specs this one is made from, by field; a tuple of specs stays a tuple."""
        return {name: value for name, value in iterate_fields(self) if _is_part(value)}

    def with_seed(self, seed: int) -> "Spec":
        """The same work with another random seed; see `repeatable`. Raises `BadInput`."""
        if not self.repeatable:
            raise BadInput(f"{self.kind!r} cannot be repeated with another seed: it has no randomness")
        return dataclasses.replace(self, seed=seed)

    @property
    def split_parts(self) -> dict[str, "Spec"]:
        """Training, validation and test tables of a model by name, where it has them."""
        return {}

    def with_digests(self) -> "Spec":
        """The same spec with the digests of its files, so that its key depends on their content."""
        return self

    @property
    def called(self) -> str:
        """Its name in the titles of other specs."""
        return self.title

    @property
    def page_owner(self) -> "Spec":
        """The spec whose page shows its product: itself, or the run that it belongs to."""
        return self

    def cheap_parts(self) -> dict[str, "Spec"]:
        """Cheap specs (parts, or parts of parts) by name that `validate_early` needs before anything costly is made."""
        return {}

    def validate_early(self, *_: Any, **products: Any) -> None:
        """Raise `BadInput` where the products of `cheap_parts` already show that `make` would."""

    def iterate_parts(self) -> list["Spec"]:
        """The specs of `parts`, tuples flattened."""

        def flat(part: Any) -> list[Spec]:
            return [spec for inner in part for spec in flat(inner)] if isinstance(part, tuple) else [part]

        return flat(tuple(self.parts().values()))

    def make(self, *report: Any, **parts: Any) -> Product:
        raise TypeError(f"{type(self).__name__} has no `make`")

    @functools.cached_property
    def text(self) -> str:
        """Canonical JSON."""
        return json.dumps(to_json(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @functools.cached_property
    def key(self) -> str:
        """The first 16 hex digits of the SHA-256 of its canonical JSON."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """Its name in the list of runs."""
        return self.kind

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        if typing.get_origin(source) is not Spec:
            return handler(source)
        (product,) = typing.get_args(source)
        return core_schema.no_info_plain_validator_function(lambda value: read_spec(value, product))


def read_spec(value: Any, product: type | None = None) -> Spec:
    """A spec, unchanged or built from `{"kind": …, fields …}`; `product`: what it must yield, if given.

    Kinds and fields may have names of earlier versions (`core.engine.former_names`). Raises `BadInput`. Kinds are
    registered by importing `core.experiments`.
    """
    if isinstance(value, Mapping):
        fields = dict(value)
        kind, revision = current_kind(fields.pop("kind", None), Spec.kinds), fields.pop("revision", None)
        if not isinstance(kind, str) or kind not in Spec.kinds:
            near = difflib.get_close_matches(kind[:80], Spec.kinds, 3, cutoff=0.5) if isinstance(kind, str) else []
            raise BadInput(
                f"there is no spec kind {kind!r:.80}; "
                f"{f'did you mean {_or(near)}?' if near else 'there are load, finetune, influence and others;'} "
                "`python -m core kinds` lists them all"
            )
        if revision is not None and (type(revision) is not int or revision != Spec.kinds[kind].revision):
            raise BadInput(
                f"{kind}: the spec has revision {revision!r:.40}, this version makes {Spec.kinds[kind].revision}; "
                "start it again, or remove `revision` from the spec and run that"
            )
        value = Spec.kinds[kind](**current_fields(fields, Spec.kinds[kind].__pydantic_fields__))
    if not isinstance(value, Spec):
        raise BadInput(f"a spec is an object with a `kind`; got {value!r:.80}")
    if product is not None and not issubclass(value.product, product):
        raise BadInput(
            f"wants a spec that yields a {product.__name__}; {value.kind!r} yields a {value.product.__name__}"
        )
    return value


def _or(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def read_spec_json(text: str) -> Spec:
    """A spec from its JSON, read strictly (`core.engine.strict_json`). Raises `BadInput`."""
    try:
        return read_spec(load_strict_json(text))
    except NotStrict as error:
        raise BadInput(str(error)) from None


def to_json(value: Any) -> Any:
    """Plain JSON of a spec, a family member or a field value."""
    if dataclasses.is_dataclass(value):
        head = {"kind": value.kind} | ({"revision": value.revision} if isinstance(value, Spec) else {})
        return head | {name: to_json(inner) for name, inner in iterate_fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_json(inner) for inner in value]
    return value


def iterate_fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of the fields of a spec or of a family member."""
    return ((name, getattr(value, name)) for name in field_names(value))


def field_names(cls: Any) -> list[str]:
    """The fields of a settings class in form order: its own fields, then keyword-only ones.

    Inherited settings are keyword-only; `dataclasses.fields` would list those of the base first.
    """
    return [field.name for field in sorted(dataclasses.fields(cls), key=lambda field: field.kw_only)]


def map_specs(value: Any, change: Callable[[Spec], Spec]) -> Any:
    """The same tree with `change` applied to every spec in it, leaves first."""
    if isinstance(value, tuple):
        new_items = tuple(map_specs(inner, change) for inner in value)
        return value if all(new is old for new, old in zip(new_items, value, strict=True)) else new_items
    if not dataclasses.is_dataclass(value):
        return value
    new = {name: map_specs(inner, change) for name, inner in iterate_fields(value)}
    if any(new[name] is not inner for name, inner in iterate_fields(value)):
        value = dataclasses.replace(value, **new)
    return change(value) if isinstance(value, Spec) else value


def _is_part(value: Any) -> bool:
    return isinstance(value, Spec) or (isinstance(value, tuple) and bool(value) and all(_is_part(v) for v in value))
