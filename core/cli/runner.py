"""Make specs and read runs for commands: in the library of `--cache`, or through its job queue."""

import argparse
import contextlib
import sys
import time
from typing import Any

from core.cli.progress_bar import ProgressBar
from core.engine.report import Report
from core.engine.spec import BadInput, Spec
from core.engine.store import Store


def open_store(options: argparse.Namespace) -> Store:
    import core.experiments  # noqa: F401  (registers every spec kind, so that runs can be read)

    return Store(options.cache)


def find_entry(options: argparse.Namespace, key: str) -> Any:
    """The run whose key is `key` or begins with it. Raises `BadInput`."""
    return open_store(options).find(key)


def name_source(table: str) -> str:
    """`bundled:NAME` and `hub:NAME` as they are, a path as `file:PATH`."""
    return table if table.startswith(("bundled:", "hub:", "file:")) else f"file:{table}"


def make_run(spec: Spec, options: argparse.Namespace, workers: str = "1") -> dict[str, Any]:
    """Make a spec in this process, or with `--queue` in the one that works on the queue; describes the run."""
    from core import experiments
    from core.engine.job_queue import JobQueue
    from core.engine.process_pool import make_parallel, parse_workers
    from core.engine.worker import own_cache

    count = parse_workers(workers)
    if options.queue and count > 1:
        raise BadInput("--queue leaves the work to the process that owns the queue; leave --workers out")
    store = Store(options.cache)
    spec = experiments.import_files(spec, store.files)
    if not store.has(spec):
        if options.queue:
            wait_for_job(JobQueue(options.cache), spec)
        else:
            with own_cache(options.cache), ProgressBar() as bar:
                report = Report(bar, files=store.files, on_plan=bar.time_estimate.plan)
                make_parallel(spec, store, report, count, experiments.__name__)
    return describe_run(store, spec, options.json)


def describe_run(store: Store, spec: Spec, as_json: bool) -> dict[str, Any]:
    """Kind, key, folder, title and summary of a run. As text, a tabular result is shown in place of the summary."""
    from core.results.tabular import TabularResult

    product = store.get(spec)
    head = {"kind": spec.kind, "key": spec.key, "folder": str(store.folder(spec)), "title": spec.title}
    if not as_json and isinstance(product, TabularResult) and (text := product.text()):
        return head | {"result": "\n" + text}
    return head | {"summary": product.summary()}


def wait_for_job(queue: Any, spec: Spec) -> None:
    """Add a job to the queue and wait until it has ended. Raises `RuntimeError` unless it is done."""
    from core.engine.worker import CacheInUse, own_cache

    job = queue.submit(spec)
    with contextlib.suppress(CacheInUse), own_cache(queue.root):
        print(
            "no process works on this queue yet; start the dashboard, or `molsway worker` in another terminal",
            file=sys.stderr,
        )
    with ProgressBar() as bar:
        while job and job.is_active:
            bar.show(job.fraction, job.message or job.state, job.eta)
            time.sleep(0.3)
            job = queue.job(spec.key)
    if job is None:
        raise RuntimeError("the job was cancelled and removed from the queue")
    if job.state == "failed":
        raise RuntimeError(f"the job failed: {job.error or 'see the page Runs for its traceback'}")
    if job.state != "done":
        raise RuntimeError(f"the job was {job.state}; run the same command again to resume it")
