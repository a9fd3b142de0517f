"""The command `bench`: benchmarks of speed, and the long ones."""

import argparse
from pathlib import Path
from typing import Any

from core.cli.progress_bar import Bar
from core.cli.runs import opened
from core.engine.report import Report
from core.engine.spec import BadInput


def bench(options: argparse.Namespace) -> Any:
    from core import bench

    return _long(bench.long(options.name), options) if options.name in bench.LONG else bench.run(options.name)


def _long(asked_of: Any, options: argparse.Namespace) -> Any:
    """A benchmark of hours, all of it or what was asked for by --table, --split, --arm."""
    from core.engine.worker import own
    from core.models.backbones import Pretrained

    asked: dict[str, Any] = {}
    for name in ("table", "split", "arm"):
        values, given = asked_of.ASKED.get(name, ()), tuple(getattr(options, name) or ())
        if wrong := [one for one in given if one not in values]:
            there = f"there are {', '.join(values)}" if values else "it has none to choose among"
            raise BadInput(f"there is no {name} {wrong[0]!r} in this benchmark; {there}")
        asked |= {f"{name}s": given} if given else {}
    asked |= {"seeds": tuple(options.seeds)} if options.seeds else {}
    store = opened(options)
    with own(options.cache), Bar() as bar:
        report = Report(bar, files=store.files, planned=bar.pace.plan)
        rows = asked_of.run(store, report, options.data, backbone=Pretrained(options.backbone), show=bar.line, **asked)
    return asked_of.answer(rows) if options.json else asked_of.told(rows)


def add(command: Any) -> None:
    """The command, for the parser: `command(name, does, help)` gives its own."""
    bench_ = command(
        "bench",
        bench,
        "the benchmarks: how fast (ratios), and, each asked for by its name, quality, planted, foretelling and "
        "intervals (hours)",
    )
    bench_.add_argument("name", nargs="?", default="", metavar="NAME")
    bench_.add_argument("--data", type=Path, metavar="DIR", help="of the long ones: folder of the public tables")
    for name in ("table", "split", "arm"):
        bench_.add_argument(
            f"--{name}", action="append", metavar=name.upper(), help=f"of the long ones: this {name} (repeatable)"
        )
    bench_.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="of the long ones: splits and fits")
    bench_.add_argument(
        "--backbone",
        default="molsway-mini",
        metavar="NAME",
        help="of the long ones: another checkpoint in its place, by name or folder",
    )
