"""Commands about specs: `run` makes one, `preset` prints that of a preset."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from core.cli.command import QUEUE, TABLE_SOURCE, TARGET, WORKERS, Argument, Command
from core.cli.reading import parse_load_fields
from core.cli.runner import make_run, name_source
from core.engine.spec import BadInput, Spec, read_spec_json, to_json

PRESET_OPTIONS = (
    Argument("--seed", type=int, help="random seed of the preset (default: 0)"),
    Argument("--table", metavar="TABLE", help=f"table of the preset: {TABLE_SOURCE}"),
    TARGET,
    Argument("--unit", default="", help="unit of the measured values"),
    Argument(
        "--read",
        action="append",
        metavar="FIELD=VALUE",
        help="how --table is read where it does not prove it: decimal=comma, missing=-999, classes=inactive,active, "
        "header=3 … (repeatable; fields of `kinds load`)",
    ),
    Argument("--pool-read", action="append", metavar="FIELD=VALUE", help="the same for --pool (repeatable)"),
    Argument("--pool", metavar="TABLE", help="candidate compounds, for the presets that score or select them"),
    Argument(
        "--pool-target",
        action="append",
        metavar="COLUMN",
        help="column with the pool's measured values, if its name differs from --target (repeatable)",
    ),
    Argument(
        "--data", metavar="DIR", help="folder with the files of ToyMix or LargeMix, for the presets that read them"
    ),
)


def run(options: argparse.Namespace) -> Any:
    from core.experiments import PRESETS
    from core.experiments.presets import RENAMED

    if options.spec in PRESETS or options.spec in RENAMED:
        spec = read_preset(options.spec, options)
    else:
        refuse_preset_options(options)
        spec = read_spec_json(read_text(Path(options.spec)))
    return make_run(spec, options, options.workers)


def print_preset(options: argparse.Namespace) -> Any:
    if not options.name:
        return list_presets(options)
    value = to_json(read_preset(options.name, options))
    return value if options.json else json.dumps(value, indent=1, ensure_ascii=False)


def list_presets(options: argparse.Namespace) -> Any:
    from core.experiments import PRESETS
    from core.experiments.presets import describe_preset

    texts = {name: describe_preset(name) for name in PRESETS}
    return texts if options.json else "\n".join(f"{name:<18} {text}" for name, text in texts.items())


def read_preset(name: str, options: argparse.Namespace) -> Spec:
    """The spec of a preset, with the tables that the options name."""
    from core.experiments import build_preset

    return build_preset(name, options.seed or 0, *read_tables(options), options.data or "")


def read_tables(options: argparse.Namespace) -> tuple[Spec | None, Spec | None]:
    """The table and the pool that the options name, for a preset."""
    from core.experiments import Load

    targets = tuple(options.target or ())
    if not options.table and (targets or options.unit or options.read):
        raise BadInput("--target, --unit and --read describe a --table; give --table as well")
    if (options.pool_target or options.pool_read) and not options.pool:
        raise BadInput("--pool-target and --pool-read describe a --pool; give --pool as well")
    if options.pool and options.table and not targets:
        raise BadInput("a --pool needs --target, the column of the --table whose values both tables have")
    pool_targets = tuple(options.pool_target or targets)
    if len(pool_targets) != len(targets):
        raise BadInput(
            f"the table has {len(targets)} targets, the pool {len(pool_targets)}; give --pool-target for each"
        )
    fields, pool_fields = parse_load_fields(options.read or ()), parse_load_fields(options.pool_read or ())
    unit = {"unit": options.unit}
    table = Load(name_source(options.table), targets=targets, **unit | fields) if options.table else None
    if not options.pool:
        return table, None
    return table, Load(name_source(options.pool), targets=pool_targets, tasks=targets, **unit | pool_fields)


def refuse_preset_options(options: argparse.Namespace) -> None:
    """Raises `BadInput` if an option of presets was given for a spec, which names its own tables and seeds."""
    from core.experiments import PRESETS

    for argument in PRESET_OPTIONS:
        if vars(options)[argument.dest] not in (None, ""):
            raise BadInput(
                f"{argument.names[0]} is for presets ({', '.join(PRESETS)}); change seeds and tables in the spec itself"
            )


def read_text(path: Path) -> str:
    """The text of a file, or of the standard input for `-`. Raises `BadInput`."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        from core.experiments import PRESETS

        raise BadInput(
            f"no spec can be read from {path} ({error.__class__.__name__}); give a JSON file, - for stdin, "
            f"or a preset: {', '.join(PRESETS)}"
        ) from None


COMMANDS = (
    Command(
        "run",
        run,
        "Make a spec and print the summary of the run",
        (
            Argument("spec", metavar="SPEC", help="a JSON file, - for stdin, or the name of a preset such as demo"),
            *PRESET_OPTIONS,
            QUEUE,
            WORKERS,
        ),
    ),
    Command(
        "preset",
        print_preset,
        "Print the spec of a preset as JSON, to change and run; without a name, list the presets",
        (
            Argument("name", nargs="?", default="", metavar="PRESET", help="a preset; without one, all are listed"),
            *PRESET_OPTIONS,
        ),
    ),
)
