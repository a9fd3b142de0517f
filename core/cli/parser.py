"""The same recipes without a browser: `python -m core …`.

Exit status: 0 done, 2 bad input (one clear line on stderr), 1 a run that failed.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.cli import audit, bench, pretrain, tables
from core.cli import kinds as schema
from core.cli import runs as commands
from core.engine.failures import explained
from core.engine.files import is_closed, is_full, plain
from core.engine.report import Cancelled
from core.engine.spec import BadInput

CACHE = Path(os.environ.get("MOLSWAY_CACHE", "cache"))


def main(arguments: list[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        say(options.command(options), options.json)
        return 0
    except BadInput as error:
        print(f"molsway: {error}", file=sys.stderr)
        return 2
    except (Cancelled, KeyboardInterrupt):
        print("molsway: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our words has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("MOLSWAY_TRACEBACK"):
            raise
        ours = not (is_full(error) or is_closed(error))
        hint = " (MOLSWAY_TRACEBACK=1 shows where)" if ours else ""
        print(f"molsway: {explained(error, options.cache)}{hint}", file=sys.stderr)
        return 1 if ours else 2


def say(answer: Any, as_json: bool) -> None:
    """One JSON document, or a plain listing, on stdout."""
    if as_json:
        print(json.dumps(plain(answer), indent=1, ensure_ascii=False, allow_nan=False), flush=True)
    elif answer is not None:
        print(answer if isinstance(answer, str) else readable(answer), flush=True)


def parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else there")
    shared.add_argument(
        "--cache", type=Path, default=CACHE, metavar="DIR", help="where runs are kept (default: cache/)"
    )
    top = argparse.ArgumentParser(prog="python -m core", description=__doc__.splitlines()[0])
    choice = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: Callable[[argparse.Namespace], Any], help: str) -> argparse.ArgumentParser:
        added = choice.add_parser(name, parents=[shared], help=help, description=help)
        added.set_defaults(command=does)
        return added

    run_ = command("run", commands.run, "make a recipe: a JSON file, - for stdin, or the name of a preset such as demo")
    run_.add_argument("spec", metavar="SPEC")
    run_.add_argument("--queue", action="store_true", help="join the line of the process that owns the cache, and wait")
    show_ = command("show", commands.show, "what the store has under a key (its first letters do)")
    show_.add_argument("key", metavar="KEY")
    command("list", commands.list_, "what the store has, newest first")
    export_ = command("export", commands.export, "copy a run to a folder")
    export_.add_argument("key", metavar="KEY")
    export_.add_argument("folder", type=Path, metavar="DIR")
    export_.add_argument(
        "--as",
        dest="form",
        choices=("run", "adapter", "merged", "report"),
        default="run",
        help="all its files; of a fine-tuning the peft adapter, or the backbone with everything merged in; of a study "
        "its page as one HTML file",
    )
    delete_ = command("delete", commands.delete, "delete a run")
    delete_.add_argument("key", metavar="KEY")
    kinds_ = command("kinds", schema.kinds, "every kind, family and member: the schema of recipes")
    kinds_.add_argument("kind", nargs="?", metavar="KIND")
    recipe_ = command("recipe", commands.recipe, "print the JSON of a preset, to change and run")
    recipe_.add_argument("name", metavar="PRESET")
    for of_preset in (run_, recipe_):
        of_preset.add_argument("--seed", type=int, default=None, help="seed of a preset (0 by default)")
        of_preset.add_argument("--table", default="", help="table of a preset: a file, or bundled:NAME, hub:NAME")
        of_preset.add_argument(
            "--data", default="", metavar="DIR", help="folder with the files of a mixture, for toymix"
        )
        of_preset.add_argument("--target", action="append", metavar="COLUMN", help="column of its labels (repeatable)")
        of_preset.add_argument("--unit", default="", help="unit of its labels")
        of_preset.add_argument("--pool", default="", help="molecules to choose among, for influence and selection")
        of_preset.add_argument(
            "--pool-target",
            action="append",
            metavar="COLUMN",
            help="column of the pool's labels, if it is not called as the table's (repeatable)",
        )
    audit.add(command)
    methods_ = command("methods", commands.methods, "parameters that each method trains")
    methods_.add_argument("--backbone", default="molsway-mini", metavar="NAME")
    for name, does, help in (
        ("score", tables.score, "score every row of a table with a finished influence run"),
        ("predict", tables.predict, "predict every row of a table with a finished fit or trunk"),
    ):
        added = command(name, does, help)
        added.add_argument("key", metavar="KEY")
        added.add_argument("table", metavar="TABLE", help="CSV, TSV, Excel (book.xlsx#sheet), Parquet, SDF or SMI")
        added.add_argument("--out", type=Path, required=True, metavar="FILE", help="CSV or Parquet to write")
        added.add_argument("--smiles", default="", metavar="COLUMN", help="column of the SMILES (guessed by default)")
        if name == "predict":
            added.add_argument(
                "--level", type=float, default=0.9, metavar="P", help="share that the intervals of a fit hold (0.9)"
            )
        if name == "score":
            added.add_argument(
                "--labels", default="", metavar="COLUMN", help="column of the labels (the task's name by default)"
            )
            added.add_argument(
                "--top",
                type=int,
                default=5,
                metavar="K",
                help="how many of the most helpful and most harmful are named (5 by default)",
            )
    embed_ = command("embed", tables.embed, "embeddings of every molecule of a table")
    embed_.add_argument(
        "start", metavar="KEY", help="of a fit, an adaptation or a trunk; or a checkpoint's name, folder"
    )
    embed_.add_argument("table", metavar="TABLE", help="CSV, TSV, Excel (book.xlsx#sheet), Parquet, SDF or SMI")
    embed_.add_argument("--out", type=Path, required=True, metavar="FILE", help="CSV or Parquet to write")
    embed_.add_argument("--smiles", default="", metavar="COLUMN", help="column of the SMILES (guessed by default)")
    verify_ = command("verify", commands.verify, "put finished scores to the test: train again with random halves")
    verify_.add_argument("key", metavar="KEY")
    verify_.add_argument("--subsets", type=int, default=32, metavar="N", help="trainings, each with its own half")
    verify_.add_argument("--seed", type=int, default=0, help="of the halves")
    verify_.add_argument(
        "--queue", action="store_true", help="join the line of the process that owns the cache, and wait"
    )
    suspects_ = command("suspects", commands.suspects, "training labels of a fine-tuning that look wrong")
    suspects_.add_argument("key", metavar="KEY")
    suspects_.add_argument("--show", type=int, default=12, metavar="N", help="how many to print, the furthest first")
    suspects_.add_argument(
        "--queue", action="store_true", help="join the line of the process that owns the cache, and wait"
    )
    pretrain.add(command)
    worker_ = command("worker", commands.worker, "work the line without a browser, until Ctrl-C")
    for able in (run_, worker_):
        able.add_argument(
            "--workers", default="1", metavar="N", help="processes that make the trainings of a study at once"
        )
    bench.add(command)
    return top


def readable(answer: Any, depth: int = 0) -> str:
    """A plain listing of nested values."""
    pad = "  " * depth
    if isinstance(answer, dict):
        lines = [
            f"{pad}{name}: {readable(value, 0)}"
            if not isinstance(value, (dict, list)) or not value
            else f"{pad}{name}:\n{readable(value, depth + 1)}"
            for name, value in answer.items()
        ]
        return "\n".join(lines)
    if isinstance(answer, list):
        if all(not isinstance(value, (dict, list)) for value in answer):
            return pad + ", ".join(readable(value) for value in answer)
        return "\n".join(f"{pad}- {readable(value, depth + 1).lstrip()}" for value in answer)
    return f"{pad}{answer:.6g}" if isinstance(answer, float) else f"{pad}{answer}"
