"""Ensembles on the pages: submitted, shown with their members, refused where a gradient is needed."""

import dataclasses
import shutil

import pytest

from core.engine.job_queue import JobQueue
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import read_spec_json
from core.engine.store import Store
from core.experiments import Ensemble
from core.stats.formatting import format_interval, format_number, format_with_interval
from tests.pages import filled_store
from tests.pages.conftest import find_box, list_doors, page_text, text_and_tables, without_exception

pytestmark = pytest.mark.parametrize("cache", ["done"], indirect=True)
PAIR = Ensemble(filled_store.BASELINE, seeds=(0, 1))


@pytest.fixture
def paired(cache, tmp_path, monkeypatch):
    """A store with a finished ensemble too."""
    shutil.copytree(cache, tmp_path / "copy")
    monkeypatch.setenv("MOLSWAY_CACHE", str(tmp_path / "copy"))
    store = Store(tmp_path / "copy")
    make(PAIR, store, Report(files=store.files))
    return store


def test_a_fit_is_averaged_over_seeds(open_page, cache):
    at = open_page("train", run=filled_store.FIT.key)
    find_box(at, "Members").set_value(4).run()
    assert "Seeds 0 to 3" in page_text(at)
    without_exception(at.button(key=f"repeat-{filled_store.FIT.key}").click().run())
    (job,) = JobQueue(cache).jobs()
    assert read_spec_json(job.spec) == Ensemble(filled_store.FIT, (0, 1, 2, 3))


def test_a_finished_ensemble_lists_its_members(open_page, cache, paired):
    at = open_page("train", run=PAIR.key)
    text = text_and_tables(at)
    members = [filled_store.BASELINE, dataclasses.replace(filled_store.BASELINE, seed=1)]
    for fit in [paired.get(PAIR), *map(paired.get, members)]:
        assert format_number(fit.metrics["test"]["logS"]["rmse"]) in text
    span = paired.get(PAIR).interval("logS", "rmse")
    assert f"95 %: {format_interval(span)}; validation" in text and "bootstrap over the test molecules" in text
    table = next(one.value for one in at.dataframe if "their mean" in one.value.index)
    assert table.index.tolist() == ["seed 0", "seed 1", "their mean"]
    assert table.columns.tolist() == ["RMSE, validation", "MAE, validation", "RMSE, test", "MAE, test"]
    apart = paired.get(PAIR).record["apart"]["logS"]
    assert format_number(apart["spread"]) in text and format_number(apart["spearman"]) in text
    assert "Average over seeds" not in text and not any("Score candidates" in label for label in list_doors(at))


def test_influence_refuses_an_ensemble(open_page, cache, paired):
    at = open_page("influence", fit=PAIR.key)
    assert "Influence needs a single trained network" in at.warning[0].value
    assert not any("mean of" in label.lower() for label in find_box(at, "Trained model").options)


def test_an_ensemble_is_compared_with_other_models(open_page, cache, paired):
    at = open_page("compare", fits=f"{filled_store.BASELINE.key},{PAIR.key}")
    table = next(one.value for one in at.dataframe if "RMSE" in one.value.columns)
    pair = paired.get(PAIR)
    assert table.loc[PAIR.key[:6], "RMSE"] == format_with_interval(
        pair.metrics["test"]["logS"]["rmse"], pair.interval("logS", "rmse")
    )
