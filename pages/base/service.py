"""The one store, the one line and the one worker of this process, shared by every page and every visitor."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import streamlit as st

from core import experiments  # makes every kind of recipe known; imports no torch
from core.engine.job_queue import Line
from core.engine.make import make
from core.engine.process_pool import several
from core.engine.report import SILENT, Report
from core.engine.spec import BadInput, Spec
from core.engine.store import Entry, Store
from core.engine.worker import Worker
from pages.base.text import plain


@dataclasses.dataclass(frozen=True)
class Service:
    store: Store
    line: Line
    worker: Worker


def cache_folder() -> Path:
    return Path(os.environ.get("MOLSWAY_CACHE", "cache")).resolve()


def service() -> Service:
    """The service of this process. `MOLSWAY_WORKERS` says how many processes make the trainings of a study at once."""
    try:
        workers = several(os.environ.get("MOLSWAY_WORKERS", "1"))
    except BadInput as error:
        st.error(plain(f"MOLSWAY_WORKERS: {error}; start anew without it, or with a number"))
        st.stop()
    return _service(str(cache_folder()), workers)


@st.cache_resource(show_spinner=False)
def _service(root: str, workers: int) -> Service:
    store, line = Store(root), Line(root)
    return Service(store, line, Worker(line, store, experiments.__name__, workers).start())


def product(entry: Entry) -> Any:
    """What the store has of an entry, read once. Shared between visitors: never change it. Raises `BadInput`."""
    return _product(str(service().store.root), entry.key, entry.made, _entry=entry)


@st.cache_resource(show_spinner=False, max_entries=48)
def _product(root: str, key: str, made: str, _entry: Entry) -> Any:
    return service().store.product(_entry)


def previewed(spec: Spec) -> Any:
    """The product of a recipe that is quick to make, such as a table; not kept in the store. Raises `BadInput`."""
    return _previewed(str(service().store.root), spec.key, _spec=spec)


@st.cache_resource(show_spinner=False, max_entries=16)
def _previewed(root: str, key: str, _spec: Spec) -> Any:
    found = service().store
    return found.get(_spec) if found.has(_spec) else _spec.make(Report(files=found.files))


def keep(spec: Spec) -> None:
    """Make a quick recipe here and keep it."""
    make(spec, service().store, SILENT)


def entry_of(key: str) -> Entry | None:
    """The entry with this key, or nothing."""
    try:
        return service().store.find(key)
    except BadInput:
        return None


def submit(spec: Spec) -> str:
    """Put a recipe in the line; the key of its job. Raises `BadInput`."""
    return service().line.submit(experiments.settled(spec, service().store.files)).key
