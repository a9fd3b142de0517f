"""The command `kinds`: every member of a family has a name, a sentence, and help for each field."""

import argparse

import pytest

from core.cli.kinds import select_kinds
from core.engine.form import describe_fields
from core.experiments import SelectionStudy
from core.experiments.studies.arms import ARMS
from core.selection import SAMPLERS

MEMBERS = {kind: about for kind, about in select_kinds(argparse.Namespace(kind="")).items() if ":" in kind}


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_has_a_name_a_sentence_and_help_for_its_fields(member: str) -> None:
    about = MEMBERS[member]
    assert about["name"].strip() and about["help"].endswith((".", ":"))
    assert all(field["help"] for field in about["fields"].values())


def test_names_are_unique_in_their_family() -> None:
    named: dict[str, list[str]] = {}
    for member, about in MEMBERS.items():
        named.setdefault(member.partition(":")[0], []).append(about["name"])
    assert {"backbone", "method", "solver", "sampler"} <= set(named)
    assert all(len(set(names)) == len(names) for names in named.values())


def test_a_listed_sampler_is_a_choice_of_every_selection_study() -> None:
    choices = select_kinds(argparse.Namespace(kind="selection-study"))["selection-study"]["fields"]["arms"]["choices"]
    (arms,) = (field for field in describe_fields(SelectionStudy) if field.name == "arms")
    assert choices == list(ARMS) == list(arms.family)
    for kind, sampler in SAMPLERS.items():
        assert kind in choices or set(sampler.variants) & set(choices)
