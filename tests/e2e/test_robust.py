"""What people and power cuts do: kill the server, click twice, stop at once or late. Nothing is lost."""

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
RECIPE = fine_tuning(steps=120, evaluations=24)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Fit:
    """The same recipe made from a shell, in one go."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "recipe.json").write_text(json.dumps(to_json(RECIPE)))
    command = [sys.executable, "-m", "core", "run", str(folder / "recipe.json"), "--cache", str(folder / "cache")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ.copy())
    assert done.returncode == 0, done.stderr
    return Store(folder / "cache").get(RECIPE)


def begun(server: Server, fraction: float) -> tuple[JobQueue, list[dict]]:
    """Train until a checkpoint is written this far; the line, and the curve in that checkpoint."""
    line = JobQueue(server.cache)
    line.submit(RECIPE)
    path = Store(server.cache).scratch(RECIPE) / "checkpoint.safetensors"

    def far() -> bool:
        job = line.job(RECIPE.key)
        assert job.state in ("waiting", "running"), job
        return job.fraction > fraction and path.exists()

    until(far, f"a checkpoint at {fraction:.0%}")
    return line, curve_of(path)


def curve_of(path: Path) -> list[dict]:
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["progress"])["curve"]


def goes_on(page: Page, line: JobQueue) -> Job:
    """Press the button and wait for the end."""
    page.get_by_test_id("stMain").get_by_role("button", name="Resume").click()
    until(lambda: line.job(RECIPE.key).state == "done", "the end of the training")
    expect(page.get_by_text("not used for training or selection").first).to_be_visible()
    return line.job(RECIPE.key)


def same(server: Server, undisturbed: Fit, known: list[dict]) -> None:
    """The training went on from the curve that was known, and ended as if nothing had been."""
    fit = Store(server.cache).get(RECIPE)
    assert fit.metrics == undisturbed.metrics
    assert fit.predictions.equals(undisturbed.predictions)
    whole = fit.curve.to_dict("records")
    assert len(known) < len(whole) == len(undisturbed.curve)
    assert whole[: len(known)] == known  # to the very seconds: these were not made again


def test_a_killed_server_goes_on_to_the_same_numbers(server: Server, tab: Any, undisturbed: Fit) -> None:
    line, _ = begun(server, 0.3)
    server.kill()
    known = curve_of(Store(server.cache).scratch(RECIPE) / "checkpoint.safetensors")
    assert line.job(RECIPE.key).state == "running"  # nobody was left to say otherwise
    line.close()
    server.start()
    page = tab(f"{server.url}/train?run={RECIPE.key}")
    expect(page.get_by_test_id("stMain").get_by_text("It was interrupted at")).to_be_visible()
    line = JobQueue(server.cache)
    job = goes_on(page, line)
    assert job.runs == 2
    same(server, undisturbed, known)


def test_stopped_late_nothing_is_lost(server: Server, tab: Any, undisturbed: Fit) -> None:
    line, _ = begun(server, 0.5)
    page = tab(f"{server.url}/train?run={RECIPE.key}")
    page.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
    expect(page.get_by_test_id("stMain").get_by_text("It was cancelled at")).to_be_visible()
    assert line.job(RECIPE.key).state == "cancelled"
    known = curve_of(Store(server.cache).scratch(RECIPE) / "checkpoint.safetensors")
    goes_on(page, line)
    same(server, undisturbed, known)


def test_two_tabs_and_double_clicks_make_one_job_that_stops_at_once(server: Server, tab: Any) -> None:
    pages, key, line = [tab(server.url), tab(server.url)], demo().key, JobQueue(server.cache)
    buttons = [page.get_by_role("button", name="Run the demo") for page in pages]
    for button in buttons:
        expect(button).to_be_enabled()
    for button in buttons:
        button.dblclick(no_wait_after=True)
    for page in pages:
        expect(page.get_by_test_id("stMain").get_by_test_id("stProgress")).to_be_visible()
        assert key in page.url
    assert [(job.key, job.runs) for job in line.jobs()] == [(key, 1)]
    first, second = pages
    first.get_by_test_id("stMain").get_by_role("button", name="Stop").click()
    for page in (first, second):
        expect(page.get_by_test_id("stMain").get_by_text("It was cancelled")).to_be_visible()
    assert line.job(key).state == "cancelled"
    second.get_by_test_id("stMain").get_by_role("button", name="Resume").click()
    until(lambda: line.job(key).state == "running", "the resumed study")
    assert len(line.jobs()) == 1 and line.job(key).runs == 2
