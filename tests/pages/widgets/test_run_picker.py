"""The run that a page shows, its name, and the page of a run."""

from types import SimpleNamespace

import pandas as pd
import pytest
import streamlit as st

from core.engine.store import Store
from core.experiments import Adapt
from core.models.backbones.checkpoint import Checkpoint
from core.results.datamodel_check import DatamodelCheck
from pages.widgets import run_picker
from pages.widgets.run_picker import open_run
from tests.earlier_runs import forget_digests
from tests.pages import filled_store
from tests.pages.conftest import find_button, page_text, without_exception


def test_a_model_of_an_arm_is_named_after_it():
    arms = [{"name": "none", "fits": ["base", "other"]}, {"name": "top", "fits": ["third"]}]
    entries = [SimpleNamespace(summary={"arms": arms, "base_fit": "base"}), SimpleNamespace(summary={"seed": 1})]
    assert run_picker.map_arms(entries) == {"other": "none", "third": "top"}
    run = run_picker.Run("third", "finetune", "full fine-tuning", 0.0, SimpleNamespace(summary={"seed": 1}), arm="top")
    assert run.name == "Arm “top”, seed 1: full fine-tuning"
    assert run_picker.Run("base", "finetune", "full fine-tuning", 0.0).name == "Full fine-tuning"


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_datamodel_check_opens_with_its_scores(open_page, monkeypatch):
    gone = []
    monkeypatch.setattr(st, "switch_page", lambda page, query_params: gone.append((page, query_params)))
    open_page("runs")
    open_run(filled_store.VERIFY.key, "lds")
    open_run(filled_store.FIT.key, "finetune")
    assert gone == [
        ("pages/views/influence.py", {"run": filled_store.SCORES.key}),
        ("pages/views/train.py", {"run": filled_store.FIT.key}),
    ]
    record = {"ways": [{"spearman": 0.2}, {"spearman": 0.64}], "subsets": 24}
    assert DatamodelCheck.headline(record) == "ρ 0.640 with 24 retrainings"


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_the_address_names_the_run(open_page, cache):
    at = open_page("train", run=filled_store.OTHER.key)
    assert next(box for box in at.selectbox if box.label == "Run").value == filled_store.OTHER.key
    at = open_page("train", run="0" * 16)
    assert "was deleted" in page_text(at)


def test_a_run_of_an_earlier_version_does_not_stop_the_page(open_page, cache, tmp_path):
    spec, store = Adapt(filled_store.TABLE, epochs=2), Store(cache)
    (tmp_path / "made" / "backbone").mkdir(parents=True)
    curve = pd.DataFrame({"epoch": [1.0, 2.0], "train_loss": [3.0, 2.0], "valid_loss": [2.5, 1.25]})
    store.put(spec, Checkpoint(curve, {"objective": "both", "best_epoch": 2}, tmp_path / "made"), 1.0)
    path = store.folder(spec) / "spec.json"
    path.write_text(path.read_text().replace(f'"revision": {Adapt.revision}', '"revision": 0', 1))
    forget_digests(path.parent)
    at = without_exception(open_page("train", run=spec.key))
    assert "revision 0" in " ".join(box.value for box in (*at.error, *at.warning))
    assert find_button(at, "Start")
