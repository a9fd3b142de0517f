import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl

import pytest
import streamlit as st
from filelock import FileLock
from streamlit.testing.v1 import AppTest

from core.engine.job_queue import JobQueue
from core.engine.spec import Spec
from core.engine.store import Store
from core.engine.worker import Worker
from tests.pages import every_kind, filled_store
from tests.waiting import PATIENCE

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


STATES = ("empty", "running", "failed", "cancelled", "done")


@pytest.fixture(scope="session")
def full(tmp_path_factory):
    """A filled store, made once."""
    root = tmp_path_factory.mktemp("full")
    filled_store.fill_store(root)
    return root


@pytest.fixture(scope="session")
def answers(tmp_path_factory):
    """A store with a result for each question of the page Multitask, and the specs; made once for all test workers."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "answers"
    with FileLock(f"{root}.lock"):
        return root, every_kind.fill_multitask(Store(root))


@pytest.fixture
def cache(request, tmp_path, full, monkeypatch):
    """A cache folder in the state of the test's parameter, with a worker that does not start."""
    state = getattr(request, "param", "empty")
    root = full if state == "done" else tmp_path / "cache"
    if state not in ("empty", "done"):
        filled_store.queue_jobs(root, state)
    monkeypatch.setenv("MOLSWAY_CACHE", str(root))
    monkeypatch.setattr(Worker, "start", lambda self: self)
    monkeypatch.chdir(ROOT)
    st.cache_resource.clear()
    yield root
    st.cache_resource.clear()


@pytest.fixture
def copied(full, tmp_path, monkeypatch):
    """A copy of the filled store, as the cache of the pages; a test may add to it."""
    root = tmp_path / "copied"
    shutil.copytree(full, root)
    monkeypatch.setenv("MOLSWAY_CACHE", str(root))
    st.cache_resource.clear()
    st.cache_data.clear()
    return root


@pytest.fixture
def open_page(cache):
    """Open a page by its name; fails if the page raises."""

    def opened(name: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE)
        at.run()
        for key, value in query.items():
            at.query_params[key] = value
        at.switch_page(f"pages/views/{name}.py").run()
        return without_exception(at)

    return opened


@pytest.fixture
def asked(monkeypatch) -> list[Spec]:
    """The specs that a page submits; they are not queued."""
    specs: list[Spec] = []
    monkeypatch.setattr(JobQueue, "submit", lambda self, spec: specs.append(spec) or SimpleNamespace(key=spec.key))
    return specs


def without_exception(at: AppTest) -> AppTest:
    assert not at.exception, [f"{error.message}\n{error.stack_trace}" for error in at.exception]
    return at


def page_text(at: AppTest) -> str:
    """Everything a person reads on the page."""
    kinds = ("title", "subheader", "markdown", "caption", "error", "info", "warning", "success")
    texts = [str(element.value) for kind in kinds for element in getattr(at, kind)]
    texts += [str(element.proto.body) for element in at.get("html")]
    texts += [f"{metric.label} {metric.value}" for metric in at.metric]
    texts += [button.label for button in at.button]
    texts += [expander.label for expander in at.expander]
    texts += [str(element.proto.text) for element in at.get("progress")]
    return "\n".join(texts)


def find_button(at: AppTest, label: str):
    return next(one for one in at.button if one.label == label)


def list_doors(at: AppTest) -> dict[str, tuple[str, dict[str, str]]]:
    """The links to other pages by their labels: the page, and what its address names."""
    links = [element.proto for element in at.get("page_link")]
    return {link.label: (link.page, dict(parse_qsl(link.query_string))) for link in links}


def find_door(at: AppTest, label: str) -> tuple[str, dict[str, str]]:
    return list_doors(at)[label]


def find_box(at: AppTest, label: str):
    """The input with this label."""
    return next(one for one in [*at.selectbox, *at.multiselect, *at.number_input, *at.toggle] if one.label == label)


def text_and_tables(at: AppTest) -> str:
    """Everything a person reads on the page, tables too."""
    return page_text(at) + "\n".join(table.value.to_string() for table in at.dataframe)
