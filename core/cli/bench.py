"""The command `bench`: benchmarks of speed, and long ones of accuracy on public tables."""

import argparse
from pathlib import Path
from typing import Any

from core.cli.command import Argument, Command
from core.cli.progress_bar import ProgressBar
from core.cli.runner import open_store
from core.engine.report import Report
from core.engine.spec import BadInput


def run_benchmarks(options: argparse.Namespace) -> Any:
    from core import bench

    if options.name in bench.LONG:
        return run_long(bench.LONG[options.name], options)
    return bench.run(options.name)


def run_long(benchmark: Any, options: argparse.Namespace) -> Any:
    """Run a benchmark of accuracy: all of it, or only the tables, splits and arms that the options name."""
    from core.engine.worker import own_cache
    from core.models.backbones import Pretrained

    selection: dict[str, Any] = {}
    for name, names in (("table", options.table), ("split", options.split), ("arm", options.arm)):
        choices = benchmark.CHOICES.get(name, ())
        for chosen in names or ():
            if chosen not in choices:
                hint = f"there are {', '.join(choices)}" if choices else "it has no such option"
                raise BadInput(f"there is no {name} {chosen!r} in this benchmark; {hint}")
        selection |= {f"{name}s": tuple(names)} if names else {}
    selection |= {"seeds": tuple(options.seeds)} if options.seeds else {}
    store = open_store(options)
    with own_cache(options.cache), ProgressBar() as bar:
        report = Report(bar, files=store.files, on_plan=bar.time_estimate.plan)
        backbone = Pretrained(options.backbone)
        rows = benchmark.run(store, report, options.data, backbone=backbone, show=bar.print_line, **selection)
    return benchmark.as_json(rows) if options.json else benchmark.as_text(rows)


COMMANDS = (
    Command(
        "bench",
        run_benchmarks,
        "Run the benchmarks: all of speed, or one by name (quality, label-noise, lds and intervals take hours)",
        (
            Argument("name", nargs="?", default="", metavar="NAME", help="a benchmark; without one, all of speed"),
            Argument("--data", type=Path, metavar="DIR", help="long ones: folder of the public tables"),
            Argument("--table", action="append", metavar="TABLE", help="long ones: only this table (repeatable)"),
            Argument("--split", action="append", metavar="SPLIT", help="long ones: only this split (repeatable)"),
            Argument("--arm", action="append", metavar="ARM", help="long ones: only this arm (repeatable)"),
            Argument(
                "--seeds", type=int, nargs="+", metavar="SEED", help="long ones: seeds of the splits and trainings"
            ),
            Argument(
                "--backbone",
                default="molsway-mini",
                metavar="NAME",
                help="long ones: name or folder of the checkpoint to fine-tune (default: molsway-mini)",
            ),
        ),
    ),
)
