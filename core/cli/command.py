"""A command as a value (name, help, arguments, function), and the arguments that several commands share."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TABLE_FILE = "CSV, TSV, Excel (book.xlsx#sheet), Parquet, SDF or SMI file"
TABLE_SOURCE = "a file, or bundled:NAME, hub:NAME"


class Argument:
    """One argument of a command, as `ArgumentParser.add_argument` takes it."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self.names, self.settings = names, settings

    @property
    def dest(self) -> str:
        """The attribute of the parsed options that holds its value."""
        return self.settings.get("dest") or self.names[0].lstrip("-").replace("-", "_")


@dataclass(frozen=True)
class Command:
    """`answer(options)` returns plain JSON, or text to print; `help` is one sentence without a full stop."""

    name: str
    answer: Callable[[argparse.Namespace], Any]
    help: str
    arguments: Sequence[Argument] = ()


def select_values(options: argparse.Namespace, arguments: Sequence[Argument]) -> dict[str, Any]:
    """The values of the arguments that were given (the others are None), by attribute."""
    values = vars(options)
    return {argument.dest: values[argument.dest] for argument in arguments if values[argument.dest] is not None}


# Of every command.
JSON = Argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")

# Of several commands.
KEY = Argument("key", metavar="KEY", help="key of a run, or its first digits (see `list`)")
QUEUE = Argument(
    "--queue",
    action="store_true",
    help="add the job to the queue of this cache, which a dashboard or worker works on, and wait until it has ended",
)
WORKERS = Argument(
    "--workers", default="1", metavar="N", help="processes that train the models of a study in parallel (default: 1)"
)
INPUT_TABLE = Argument("table", metavar="TABLE", help=TABLE_FILE)
OUT_FILE = Argument("--out", type=Path, required=True, metavar="FILE", help="CSV or Parquet file to write")
SOURCE_TABLE = Argument("table", metavar="TABLE", help=TABLE_SOURCE)
TARGET = Argument("--target", action="append", metavar="COLUMN", help="column with the measured values (repeatable)")
READ = Argument(
    "--read",
    action="append",
    default=[],
    metavar="FIELD=VALUE",
    help="how the file is read where it does not prove it: decimal=comma, missing=-999, classes=inactive,active, "
    "header=3, delimiter=tab … (repeatable; fields of `kinds load`)",
)
SMILES = Argument("--smiles", default="", metavar="COLUMN", help="column with the SMILES (default: detected)")
