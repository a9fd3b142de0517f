"""A running dashboard, and a real browser."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.e2e.server import Server, exceptions
from tests.waiting import PATIENCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "cache", MOLSWAY_CHECKPOINT_SECONDS="0.1")
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """Open tabs, each in its own browser context. At the end no page may have failed or requested another host."""
    contexts, errors, foreign = [], [], []

    def note_request(request: Any) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.hostname != "127.0.0.1":
            foreign.append(request.url)

    def open_tab(address: str) -> Any:
        contexts.append(browser.new_context(viewport={"width": 1360, "height": 900}))
        page = contexts[-1].new_page()
        page.set_default_timeout(1000 * PATIENCE)  # ms
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", note_request)
        page.goto(address)
        return page

    yield open_tab
    messages = [text for context in contexts for page in context.pages for text in exceptions(page)]
    for context in contexts:
        context.close()
    assert (errors, foreign, messages) == ([], [], [])
