"""The library: files of a run, and deletion."""

import io
import shutil
import zipfile

import pytest

from core.engine.store import Store
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
