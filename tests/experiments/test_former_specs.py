"""Specs of every kind and members of every family, as written by an earlier version, can be read."""

import json
from pathlib import Path

import pytest

import core.experiments  # noqa: F401  (registers the kinds)
from core.engine.former_names import current_kind
from core.engine.spec import Family, Spec, read_spec, to_json
from core.influence.solvers import SOLVERS
from core.models.baselines import BASELINES
from core.models.methods import METHODS
from core.selection import SAMPLERS

FORMER = json.loads((Path(__file__).parents[1] / "golden" / "former_specs.json").read_text("utf-8"))
FAMILIES = {"method": METHODS, "solver": SOLVERS, "sampler": SAMPLERS, "baseline": BASELINES}
MEMBERS = [(FAMILIES[noun], member) for noun, members in FORMER["members"].items() for member in members]


@pytest.mark.parametrize("former", FORMER["specs"], ids=lambda former: former["kind"])
def test_former_specs_are_read(former: dict) -> None:
    spec = read_spec(former)
    assert spec.kind == current_kind(former["kind"], Spec.kinds)
    assert read_spec(to_json(spec)) == spec


@pytest.mark.parametrize(("family", "former"), MEMBERS, ids=lambda one: one.get("kind", "of"))
def test_former_members_of_families_are_read(family: Family, former: dict) -> None:
    assert family.read(former).kind == current_kind(former["kind"], family)
