"""A visitor goes through every door of every page while a job runs; no page goes blank, no text is lost.

MOLSWAY_DOORS says how many clicks (40 if it is not set).
"""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from core.engine.job_queue import JobQueue
from tests.e2e.server import Server, exceptions
from tests.e2e.short_demo import fine_tuning
from tests.pages import filled_store
from tests.waiting import until

pytestmark = pytest.mark.e2e
CLICKS = int(os.environ.get("MOLSWAY_DOORS", "40"))
SETTLED = 700  # ms in which a late report of a live part would arrive
FIT, STUDY, METHODS, SCORES, TABLE = (
    one.key
    for one in (filled_store.FIT, filled_store.STUDY, filled_store.METHODS, filled_store.SCORES, filled_store.TABLE)
)
DOORS = (  # the page, the run that it shows, a door there, the page behind it, what the address then names
    ("train", FIT, "Predict with it", "Predict", "fit"),
    ("train", FIT, "Score candidates with it", "Influence", "fit"),
    ("influence", SCORES, "Open the comparison", "Compare", "run"),
    ("compare", STUDY, "Open the base model", "Train", "run"),
    ("runs", FIT, "Open", "Train", "run"),
    ("", "", "Choose a table", "Data", "from"),
    ("data", TABLE, "Train on it", "Train", "table"),
    ("data", "", "Use this table", "Train", ""),  # after something was done here: the server changes the page
    ("compare", STUDY, "Open the scores", "Influence", "run"),
    ("methods", METHODS, "Open it", "Train", "run"),
)
PASTED = "CCO ethanol"


@pytest.fixture
def busy_server(tmp_path: Path) -> Iterator[Server]:
    """A dashboard with a finished run of every page, and a training that outlasts the test."""
    filled_store.fill_store(tmp_path / "cache")
    running = Server(tmp_path / "cache", MOLSWAY_LIVE_SECONDS="0.07")  # a late report of the page before is likely
    try:
        running.start()
        queue = JobQueue(running.cache)
        job = queue.submit(fine_tuning(steps=1_000_000, evaluations=1000))
        until(lambda: queue.job(job.key).state == "running", "the training")
        yield running
    finally:
        running.stop()


def show_page(page: Page, name: str) -> None:
    """Choose a page in the sidebar."""
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=re.compile(rf"{name}$")).click()


def door(page: Page, words: str) -> Locator:
    """A link or a button that leads to another page."""
    main = page.get_by_test_id("stMain")
    return main.get_by_role("link", name=words).or_(main.get_by_role("button", name=words, exact=True)).first


def check_shown(page: Page, title: str) -> None:
    """The page has its heading and its content, and keeps them."""
    heading = page.get_by_role("heading", name=title, level=1)
    expect(heading).to_be_visible()
    page.wait_for_timeout(SETTLED)
    expect(heading).to_be_visible(timeout=100)
    assert exceptions(page) == []


def test_no_page_goes_blank_under_a_running_job(busy_server: Server, tab: Any) -> None:
    page = tab(busy_server.url)
    for click, (name, run, words, title, named) in zip(range(CLICKS), itertools.cycle(DOORS), strict=False):
        heading = name.capitalize() or "Molsway"
        if click < len(DOORS) or name in ("runs", "data"):
            page.goto(f"{busy_server.url}/{name}" + (f"?run={run}" if run else ""))
        else:  # the page remembers its run
            show_page(page, name.capitalize() or "Start")
        check_shown(page, heading)
        door(page, words).click()
        check_shown(page, title)
        address = urlsplit(page.url)
        assert address.path == f"/{title.lower()}", (click, words, page.url)
        assert list(parse_qs(address.query)) == [named] * bool(named), (click, words, page.url)
        if title == "Predict":
            box = page.get_by_label("SMILES, one per line; a name may follow")
            box.fill(PASTED)
            page.get_by_role("heading", level=1).click()  # leaves the field, so that its text is sent
            page.wait_for_timeout(3 * SETTLED)
            expect(box).to_have_value(PASTED)
        if click < len(DOORS):
            page.go_back()
            check_shown(page, heading)  # one step back, with what was shown there
            if run and name != "runs":
                expect(page).to_have_url(re.compile(run))
                expect(page.get_by_test_id("stMain").locator(f"input[value*='{run[:6]}']").first).to_be_visible()
