"""Commands about saved runs: show, list, export and delete them; and `worker`, which works on the job queue."""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from core.cli.command import KEY, WORKERS, Argument, Command
from core.cli.runner import describe_run, open_store
from core.engine.spec import BadInput


def show(options: argparse.Namespace) -> Any:
    store = open_store(options)
    entry = store.find(options.key)
    entry.check_current()
    return describe_run(store, entry.spec, options.json) | {"integrity": entry.integrity}


def list_runs(options: argparse.Namespace) -> Any:
    entries = open_store(options).entries()
    if options.json:
        names = ("kind", "key", "title", "headline", "made", "seconds", "bytes", "integrity", "damaged")
        return [{name: getattr(entry, name) for name in names} for entry in entries]
    lines = [
        f"{e.key}  {e.kind:<16} {e.made:<26} {e.seconds:8.1f} s {e.bytes / 1e6:9.2f} MB  {e.title}  ({e.headline})"
        + ("" if e.integrity == "checked" else f"  {e.integrity}")
        for e in entries
    ]
    return "\n".join(lines) or "no runs are saved here yet; try: molsway run demo"


def export(options: argparse.Namespace) -> Any:
    store = open_store(options)
    entry = store.find(options.key)
    if options.form == "run":
        store.export(entry.key, options.folder)
    elif options.form == "report":
        from core.figures.html_report import render_report
        from core.results.comparison import Comparison

        comparison = store.product(entry)
        if not isinstance(comparison, Comparison):
            raise BadInput(
                f"{entry.key} is a run of kind {entry.kind!r}; a report needs the key of a study, which compares arms"
            )
        with store.export_folder(options.folder) as folder:
            (folder / "report.html").write_text(render_report(comparison, entry.spec, entry.made), encoding="utf-8")
    else:
        fit = read_fit(entry, store)
        from core.models import export as model_export

        with store.export_folder(options.folder) as folder:
            model_export.export(fit, options.form, folder, entry.title)
    return {"key": entry.key, "kind": entry.kind, "folder": str(options.folder)}


def read_fit(entry: Any, store: Any) -> Any:
    """The fit of a run. Raises `BadInput` where the run yields something else."""
    from core.results.fit import Fit

    fit = store.product(entry)
    if not isinstance(fit, Fit):
        raise BadInput(
            f"{entry.key} is a run of kind {entry.kind!r}, which has no network; give the key of a fine-tuning"
        )
    return fit


def delete(options: argparse.Namespace) -> Any:
    store = open_store(options)
    entry = store.find(options.key)
    store.delete(entry.key)
    return {"deleted": entry.key, "kind": entry.kind}


def work(options: argparse.Namespace) -> Any:
    """Work on the queue until Ctrl-C."""
    from core import experiments
    from core.engine.job_queue import JobQueue
    from core.engine.process_pool import parse_workers
    from core.engine.store import Store
    from core.engine.worker import Worker

    worker = Worker(JobQueue(options.cache), Store(options.cache), experiments.__name__, parse_workers(options.workers))
    worker.start()
    print(f"working on the job queue of {options.cache}; Ctrl-C stops after a checkpoint", file=sys.stderr)
    try:
        while True:
            time.sleep(1)
    finally:
        worker.stop()


COMMANDS = (
    Command("show", show, "Show what a saved run holds", (KEY,)),
    Command("list", list_runs, "List the saved runs, newest first"),
    Command(
        "export",
        export,
        "Copy a run, a model or a report to a new folder",
        (
            KEY,
            Argument("folder", type=Path, metavar="DIR", help="a new folder"),
            Argument(
                "--as",
                dest="form",
                choices=("run", "adapter", "merged", "report"),
                default="run",
                help="run: all files of the run (default); adapter, merged: of a fine-tuning, the peft adapter, or the "
                "backbone with all changes merged in; report: of a study, one HTML file with its charts",
            ),
        ),
    ),
    Command("delete", delete, "Delete a saved run", (KEY,)),
    Command("worker", work, "Work on the job queue without a browser, until Ctrl-C", (WORKERS,)),
)
