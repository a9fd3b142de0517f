"""The library: files of a run, and deletion."""

import io
import shutil
import zipfile

import pytest

from core.engine.job_queue import JobQueue
from core.engine.store import Store
from core.experiments import LDS
from pages.widgets import library_table
from tests.pages import filled_store
from tests.pages.conftest import find_button, page_text, without_exception


def test_the_zip_has_every_file(full):
    entry = Store(full).find(filled_store.FIT.key)
    with zipfile.ZipFile(io.BytesIO(library_table.zip_files(entry))) as archive:
        names = archive.namelist()
    assert f"{filled_store.FIT.key}/spec.json" in names and f"{filled_store.FIT.key}/predictor/note.json" in names


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_saved_run_is_deleted_after_confirmation(open_page, cache, tmp_path, monkeypatch):
    shutil.copytree(cache, tmp_path / "copy")
    monkeypatch.setenv("MOLSWAY_CACHE", str(tmp_path / "copy"))
    at = open_page("runs")
    monkeypatch.setattr(
        "pages.widgets.library_table.choose_from_table",
        lambda runs: next((n for n, run in enumerate(runs) if run.key == filled_store.FIT.key), None),
    )
    without_exception(at.run())
    without_exception(find_button(at, "Delete").click().run())
    assert Store(tmp_path / "copy").has(filled_store.FIT) and "Saved runs that used it stay" in page_text(at)
    without_exception(find_button(at, "Delete permanently").click().run())
    assert not Store(tmp_path / "copy").has(filled_store.FIT)


@pytest.mark.parametrize("cache", ["done"], indirect=True)
@pytest.mark.parametrize(
    ("running", "words"), [(True, "is running and uses it"), (False, "waits in the queue and uses it")]
)
def test_deletion_names_the_job_that_uses_the_run(open_page, copied, running, words):
    queue = JobQueue(copied)
    queue.submit(LDS.of(filled_store.SCORES, 48))
    if running:
        queue.start_next()
    at = open_page("runs", run=filled_store.FIT.key)
    without_exception(find_button(at, "Delete").click().run())
    assert words in page_text(at), "the job needs the scores, which need this model"
    at = open_page("runs", run=filled_store.METHODS.key)
    without_exception(find_button(at, "Delete").click().run())
    assert "uses it" not in page_text(at)
