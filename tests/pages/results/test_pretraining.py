"""Adapted and pre-trained backbones."""

import pandas as pd
import pytest

from core.engine.store import Store
from core.experiments import Adapt
from core.models.backbones.checkpoint import Checkpoint
from tests.pages import filled_store
from tests.pages.conftest import page_text


@pytest.mark.parametrize(
    ("objective", "numbers", "loss"),
    [
        ("masked tokens", ["perplexity"], "masked-token loss (nat)"),
        ("properties", ["property_error"], "property loss (scaled units)"),
        ("both", ["perplexity", "property_error"], "masked-token and property loss"),
    ],
)
def test_an_adaptation_shows_the_losses_of_its_objective(open_page, cache, tmp_path, objective, numbers, loss):
    spec = Adapt(filled_store.TABLE, objective=objective, epochs=2)
    (tmp_path / "made" / "backbone").mkdir(parents=True)
    curve = pd.DataFrame({"epoch": [1.0, 2.0], "train_loss": [3.0, 2.0], "valid_loss": [2.5, 1.25]})
    record = {"objective": objective, "properties": 93, "valid_loss": 1.25, "valid_loss_before": 5.5, "best_epoch": 2}
    record |= {name: 0.25 for name in numbers} | {f"{name}_before": 7.75 for name in numbers}
    Store(cache).put(spec, Checkpoint(curve, record, tmp_path / "made"), 1.0)
    at = open_page("train", run=spec.key)
    text = {metric.label: metric.value for metric in at.metric}
    labels = {"perplexity": "Perplexity, held out", "property_error": "Property error, held out"}
    assert text == {labels[name]: "0.250" for name in numbers} | {"Loss": "1.25"}
    assert page_text(at).count("before 7.75") == len(numbers) and "before 5.50" in page_text(at)
    assert ("93 RDKit descriptors" in page_text(at)) == ("property_error" in numbers)
    assert loss in at.get("plotly_chart")[0].proto.spec
