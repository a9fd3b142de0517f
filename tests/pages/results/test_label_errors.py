"""Label errors: searched and shown on the page of a model."""

import numpy as np
import pytest

from core.engine.store import Store
from core.experiments import LabelErrors
from core.results.label_errors import LabelErrorTable, add_second_opinions
from tests.pages import filled_store
from tests.pages.conftest import find_button, page_text, without_exception


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_label_errors_are_searched_on_the_page_of_a_model(open_page, copied, monkeypatch):
    asked, search = [], LabelErrors.of(filled_store.FIT)
    with monkeypatch.context() as within:
        within.setattr(
            "core.engine.job_queue.JobQueue.submit",
            lambda self, spec: asked.append(spec) or type("Job", (), {"key": spec.key}),
        )
        without_exception(
            find_button(open_page("train", run=filled_store.FIT.key), "Search for label errors").click().run()
        )
    assert asked == [search]
    store = Store(copied)
    training = store.get(filled_store.SCORES).training.copy()
    add_second_opinions(training, np.where(np.arange(len(training)) == 5, 1e4, training["label"])[:, None], ["y"])
    table = LabelErrorTable(
        training, {"label_unit": ["mg"], "detection": {"residual": {"auroc": 0.7, "low": 0.6, "high": 0.8}}}
    )
    store.put(search, table, 2.0)
    at = open_page("train", run=filled_store.FIT.key)
    shown = next(frame.value for frame in at.dataframe if "prediction without it" in frame.value)
    assert shown["smiles"].iloc[0] == training["smiles"][5] and shown["baseline prediction"].iloc[0] == 1e4
    assert "by the plain residual with AUROC 0.70 (0.60 to 0.80)" in page_text(at)
