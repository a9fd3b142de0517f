"""The list of commands: each is in one group's file, and an option that several have is one value."""

import pytest

from core.cli.command import Command
from core.cli.parser import COMMANDS, GROUPS, RENAMED


def test_no_name_is_given_twice() -> None:
    names = [command.name for group in GROUPS for command in group.COMMANDS]
    assert len(names) == len(set(names)) and not set(names) & set(RENAMED)
    assert set(RENAMED.values()) <= set(names)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_every_argument_has_help(command: Command) -> None:
    assert command.help and not command.help.endswith(".")
    assert [one.names[0] for one in command.arguments if not one.settings.get("help")] == []


def test_an_option_that_means_the_same_is_declared_once() -> None:
    declared: dict[tuple[str, str], set[int]] = {}
    for command in COMMANDS.values():
        for argument in command.arguments:
            declared.setdefault((argument.names[0], argument.settings["help"]), set()).add(id(argument))
    assert [text for text, objects in declared.items() if len(objects) > 1] == []
