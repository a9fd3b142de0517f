"""What `python -m core kinds` tells: each kind of recipe and member of a family, with fields, limits and help."""

import argparse
from typing import Any

from core.engine import spec as recipes
from core.engine.form import form
from core.engine.spec import BadInput, Spec


def kinds(options: argparse.Namespace) -> Any:
    import core.experiments  # noqa: F401
    from core.experiments.training.finetune import STARTS
    from core.influence.solvers import SOLVERS
    from core.models.baselines import LEARNERS
    from core.models.methods import METHODS
    from core.selection import SAMPLERS

    families = {"backbone": STARTS, "method": METHODS, "solver": SOLVERS, "sampler": SAMPLERS, "learner": LEARNERS}
    found = {kind: {"yields": made.product.__name__, **_schema(made)} for kind, made in sorted(Spec.kinds.items())}
    found |= {
        f"{noun}:{kind}": {"name": family.name_of(kind), **_schema(member)}
        for noun, family in families.items()
        for kind, member in family.items()
    }
    if not options.kind:
        return found
    chosen = {
        name: value for name, value in found.items() if options.kind in (name, name.split(":")[0], name.split(":")[-1])
    }
    if not chosen:
        raise BadInput(f"there is no kind {options.kind!r}; there are {', '.join(found)}")
    return chosen


def _schema(made: type) -> dict[str, Any]:
    import dataclasses

    fields = {}
    for field in form(made):
        wanted = f"a recipe that yields a {field.product.__name__}" if field.product else _type_name(field.type)
        if field.family:
            wanted = f"{'some' if field.many else 'one'} of the family “{field.family.noun}”"
        about = {"type": wanted, "help": field.help}
        if field.default is not dataclasses.MISSING:
            about["default"] = recipes.as_json(field.default)
        limits = {
            "least": field.least,
            "most": field.most,
            "choices": list(field.choices or field.family or ()) or None,
        }
        fields[field.name] = about | {name: value for name, value in limits.items() if value is not None}
    return {"help": (made.__doc__ or "").strip().splitlines()[0], "fields": fields}


def _type_name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
