"""Commands that describe what a spec can name: `kinds` (with fields), and `methods` (with parameter counts)."""

import argparse
import dataclasses
import types
import typing
from typing import Any

from core.cli.command import Argument, Command
from core.engine.form import describe_fields
from core.engine.spec import BadInput, Family, Spec, to_json


def select_kinds(options: argparse.Namespace) -> Any:
    schemas = describe_kinds()
    if not options.kind:
        return schemas
    chosen = {
        name: schema
        for name, schema in schemas.items()
        if options.kind in (name, name.split(":")[0], name.split(":")[-1])
    }
    if not chosen:
        raise BadInput(f"there is no kind {options.kind!r}; there are {', '.join(schemas)}")
    return chosen


def list_families() -> list[Family]:
    """The families whose members a spec can name."""
    from core.experiments.training.finetune import BACKBONES_OR_CHECKPOINTS
    from core.influence.solvers import SOLVERS
    from core.models.baselines import BASELINES
    from core.models.methods import METHODS
    from core.selection import SAMPLERS

    return [BACKBONES_OR_CHECKPOINTS, METHODS, BASELINES, SOLVERS, SAMPLERS]


def describe_kinds() -> dict[str, dict[str, Any]]:
    """The schema of every spec kind, by kind, and of every member of a family, by `noun:kind`."""
    import core.experiments  # noqa: F401  (registers every spec kind)

    specs = {
        kind: {"yields": cls.product.__name__, **summarise_settings(cls)} for kind, cls in sorted(Spec.kinds.items())
    }
    members = {
        f"{family.noun}:{kind}": {"name": family.name_of(kind), **summarise_settings(cls)}
        for family in list_families()
        for kind, cls in family.items()
    }
    return specs | members


def summarise_settings(cls: type) -> dict[str, Any]:
    """The first line of a settings class's docstring, and its fields with types, defaults, limits and help."""
    fields = {}
    for field in describe_fields(cls):
        about: dict[str, Any] = {"type": name_type(field.type), "help": field.help}
        if field.product:
            about["type"] = f"{'specs that yield' if field.many else 'a spec that yields'} {field.product.__name__}"
        if field.family:
            about["type"] = f"{'members' if field.many else 'a member'} of the family {field.family.noun!r}"
        if field.default is not dataclasses.MISSING:
            about["default"] = to_json(field.default)
        limits = {
            "least": field.least,
            "most": field.most,
            "choices": list(field.choices or field.family or ()) or None,
        }
        fields[field.name] = about | {name: value for name, value in limits.items() if value is not None}
    return {"help": (cls.__doc__ or "").strip().splitlines()[0], "fields": fields}


def name_type(hint: Any) -> str:
    """A type as a reader of JSON understands it: `whole number`, `list of texts` …"""
    plain = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null", Any: "any"}
    if hint in plain:
        return plain[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "choice"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(name_type(one) for one in inner)
    if origin is typing.Annotated:
        return name_type(inner[0])
    if origin is tuple and inner:
        return "list of " + name_type(inner[0])
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def count_method_parameters(options: argparse.Namespace) -> Any:
    import torch

    from core.models.backbones import Untrained
    from core.models.methods import METHODS
    from core.models.predictor import Predictor
    from core.training.loop import count_parameters

    costs = {}
    for kind, method in METHODS.items():
        with torch.device("meta"):
            predictor = Predictor(Untrained(options.backbone)(), ["label"], ["regression"])
            method()(predictor)
        costs[kind] = {"name": method.name, **count_parameters(predictor)}
    if options.json:
        return {"backbone": options.backbone, "methods": costs}
    rows = [
        f"{kind:<12} {one['name']:<20} {one['trainable']:>12,} of {one['parameters']:>12,}"
        f"  {100 * one['trainable_share']:8.4f} %"
        for kind, one in costs.items()
    ]
    return "\n".join(rows)


COMMANDS = (
    Command(
        "kinds",
        select_kinds,
        "Describe every spec kind and every member of a family, with fields, defaults and limits",
        (Argument("kind", nargs="?", metavar="KIND", help="one kind or family, such as finetune, lora or sampler"),),
    ),
    Command(
        "methods",
        count_method_parameters,
        "Count the parameters that each fine-tuning method trains",
        (
            Argument(
                "--backbone",
                default="molsway-mini",
                metavar="NAME",
                help="size of the backbone (default: molsway-mini)",
            ),
        ),
    ),
)
