"""Molsway without a browser: `molsway COMMAND …`, or `python -m core COMMAND …`.

Exit status: 0 success, 2 bad input (one clear line on stderr), 1 a run that failed.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from core.cli import audit, bench, dashboard, kinds, pretrain, runs, specs, tables, validation
from core.cli.command import JSON, Argument, Command
from core.cli.output import print_answer
from core.engine.failures import explain_failure
from core.engine.files import is_access_denied, is_disk_full
from core.engine.report import Cancelled
from core.engine.spec import BadInput

CACHE = Argument(
    "--cache",
    type=Path,
    default=Path(os.environ.get("MOLSWAY_CACHE", "cache")),
    metavar="DIR",
    help="folder of the saved results (default: $MOLSWAY_CACHE, or cache/ in the current folder)",
)
GROUPS = (specs, runs, kinds, audit, tables, validation, pretrain, bench, dashboard)
COMMANDS = {command.name: command for group in GROUPS for command in group.COMMANDS}
RENAMED = {"recipe": "preset", "among": "pretraining-overlap", "verify": "lds", "suspects": "label-errors"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    cache: Path = CACHE.settings["default"]
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        refuse_old_name(words)
        options = build_parser().parse_args(words)
        cache = options.cache
        command: Command = options.command
        print_answer(command.answer(options), options.json)
        return 0
    except BadInput as error:
        print(f"molsway: {error}", file=sys.stderr)
        return 2
    except (Cancelled, KeyboardInterrupt):
        print("molsway: stopped; run the same command again to resume from the last checkpoint", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("MOLSWAY_TRACEBACK"):
            raise
        is_bug = not (is_disk_full(error) or is_access_denied(error))
        hint = " (set MOLSWAY_TRACEBACK=1 for the traceback)" if is_bug else ""
        print(f"molsway: {explain_failure(error, cache)}{hint}", file=sys.stderr)
        return 1 if is_bug else 2


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="molsway", description=(__doc__ or "").splitlines()[0])
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS.values():
        subparser = subparsers.add_parser(command.name, help=command.help, description=f"{command.help}.")
        for argument in (*command.arguments, JSON, CACHE):
            subparser.add_argument(*argument.names, **argument.settings)
        subparser.set_defaults(command=command)
    return parser


def refuse_old_name(words: Sequence[str]) -> None:
    """Raises `BadInput` for a former name of a command; no parser has it, so that no list of choices does."""
    if words and words[0] in RENAMED:
        name = RENAMED[words[0]]
        raise BadInput(f"the command {words[0]!r} is now called {name!r}; run `molsway {name} --help`")
