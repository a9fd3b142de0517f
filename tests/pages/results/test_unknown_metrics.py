"""Runs stored without a metric: pages and commands show "–" in its place."""

import dataclasses
import json
from pathlib import Path

import pytest

from core.cli.parser import main
from core.engine.digests import digest_files, write_sealed_json
from core.stats import metrics
from tests.pages import filled_store
from tests.pages.conftest import page_text, without_exception


def without(value: object, key: str) -> object:
    """JSON without a key, at any depth."""
    if isinstance(value, dict):
        return {name: without(one, key) for name, one in value.items() if name != key}
    return [without(one, key) for one in value] if isinstance(value, list) else value


def strip(root: Path, key: str) -> None:
    """Remove a metric from every record and summary of a store."""
    for note in root.glob("*/*/made.json"):
        for path in note.parent.glob("*.json"):
            if path.name != "spec.json":
                path.write_text(json.dumps(without(json.loads(path.read_text()), key)))
        about = json.loads(note.read_text())
        about["files"] = {name: (note.parent / name).stat().st_size for name in about["files"]}
        about["digests"] = digest_files(note.parent, [note.parent / name for name in about["digests"]])
        write_sealed_json(note, about)


def open_all(open_page, capsys, root: Path) -> str:
    """Open every page and command that shows metrics of a run; the text of the page of a model."""
    train = page_text(open_page("train", run=filled_store.FIT.key))
    for page, query in (
        ("train", {"run": filled_store.BASELINE.key}),
        ("methods", {"run": filled_store.METHODS.key}),
        ("compare", {"run": filled_store.STUDY.key}),
        ("compare", {"fits": f"{filled_store.FIT.key},{filled_store.OTHER.key}"}),
        ("predict", {"run": filled_store.PREDICT.key}),
        ("predict", {"fit": filled_store.FIT.key}),
        ("runs", {}),
        ("start", {}),
    ):
        without_exception(open_page(page, **query))
    for spec in (filled_store.FIT, filled_store.STUDY, filled_store.METHODS, filled_store.PREDICT):
        assert main(["show", spec.key, "--cache", str(root), "--json"]) == 0
        assert main(["show", spec.key, "--cache", str(root)]) == 0
    capsys.readouterr()
    return train


@pytest.mark.parametrize("cache", ["done"], indirect=True)
@pytest.mark.parametrize("key", [one.key for one in metrics.metrics_of("regression")])
def test_a_run_without_a_metric_opens(open_page, copied, capsys, key):
    strip(copied, key)
    text = open_all(open_page, capsys, copied)
    metric = metrics.find_metric(key)
    shown = metric in metrics.card_metrics("regression")
    assert (f"{metric.name} –" in text or f"{metric.name} (log10\\(mol/L\\)) –" in text) == shown


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_run_stored_before_a_metric_was_written_opens(open_page, copied, capsys, monkeypatch):
    largest = dataclasses.replace(
        metrics.find_metric("mae"),
        key="largest",
        name="Largest error",
        compute=lambda sample: abs(sample.predictions - sample.labels).max(keepdims=True) + 0 * sample.weights[:, 0],
    )
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, largest))
    assert "Largest error (log10\\(mol/L\\)) –" in open_all(open_page, capsys, copied)
