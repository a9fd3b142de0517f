"""The store, the job queue and the worker of this process, shared by every page and every visitor."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import streamlit as st

from core import experiments  # registers every kind of spec; imports no torch
from core.engine.job_queue import Job, JobQueue
from core.engine.make import make
from core.engine.process_pool import parse_workers
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput, Spec
from core.engine.store import Entry, Store
from core.engine.worker import Worker
from pages.base.text import escape_markdown


@dataclasses.dataclass(frozen=True)
class Service:
    store: Store
    queue: JobQueue
    worker: Worker


def cache_folder() -> Path:
    return Path(os.environ.get("MOLSWAY_CACHE", "cache")).resolve()


def get_service() -> Service:
    """The service of this process. `MOLSWAY_WORKERS` says how many processes train the arms of a study at once."""
    try:
        workers = parse_workers(os.environ.get("MOLSWAY_WORKERS", "1"))
    except BadInput as error:
        st.error(escape_markdown(f"MOLSWAY_WORKERS: {error}; restart without it, or set it to a number"))
        st.stop()
    return _service(str(cache_folder()), workers)


@st.cache_resource(show_spinner=False)
def _service(root: str, workers: int) -> Service:
    store, queue = Store(root), JobQueue(root)
    return Service(store, queue, Worker(queue, store, experiments.__name__, workers).start())


def load_product(entry: Entry) -> Any:
    """The product of an entry, read once. Shared between visitors: never change it. Raises `BadInput`."""
    return _product(str(get_service().store.root), entry.key, entry.made, _entry=entry)


@st.cache_resource(show_spinner=False, max_entries=48)
def _product(root: str, key: str, made: str, _entry: Entry) -> Any:
    return get_service().store.product(_entry)


def preview_product(spec: Spec) -> Any:
    """The product of a spec that is quick to make, such as a table; not saved. Raises `BadInput`."""
    spec = settle(spec)
    return _previewed(str(get_service().store.root), spec.key, _spec=spec)


@st.cache_resource(show_spinner=False, max_entries=16)
def _previewed(root: str, key: str, _spec: Spec) -> Any:
    store = get_service().store
    return store.get(_spec) if store.has(_spec) else _spec.make(Report(files=store.files))


def settle(spec: Spec) -> Spec:
    """The spec as it is made: with the digests of its files and backbones, which its key follows. Raises `BadInput`.

    Only the key of this spec is in the queue and the library. `find_run` and `find_job` ask by it. The spec of a saved
    run, or of a part of one, stays as it is.
    """
    if find_entry(spec.key) is not None:
        return spec
    return _settled(str(get_service().store.files), spec.text, _spec=spec)


@st.cache_resource(show_spinner=False, max_entries=256, ttl=60)  # reading large weights for a digest takes a second
def _settled(files: str, text: str, _spec: Spec) -> Spec:
    return experiments.import_files(_spec, Path(files))


def find_run(spec: Spec) -> Entry | None:
    """The finished run of a spec that a page builds, or that a saved run names as its part, or nothing."""
    try:
        return find_entry(settle(spec).key)
    except BadInput:  # a file that it names is missing
        return None


def find_job(spec: Spec) -> Job | None:
    """The job of a spec, or nothing."""
    try:
        return get_service().queue.job(settle(spec).key)
    except BadInput:
        return None


def make_and_save(spec: Spec) -> str:
    """Make what a quick spec yields here and save it; the key of the run. Raises `BadInput`."""
    spec = settle(spec)
    make(spec, get_service().store, SILENT_REPORT)
    return spec.key


def find_entry(key: str) -> Entry | None:
    """The entry with a key that an address or a run names, or nothing. Of a spec: `find_run`."""
    try:
        return get_service().store.find(key)
    except BadInput:
        return None


def submit(spec: Spec) -> str:
    """Put a spec into the queue; the key of its job. Raises `BadInput`."""
    return get_service().queue.submit(experiments.import_files(spec, get_service().store.files)).key
