"""Recipes: frozen, validated values that say what to make, and the families whose members they name.

A `Spec[Product]` is a recipe for one product. Its fields are plain values, members of a family (a solver, a
sampler …) and other specs, named by what they yield. Its canonical JSON is its text; the first 16 hex digits of
that text's sha256 are its key. The same key is the same work, done once.
"""

import dataclasses
import difflib
import functools
import hashlib
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import pydantic
from pydantic_core import core_schema

from core.engine.former_names import FORMER_FIELDS, current_fields, current_kind

Product = TypeVar("Product")
Settings = TypeVar("Settings")


class BadInput(ValueError):
    """What was given cannot be used; the message says what was given, what would do and what to try."""


@dataclasses.dataclass(frozen=True)
class FailedPart:
    """What a tolerant recipe gets for a part that could not be made: why, in one line."""

    reason: str


@typing.dataclass_transform(frozen_default=True, field_specifiers=(pydantic.Field,))
def settings(cls: type[Settings]) -> type[Settings]:
    """Make a frozen, validated dataclass of `cls`; unknown fields and wrong types are refused as `BadInput`."""
    made = pydantic.dataclasses.dataclass(
        frozen=True,
        config=pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False),
    )(cls)
    checked = made.__init__

    @functools.wraps(checked)
    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # a field may not take the place of `self`
        if "self" in kwargs:
            raise BadInput(f"{cls.kind}.self: is not a field of this recipe")
        try:
            checked(self, *args, **kwargs)
        except pydantic.ValidationError as error:
            raise BadInput(explain_error(cls, error)) from None
        for name, value in iterate_fields(self):
            for text in value if isinstance(value, tuple) else (value,):
                if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
                    raise BadInput(f"{cls.kind}.{name}: {text!r:.80} holds half a character; write it anew")

    made.__init__ = __init__
    return made


def explain_error(cls: type, error: pydantic.ValidationError) -> str:
    """One line for each thing that is wrong: where, what would do, what was given."""
    lines = []
    for fault in error.errors():
        cause = fault.get("ctx", {}).get("error")
        where = ".".join([cls.kind, *(str(step) for step in fault["loc"])])
        if isinstance(cause, BadInput):
            message = str(cause)
        elif fault["type"] in ("unexpected_keyword_argument", "missing_argument", "missing"):
            new = FORMER_FIELDS.get(fault["loc"][-1])
            hint = f"; it is called {new!r} now" if new in cls.__pydantic_fields__ else ""
            message = f"is not a field of this recipe{hint}" if "unexpected" in fault["type"] else "is missing"
        else:
            message = f"{fault['msg'][0].lower()}{fault['msg'][1:]}; got {fault['input']!r:.80}"
        lines.append(f"{where}: {message}")
    return "; ".join(lines)


class Family(dict):
    """Things to choose among: `{kind: settings class}`. Used as `Annotated[Any, FAMILY]` it checks a field.

    With a `product`, a spec that yields one may stand in a member's place.
    """

    def __init__(self, noun: str, *members: type, product: type | None = None, name: str = "name") -> None:
        """`name`: the class variable with a member's display name."""
        super().__init__({member.kind: member for member in members})
        self.noun, self.product, self._name = noun, product, name

    __eq__ = object.__eq__  # two families are two, even with the same members: annotations that are equal are shared
    __hash__ = object.__hash__

    def read(self, value: Any) -> Any:
        """A member as it is, or made from `{"kind": …, fields …}` or from its kind alone."""
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
            raise BadInput(f"there is no {self.noun} of kind {kind!r}; there are {', '.join(self)}")
        return self[kind](**current_fields(fields, self[kind].__pydantic_fields__))

    def key_of(self, value: Any) -> str:
        """Under which key of the family a member stands."""
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
    """A recipe for one product. Subclasses are `@settings` classes with a `kind` and a `make`.

    `make(report, **parts)` gets the products of `parts()` by name; it yields a `product`.
    """

    kind: ClassVar[str]
    product: ClassVar[type]
    revision: ClassVar[int] = 1  # raised when the same fields come to mean other work
    effort: ClassVar[float] = 1.0  # share of the time left, relative to other specs
    tolerant: ClassVar[bool] = False  # whether it can do without a part: one that fails comes as `FailedPart`
    has_gradient: ClassVar[bool] = False  # whether influence can be taken of what it yields, a model
    repeatable: ClassVar[bool] = False  # whether it has a `seed`, and another one draws the same work again
    page: ClassVar[str] = "runs"  # the page that shows its product
    backbone: ClassVar[Any] = None  # what a training starts from: a field of those that start from a backbone
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
        """The same work with everything that is drawn by chance drawn from another seed; see `repeatable`."""
        if not self.repeatable:
            raise BadInput(f"{self.kind!r} cannot be repeated with another seed: nothing in it is drawn by chance")
        return dataclasses.replace(self, seed=seed)

    @property
    def split_parts(self) -> dict[str, "Spec"]:
        """Of a model: the tables that it learns from and is judged on (train, valid, test), where it names them."""
        return {}

    def with_digests(self) -> "Spec":
        """The same with the digests of the files it names, so that its key follows their content."""
        return self

    @property
    def called(self) -> str:
        """What the title of another spec calls it."""
        return self.title

    @property
    def page_owner(self) -> "Spec":
        """The spec on whose page its product is shown: its own, or that of the run it belongs to."""
        return self

    def cheap_parts(self) -> dict[str, "Spec"]:
        """What `validate_early` looks at before anything costly is made: cheap recipes, parts or parts of parts, by name."""
        return {}

    def validate_early(self, *_: Any, **products: Any) -> None:
        """Raises `BadInput` where the products of `cheap_parts` show already that `make` would."""

    def iterate_parts(self) -> list["Spec"]:
        """The specs of `parts` one after another, those of tuples among them."""

        def flat(part: Any) -> list[Spec]:
            return [one for inner in part for one in flat(inner)] if isinstance(part, tuple) else [part]

        return flat(tuple(self.parts().values()))

    def make(self, *report: Any, **parts: Any) -> Product:
        raise TypeError(f"{type(self).__name__} does not say how it is made")

    @functools.cached_property
    def text(self) -> str:
        """Canonical JSON."""
        return json.dumps(to_json(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @functools.cached_property
    def key(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """What a list of runs calls it."""
        return self.kind

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        if typing.get_origin(source) is not Spec:
            return handler(source)
        (product,) = typing.get_args(source)
        return core_schema.no_info_plain_validator_function(lambda value: read_spec(value, product))


def read_spec(value: Any, product: type | None = None) -> Spec:
    """A spec as it is, or made from `{"kind": …, fields …}`; `product` is what it has to yield, if that matters.

    Kinds and fields may have the names of earlier versions (`core.engine.former_names`).
    Raises `BadInput`; the kinds are known once `core.experiments` is imported.
    """
    if isinstance(value, Mapping):
        fields = dict(value)
        kind, revision = current_kind(fields.pop("kind", None), Spec.kinds), fields.pop("revision", None)
        if not isinstance(kind, str) or kind not in Spec.kinds:
            near = difflib.get_close_matches(kind, Spec.kinds, 3, cutoff=0.5) if isinstance(kind, str) else []
            raise BadInput(
                f"there is no recipe of kind {kind!r}; "
                f"{f'did you mean {_or(near)}?' if near else 'there are load, finetune, influence and others;'} "
                "`python -m core kinds` lists them all"
            )
        if revision not in (None, Spec.kinds[kind].revision):
            raise BadInput(
                f"{kind}: the recipe is of revision {revision}, this version makes {Spec.kinds[kind].revision}; "
                "start it anew, or take `revision` out of the recipe and run that"
            )
        value = Spec.kinds[kind](**current_fields(fields, Spec.kinds[kind].__pydantic_fields__))
    if not isinstance(value, Spec):
        raise BadInput(f"a recipe wants an object with a `kind`; got {value!r:.80}")
    if product is not None and not issubclass(value.product, product):
        raise BadInput(
            f"wants a recipe that yields a {product.__name__}; {value.kind!r} yields a {value.product.__name__}"
        )
    return value


def _or(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def read_spec_json(text: str) -> Spec:
    """A spec from its JSON. Raises `BadInput` with the place of the fault."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"this is no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    return read_spec(value)


def to_json(value: Any) -> Any:
    """Plain JSON of a spec, a member of a family, or what their fields hold."""
    if dataclasses.is_dataclass(value):
        head = {"kind": value.kind} | ({"revision": value.revision} if isinstance(value, Spec) else {})
        return head | {name: to_json(inner) for name, inner in iterate_fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_json(inner) for inner in value]
    return value


def iterate_fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of the fields of a spec or of a member of a family."""
    return ((name, getattr(value, name)) for name in field_names(value))


def field_names(cls: Any) -> list[str]:
    """The fields of a settings class in the order of a form: what is a class's own, then what is keyword-only.

    Keyword-only are the settings that several specs inherit; a dataclass lists those of a base before its own.
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
