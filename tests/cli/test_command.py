"""The list of commands: names are unique, every argument has help, shared options are declared once."""

import pytest

from core.cli.command import Command
from core.cli.parser import COMMANDS, GROUPS, RENAMED, main


def test_names_are_unique() -> None:
    names = [command.name for group in GROUPS for command in group.COMMANDS]
    assert len(names) == len(set(names)) and not set(names) & set(RENAMED)
    assert set(RENAMED.values()) <= set(names)


def test_former_names_are_in_no_list_of_choices(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["no-such-command"], ["--help"]):
        with pytest.raises(SystemExit):
            main(words)
        out, err = capsys.readouterr()
        assert "usage: molsway" in out + err and "pretraining-overlap" in out + err
        assert not any(f"{name!r}" in out + err or f"  {name} " in out + err for name in RENAMED)
    for name, new in RENAMED.items():
        assert main([name, "--anything", "here"]) == 2
        assert f"the command {name!r} is now called {new!r}" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_every_argument_has_help(command: Command) -> None:
    assert command.help and not command.help.endswith(".")
    assert [argument.names[0] for argument in command.arguments if not argument.settings.get("help")] == []


def test_shared_options_are_declared_once() -> None:
    declared: dict[tuple[str, str], set[int]] = {}
    for command in COMMANDS.values():
        for argument in command.arguments:
            declared.setdefault((argument.names[0], argument.settings["help"]), set()).add(id(argument))
    assert [text for text, objects in declared.items() if len(objects) > 1] == []
