"""Killed servers, double clicks, early and late stops: no work is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from safetensors import safe_open

from core.engine.job_queue import Job, JobQueue
from core.engine.spec import to_json
from core.engine.store import Store
from core.results.fit import Fit
from tests.e2e.server import ROOT, Server
from tests.e2e.short_demo import demo, fine_tuning
from tests.waiting import until

pytestmark = pytest.mark.e2e
SPEC = fine_tuning(steps=120, evaluations=24)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Fit:
    """The same spec made by `molsway run` without interruption."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "spec.json").write_text(json.dumps(to_json(SPEC)))
    command = [sys.executable, "-m", "core", "run", str(folder / "spec.json"), "--cache", str(folder / "cache")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ.copy())
    assert done.returncode == 0, done.stderr
    return Store(folder / "cache").get(SPEC)


def train_until(server: Server, fraction: float) -> tuple[JobQueue, list[dict]]:
    """Train until a checkpoint lies beyond this fraction; the queue, and the curve in that checkpoint."""
    queue = JobQueue(server.cache)
    queue.submit(SPEC)
    path = Store(server.cache).scratch(SPEC) / "checkpoint.safetensors"

    def is_far() -> bool:
        job = queue.job(SPEC.key)
        assert job.state in ("waiting", "running"), job
        return job.fraction > fraction and path.exists()

    until(is_far, f"a checkpoint at {fraction:.0%}")
    return queue, curve_of(path)


def curve_of(path: Path) -> list[dict]:
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["about"])["curve"]


def resume_and_wait(page: Page, queue: JobQueue) -> Job:
    """Press Resume and wait for the end."""
    page.get_by_test_id("stMain").get_by_role("button", name="Resume").click()
    until(lambda: queue.job(SPEC.key).state == "done", "the end of the training")
    expect(page.get_by_text("not used for training or selection").first).to_be_visible()
    return queue.job(SPEC.key)


def check_same_fit(server: Server, uninterrupted: Fit, curve: list[dict]) -> None:
    """Check that the training continued after `curve` and ended as without interruption."""
    fit = Store(server.cache).get(SPEC)
    assert fit.metrics == uninterrupted.metrics
    assert fit.predictions.equals(uninterrupted.predictions)
    records = fit.curve.to_dict("records")
    assert len(curve) < len(records) == len(uninterrupted.curve)
    assert records[: len(curve)] == curve  # even the seconds agree: these epochs were not trained again


def test_a_killed_server_resumes_to_the_same_numbers(server: Server, tab: Any, uninterrupted: Fit) -> None:
    queue, _ = train_until(server, 0.3)
    server.kill()
    curve = curve_of(Store(server.cache).scratch(SPEC) / "checkpoint.safetensors")
    assert queue.job(SPEC.key).state == "running"  # the killed process could not change it
    queue.close()
    server.start()
    page = tab(f"{server.url}/train?run={SPEC.key}")
    expect(page.get_by_test_id("stMain").get_by_text("It was interrupted at")).to_be_visible()
    queue = JobQueue(server.cache)
    job = resume_and_wait(page, queue)
    assert job.runs == 2
    check_same_fit(server, uninterrupted, curve)


def test_a_late_stop_loses_nothing(server: Server, tab: Any, uninterrupted: Fit) -> None:
    queue, _ = train_until(server, 0.5)
    page = tab(f"{server.url}/train?run={SPEC.key}")
    page.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
    expect(page.get_by_test_id("stMain").get_by_text("It was cancelled at")).to_be_visible()
    assert queue.job(SPEC.key).state == "cancelled"
    curve = curve_of(Store(server.cache).scratch(SPEC) / "checkpoint.safetensors")
    resume_and_wait(page, queue)
    check_same_fit(server, uninterrupted, curve)


def test_double_clicks_in_two_tabs_make_one_job(server: Server, tab: Any) -> None:
    pages, key, queue = [tab(server.url), tab(server.url)], demo().key, JobQueue(server.cache)
    buttons = [page.get_by_role("button", name="Run the demo") for page in pages]
    for button in buttons:
        expect(button).to_be_enabled()
    for button in buttons:
        button.dblclick(no_wait_after=True)
    for page in pages:
        expect(page.get_by_test_id("stMain").get_by_test_id("stProgress")).to_be_visible()
        assert key in page.url
    assert [(job.key, job.runs) for job in queue.jobs()] == [(key, 1)]
    first, second = pages
    first.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
    for page in (first, second):
        expect(page.get_by_test_id("stMain").get_by_text("It was cancelled")).to_be_visible()
    assert queue.job(key).state == "cancelled"
    second.get_by_test_id("stMain").get_by_role("button", name="Resume").click()
    until(lambda: queue.job(key).state == "running", "the resumed study")
    assert len(queue.jobs()) == 1 and queue.job(key).runs == 2
