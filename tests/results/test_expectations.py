"""Common expectations: which arms test them, and the outcome of a difference."""

import numpy as np
import pandas as pd
import pytest

from core.experiments import build_preset
from core.results.comparison import Comparison
from core.results.expectations import EXPECTATIONS, check_claims

LABELS = np.linspace(-2, 2, 60)


def study(errors: dict[str, float], seeds: tuple[int, ...] = (0, 1, 2)) -> Comparison:
    """Arms whose predictions have approximately these errors."""
    random, rows = np.random.default_rng(0), []
    for arm, error in errors.items():
        for seed in seeds:
            predicted = LABELS + random.normal(0, error, len(LABELS))
            rows.append(
                pd.DataFrame({"arm": arm, "seed": seed, "row": range(60), "label": LABELS, "prediction": predicted})
            )
    table = pd.concat(rows, ignore_index=True).sample(frac=1, random_state=1)
    return Comparison({"arms": [{"name": arm} for arm in errors]}, table, pd.DataFrame())


def outcome_words(outcomes: list[dict]) -> dict[str, str]:
    return {one["expectation"]: one["outcome"] for one in outcomes}


def test_outcome_words_follow_the_expectation() -> None:
    outcomes = outcome_words(check_claims(study({"full": 0.4, "LoRA": 0.4, "BitFit": 0.9, "(IA)³": 0.3})))
    assert outcomes == {
        "LoRA is as good as full fine-tuning": "not contradicted",
        "LoRA beats BitFit": "confirmed",
        "BitFit beats (IA)³": "the opposite",
    }
    outcomes = outcome_words(
        check_claims(
            study({"none": 0.6, "top 20": 0.6, "top 50": 0.3, "top 70": 0.6, "bottom 20": 0.6, "bottom 100": 0.9})
        )
    )
    assert outcomes["The 70 best by influence lower the error"] == "not distinguishable"
    assert outcomes["The 100 worst do as well as the 50 best"] == "refuted"
    outcomes = outcome_words(check_claims(study({"stratified": 0.4, "k-means": 0.9}, seeds=(0,))))
    assert outcomes == {"Structurally diverse molecules beat a stratified sample": "undecided with one seed"}


def test_difference_is_between_the_two_arms() -> None:
    comparison = study({"k-means": 0.3, "stratified": 0.8})
    (one,) = check_claims(comparison)
    rmse = {}
    for arm, rows in comparison.predictions.groupby("arm"):
        each = rows.groupby("seed")[["label", "prediction"]].apply(
            lambda x: ((x.label - x.prediction) ** 2).mean() ** 0.5
        )
        rmse[arm] = each.mean()
    assert one["mean"] == pytest.approx(rmse["k-means"] - rmse["stratified"]) and one["high"] < 0


def test_adapted_arms_are_matched_by_prefix() -> None:
    arms = {"full, from molsway-mini": 0.5, "full, from adapted molsway-mini": 0.5, "LoRA, from molsway-mini": 0.5}
    (one,) = check_claims(study(arms))
    assert (one["arm"], one["against"]) == ("full, from adapted molsway-mini", "full, from molsway-mini")
    assert check_claims(study({"none": 0.5, "greedy": 0.4})) == []


def test_presets_contain_the_expected_arms() -> None:
    sizes, diversity = build_preset("selection-sizes"), build_preset("diversity")
    arms = {*sizes.arm_settings, *diversity.arm_settings, *build_preset("four-methods").arm_names}
    expected_arms = {name for claim in EXPECTATIONS for name in (claim.arm, claim.against) if not name.endswith(" ")}
    assert expected_arms <= arms
    assert len(sizes.seeds) == 5 and len(diversity.seeds) == 10
