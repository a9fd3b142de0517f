"""Comparison of arms, and its verdict."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.results.comparison import Comparison, compute_differences, summarize_seeds, write_verdict


def arms(gains: dict[str, float]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    labels = generator.normal(size=150)
    common = generator.normal(size=150)
    return labels, {
        name: labels + (common + 0.1 * generator.normal(size=(3, 150))) * (1 - gain) for name, gain in gains.items()
    }


def seeded(predictions: dict[str, np.ndarray]) -> dict[str, dict[int, np.ndarray]]:
    return {arm: dict(enumerate(values)) for arm, values in predictions.items()}


def card(name: str, labels: np.ndarray, predictions: np.ndarray) -> dict:
    return {"name": name, "rmse": summarize_seeds([float(np.sqrt(np.mean((p - labels) ** 2))) for p in predictions])}


def test_every_arm_is_compared_with_every_reference() -> None:
    labels, predictions = arms({"none": 0.0, "random": 0.0, "greedy": 0.4})
    differences = compute_differences(labels, seeded(predictions), ("none", "random"), "rmse")
    assert [(row["arm"], row["against"]) for row in differences] == [
        ("random", "none"), ("greedy", "none"), ("none", "random"), ("greedy", "random"),
    ]  # fmt: skip
    assert [row["verdict"] for row in differences] == ["not distinguishable", "better", "not distinguishable", "better"]


def test_verdict_names_best_arm_difference_and_interval() -> None:
    labels, predictions = arms({"none": 0.0, "greedy": 0.4})
    differences = compute_differences(labels, seeded(predictions), ("none",), "rmse")
    cards = [card(name, labels, values) for name, values in predictions.items()]
    sentence = write_verdict(cards, differences, "rmse", "logS")
    assert (
        sentence.startswith("“greedy” has the lowest mean test error (RMSE 0.")
        and "better than “none” (−0." in sentence
    )
    one = {name: values[:1] for name, values in predictions.items()}
    cards = [card(name, labels, values) for name, values in one.items()]
    assert "one seed says nothing" in write_verdict(
        cards, compute_differences(labels, seeded(one), ("none",), "rmse"), "rmse", "logS"
    )


def test_verdict_when_the_reference_is_best() -> None:
    labels, predictions = arms({"none": 0.4, "greedy": 0.0})
    cards = [card(name, labels, values) for name, values in predictions.items()]
    sentence = write_verdict(cards, compute_differences(labels, seeded(predictions), ("none",), "rmse"), "rmse", "")
    assert "no other arm is better; the closest, “greedy”, is worse than “none” (+0." in sentence


def with_roles(gains: dict[str, float], seeds: int = 3) -> tuple[list[dict], list[dict]]:
    """Cards and differences of two selection strategies, baselines and a control; roles follow from names."""
    roles = {"none": "selection", "top": "selection", "random weights": "control"}
    labels, predictions = arms(gains)
    predictions = {name: values[:seeds] for name, values in predictions.items()}
    cards = [card(name, labels, values) | {"role": roles.get(name, "baseline")} for name, values in predictions.items()]
    return cards, compute_differences(labels, seeded(predictions), ("none",), "rmse")


@pytest.mark.parametrize(
    ("gain", "of_baseline", "of_control"),
    [
        (0.4, "The network loses to a baseline: “forest” is better than “none” (−0.", "Pre-training increases the error: “random weights” is better"),
        (0.0, "The network is not distinguishable from a baseline: “forest” is not distinguishable from “none” (", "Pre-training does not beat random weights: “random weights” is not dis"),
        (-0.4, "The network beats a baseline: “forest” is worse than “none” (+0.", "Pre-training helps: “random weights” is worse than “none” (+0."),
    ],
)  # fmt: skip
def test_verdict_compares_network_with_baseline_and_control(gain: float, of_baseline: str, of_control: str) -> None:
    verdict = write_verdict(
        *with_roles({"none": 0.0, "top": 0.2, "forest": gain, "random weights": gain}), "rmse", "logS"
    )
    first, *asides = verdict.split(". The network")
    assert (
        first.startswith("“top” has the lowest mean test error of the selection strategies (RMSE 0.")
        and "forest" not in first
    )
    assert len(asides) == 1 and of_baseline in verdict and of_control in verdict


def test_baselines_with_the_same_outcome_share_a_sentence() -> None:
    gains = {"none": 0.0, "top": 0.2, "forest": 0.5, "vectors": -0.4, "boosting": 0.4}
    verdict = write_verdict(*with_roles(gains), "rmse", "logS")
    assert (
        "The network loses to 2 baselines: “forest” is better than “none” (" in verdict
        and "); “boosting” is better" in verdict
    )
    assert "The network beats a baseline: “vectors”" in verdict and verdict.count("The network") == 2


def test_baseline_is_never_the_closest_arm() -> None:
    verdict = write_verdict(*with_roles({"none": 0.2, "top": 0.0, "forest": 0.15}), "rmse", "logS")
    assert verdict.startswith("“none” has the lowest") and "the closest, “top”, is" in verdict


def test_one_seed_gives_no_conclusion_about_a_baseline() -> None:
    verdict = write_verdict(*with_roles({"none": 0.0, "top": 0.2, "forest": 0.5}, seeds=1), "rmse", "logS")
    assert (
        "; “forest” has RMSE 0." in verdict
        and verdict.endswith("add seeds before drawing conclusions.")
        and "loses" not in verdict
    )


def test_deterministic_model_shows_no_spread() -> None:
    cards, differences = with_roles({"none": 0.0, "top": 0.2})
    cards[1]["rmse"]["sd"] = 0.0
    assert "±" not in write_verdict(cards, differences, "rmse", "logS").split(":")[0]


def test_missing_metric_is_not_averaged() -> None:
    assert summarize_seeds([1.0, None, 3.0])["mean"] == 2.0 and summarize_seeds([None])["mean"] is None
    assert summarize_seeds([1.0])["sd"] is None


def test_save_and_load(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"arm": ["none"], "seed": [0], "row": [0], "smiles": ["C"], "label": [1.0], "prediction": [2.0]}
    )
    picks = pd.DataFrame({"arm": ["top"], "seed": [0], "smiles": ["C"], "label": [1.0], "mislabelled": [True]})
    Comparison({"verdict": "é"}, frame, picks).save(tmp_path)
    loaded = Comparison.load(tmp_path)
    assert loaded.record == {"verdict": "é"}
    pd.testing.assert_frame_equal(loaded.predictions, frame)
    pd.testing.assert_frame_equal(loaded.picks, picks)


def test_warnings_that_differ_only_in_numbers_are_merged() -> None:
    from types import SimpleNamespace

    from core.results.comparison import collect_warnings

    def fit(*warnings: str) -> SimpleNamespace:
        return SimpleNamespace(record={"warnings": list(warnings)})

    roles = dict.fromkeys(("none", "all"), "selection") | {"support vectors": "baseline"}
    fits = [[fit("1 of 3360 held at -2.09 or 5.1")], [fit("3 of 3,660 held at -2.08 or 5.1", "4 shared")], [fit()]]
    assert collect_warnings(roles, fits) == ["1 to 3 of 3360 to 3,660 held at -2.09 to -2.08 or 5.1", "“all”: 4 shared"]
    many = {f"arm {number}": "selection" for number in range(9)}
    (sentence,) = collect_warnings(many, [[fit("2 shared")] for _ in range(8)] + [[fit()]])
    assert sentence == "“arm 0”, “arm 1”, “arm 2”, “arm 3” and 4 more: 2 shared"
