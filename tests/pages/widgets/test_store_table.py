"""The library: files of a run, and deletion."""

import io
import shutil
import zipfile

import pytest

from core.engine.store import Store
from pages.widgets import store_table
from tests.pages import stage
from tests.pages.conftest import button, checked, words


def test_a_bundle_holds_every_file(full):
    entry = Store(full).find(stage.FIT.key)
    with zipfile.ZipFile(io.BytesIO(store_table.zipped(entry))) as archive:
        names = archive.namelist()
    assert f"{stage.FIT.key}/spec.json" in names and f"{stage.FIT.key}/predictor/note.json" in names


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_kept_run_is_deleted_only_when_asked_twice(open_page, cache, tmp_path, monkeypatch):
    shutil.copytree(cache, tmp_path / "copy")
    monkeypatch.setenv("MOLSWAY_CACHE", str(tmp_path / "copy"))
    at = open_page("runs")
    monkeypatch.setattr(
        "pages.widgets.store_table.overview",
        lambda kept: next((n for n, run in enumerate(kept) if run.key == stage.FIT.key), None),
    )
    checked(at.run())
    checked(button(at, "Delete").click().run())
    assert Store(tmp_path / "copy").has(stage.FIT) and "Saved runs that used it are kept" in words(at)
    checked(button(at, "Delete permanently").click().run())
    assert not Store(tmp_path / "copy").has(stage.FIT)
