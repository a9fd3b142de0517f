"""A multitask study as formatted tables and as text."""

import pandas as pd

from core.results.mixture_text import table_means, task_means
from core.results.tabular import MixtureComparison

TASKS = pd.DataFrame(
    [
        {"backbone": "GIN 4x96 (random weights)", "arm": arm, "member": "zinc", "seed": seed, "task": task, **values}
        for seed in (0, 1)
        for arm, error in (("all together", 0.2), ("alone, as many steps", 0.1))
        for task, values in (("SA", {"mae_sd": error + 0.02 * seed, "r2": 0.9}), ("flag", {"auroc": None}))
    ]
)
RECORD = {
    "verdict": "learning together costs zinc",
    "members": [{"name": "zinc"}],
    "means": [
        {"backbone": "GIN 4x96 (random weights)", "arm": "all together", "member": "zinc",
         "mae_sd": {"mean": 0.21, "sd": 0.0141, "values": [0.2, 0.22]}, "averaged": {"mae_sd": 0.19}},
        {"backbone": "GIN 4x96 (random weights)", "arm": "alone, as many steps", "member": "zinc",
         "mae_sd": {"mean": 0.11, "sd": 0.0141, "values": [0.1, 0.12]}, "averaged": None},
    ],
    "differences": [
        {"backbone": "GIN 4x96 (random weights)", "member": "zinc", "against": "alone, as many steps",
         "metric": "MAE in sd", "mean": 0.1, "low": 0.09, "high": 0.11, "verdict": "worse"},
    ],
    "published": [{"member": "zinc", "layer": "GIN", "arm": "alone", "mae_sd": 0.303, "source": "a paper"}],
}  # fmt: skip


def test_averaged_predictions_and_published_results_are_listed_last():
    table = table_means(RECORD)
    assert table["arm"].tolist() == [
        "all together", "alone, as many steps", "all together, predictions averaged over seeds", "published, alone"
    ]  # fmt: skip
    assert table["MAE in standard deviations"].tolist() == ["0.210 ± 0.014", "0.110 ± 0.014", "0.190", "0.303"]


def test_task_means_have_a_row_per_task_and_arm():
    table = task_means(TASKS, "zinc").set_index(["task", "arm"])
    assert len(table) == 4 and table.loc[("SA", "all together"), "MAE in standard deviations"] == "0.210 ± 0.014"
    assert (table.loc["flag"].drop(columns="network") == "–").all().all()


def test_text_contains_verdict_and_tables():
    text = MixtureComparison(TASKS, RECORD).text()
    assert text.startswith("learning together costs zinc") and "zinc, task by task" in text
    for words in ("published, alone", "0.100", "worse", "MAE in sd"):
        assert words in text
