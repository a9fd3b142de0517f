"""The command `audit`: errors of a table, and overlap with others, before a model is trained on it."""

import argparse
from typing import Any

from core.cli.command import QUEUE, READ, SOURCE_TABLE, TARGET, Argument, Command
from core.cli.reading import parse_load_fields
from core.cli.runner import find_entry, make_run, name_source
from core.engine.spec import BadInput


def audit(options: argparse.Namespace) -> Any:
    """Audit a table alone, against other tables, or against the training, validation and test set of a model."""
    from core.experiments import Audit, Load, audit_against_parts

    targets = tuple(options.target or ())
    other_targets = tuple(options.against_target or targets)
    if len(other_targets) != len(targets):
        raise BadInput(
            f"--target names {len(targets)} columns, --against-target {len(other_targets)}; name one for each"
        )
    if options.fit and options.against:
        raise BadInput("--fit and --against both say what to compare with; give one of them")
    fit = find_entry(options, options.fit).spec if options.fit else None
    if fit is not None and not fit.split_parts:
        raise BadInput(f"{options.fit} is a run of kind {fit.kind!r}; give the key of a fine-tuned model or a baseline")
    tasks = other_targets if fit is None else ()
    table = Load(name_source(options.table), targets=targets, tasks=tasks, **parse_load_fields(options.read))
    other_fields = parse_load_fields(options.against_read)
    others = tuple(Load(name_source(other), targets=other_targets, **other_fields) for other in options.against)
    spec = Audit(table, others) if fit is None else audit_against_parts(table, fit)
    description = make_run(spec, options)
    if options.json:
        return description
    findings = description["summary"]["findings"]
    lines = [
        f"{finding['level'].upper():<8} {finding['kind']}\n  {finding['said']}\n  {finding['means']}"
        for finding in findings
    ]
    return "\n".join([f"{description['key']}  {description['title']}", *lines])


COMMANDS = (
    Command(
        "audit",
        audit,
        "Check a table for errors, and for overlap, contradictions and shift against other tables",
        (
            SOURCE_TABLE,
            Argument(
                "--against",
                action="append",
                default=[],
                metavar="TABLE",
                help="a table that TABLE will be added to or tested with (repeatable)",
            ),
            Argument(
                "--fit",
                default="",
                metavar="KEY",
                help="a saved model, whose training, validation and test set TABLE is compared with",
            ),
            TARGET,
            Argument(
                "--against-target",
                action="append",
                metavar="COLUMN",
                help="column with the other tables' measured values, if its name differs (repeatable)",
            ),
            READ,
            Argument(
                "--against-read",
                action="append",
                default=[],
                metavar="FIELD=VALUE",
                help="the same for the other tables (repeatable)",
            ),
            QUEUE,
        ),
    ),
)
