"""The command `audit`: what is wrong with a table, before anything is learned from it."""

import argparse
from typing import Any

from core.cli.runs import kept, made, source_of
from core.engine.spec import BadInput


def audit(options: argparse.Namespace) -> Any:
    """What is wrong with a table, alone, beside others, or beside the parts of a fit."""
    from core.experiments import Audit, Load, beside_parts

    targets = tuple(options.target or ())
    theirs = tuple(options.against_target or targets)
    if len(theirs) != len(targets):
        raise BadInput(f"--target names {len(targets)} columns, --against-target {len(theirs)}; name one for each")
    if options.fit and options.against:
        raise BadInput("--fit and --against are two ways to say beside what; give one")
    fit = kept(options, options.fit).spec if options.fit else None
    if fit is not None and not fit.split_parts:
        raise BadInput(f"{options.fit} is a run of kind {fit.kind!r}; give the key of a fit")
    tasks = theirs if fit is None else ()
    table = Load(source_of(options.table), targets=targets, tasks=tasks)
    others = tuple(Load(source_of(one), targets=theirs) for one in options.against)
    recipe = Audit(table, others) if fit is None else beside_parts(table, fit)
    answer = made(recipe, options)
    if options.json:
        return answer
    found = answer["summary"]["findings"]
    lines = [f"{one['level'].upper():<8} {one['kind']}\n  {one['said']}\n  {one['means']}" for one in found]
    return "\n".join([f"{answer['key']}  {answer['title']}", *lines])


def add(command: Any) -> None:
    """The command, for the parser: `command(name, does, help)` gives its own."""
    audit_ = command("audit", audit, "what is wrong with a table, alone or as a pool beside others")
    audit_.add_argument("table", metavar="TABLE", help="a file, or bundled:NAME, hub:NAME")
    audit_.add_argument(
        "--against", action="append", default=[], metavar="TABLE", help="a table it is to join (repeatable)"
    )
    audit_.add_argument(
        "--fit", default="", metavar="KEY", help="a fit whose training, validation and test part it is beside"
    )
    audit_.add_argument("--target", action="append", metavar="COLUMN", help="column of its labels (repeatable)")
    audit_.add_argument(
        "--against-target", action="append", metavar="COLUMN", help="column of the others' labels, if called otherwise"
    )
    audit_.add_argument(
        "--queue", action="store_true", help="join the line of the process that owns the cache, and wait"
    )
