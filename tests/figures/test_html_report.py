"""The HTML report of a comparison is complete, needs no network, and escapes text from tables."""

import re

import numpy as np
import pandas as pd
import pytest

from core.engine.spec import Spec
from core.experiments import FineTune, Load, SelectionStudy, split_table
from core.figures.html_report import render_report
from core.results.comparison import Comparison, compute_differences, summarize_seeds


@pytest.fixture
def spec() -> Spec:
    train, valid, test, pool = split_table(Load("bundled:solubility"), seed=0, train=60, valid=20, pool=30, test=None)
    return SelectionStudy(
        fit=FineTune(train, valid, test), pool=pool, count=5, counts=(10,), arms=("none", "all", "top")
    )


def comparison(sizes: tuple[int, ...] = (5, 10)) -> Comparison:
    labels, random = np.linspace(-2, 2, 40), np.random.default_rng(0)
    names = {"none": ("none", None), "all": ("all", None)} | {f"top {size}": ("top", size) for size in sizes}
    predicted = {name: {seed: labels + random.normal(0, 0.5, 40) for seed in (0, 1)} for name in names}
    arms = [
        {
            "name": name,
            "role": "selection",
            "rule": rule,
            "kept": count,
            "seeds": [0, 1],
            "n_train": [60, 60 + (count or 0)],
            "mislabelled": None,
            "rmse": summarize_seeds(
                [float(np.sqrt(np.mean((values - labels) ** 2))) for values in predicted[name].values()]
            ),
        }
        for name, (rule, count) in names.items()
    ]
    record = {
        "arms": arms, "reference": "none", "differences": compute_differences(labels, predicted, ("none", "all"), "rmse"),
        "unit": "log10(mol/L)", "metric": "RMSE", "n_test": 40, "test_digest": "abc", "backbone": "molsway-mini",
        "device": "cpu", "verdict": "“top 5” <script>alert(1)</script>", "notes": ["a < b"], "sizes": list(sizes),
    }  # fmt: skip
    picks = pd.DataFrame(
        {"arm": "top 5", "seed": 0, "smiles": ["CCO", "C<b>"], "label": [1.0, 2.0], "mislabelled": [False, True]}
    )
    return Comparison(record, pd.DataFrame(), picks)


def test_report_is_complete_escaped_and_offline(spec: Spec) -> None:
    text = render_report(comparison(), spec, "2026-11-26")
    assert text.startswith("<!doctype html>") and text.count("Plotly.newPlot(") == 3
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?http", text), "nothing is fetched"
    for words in (
        "top 10",
        "not distinguishable",
        "digest abc",
        f"run {spec.key}",
        "2026-11-26",
        "+",
        "mislabelled",
        "CCO",
    ):
        assert words in text
    assert "<script>alert" not in text and "C&lt;b&gt;" in text and "a &lt; b" in text
    assert render_report(comparison((5,)), spec).count("Plotly.newPlot(") == 2, "one number of molecules is no curve"
