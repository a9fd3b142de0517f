"""Common expectations about fine-tuning methods and selection by influence, tested with the arms of a study.

Such expectations come from single runs: score the pool by gradient similarity or raw influence, add the k best, retrain
once, compare (gradient products: TracIn, Pruthi et al. 2020, arXiv:2002.08484). This has three flaws: with the test set
as target the selection uses the answer, the k best by single scores may be redundant, and one run gives no estimate of
noise. Here a difference is paired over seeds and test molecules and has an interval.
"""

from typing import Any, Literal, NamedTuple

from core.results.comparison import Comparison, compute_differences

Direction = Literal["better", "alike"]


class Expectation(NamedTuple):
    """An arm is expected to have a lower error than another, or the same error ("alike")."""

    words: str
    arm: str
    against: str
    expected: Direction


EXPECTATIONS = (
    Expectation(
        "Continued pre-training by masked tokens lowers the error", "full, from adapted ", "full, from ", "better"
    ),
    Expectation("The 70 best by influence lower the error", "top 70", "none", "better"),
    Expectation("The 70 best lower it more than the 20 best", "top 70", "top 20", "better"),
    Expectation("The 20 best lower it more than the 20 worst", "top 20", "bottom 20", "better"),
    Expectation("The 100 worst do as well as the 50 best", "bottom 100", "top 50", "alike"),
    Expectation("Structurally diverse molecules beat a stratified sample", "k-means", "stratified", "better"),
    Expectation("LoRA is as good as full fine-tuning", "LoRA", "full", "alike"),
    Expectation("LoRA beats BitFit", "LoRA", "BitFit", "better"),
    Expectation("BitFit beats (IA)³", "BitFit", "(IA)³", "better"),
)
OUTCOME_WORDS = {  # by the expectation and the verdict on the difference
    ("better", "better"): "confirmed",
    ("better", "worse"): "the opposite",
    ("better", "not distinguishable"): "not distinguishable",
    ("alike", "not distinguishable"): "not contradicted",
    ("alike", "better"): "even better",
    ("alike", "worse"): "refuted",
}


def check_claims(comparison: Comparison) -> list[dict[str, Any]]:
    """The expectations that this study's arms can test: expectation, outcome, and the paired difference."""
    predictions, outcomes = comparison.predictions, []
    names = [arm["name"] for arm in comparison.record["arms"]]
    for expectation in EXPECTATIONS:
        pair = [_find_arm(name, names) for name in (expectation.arm, expectation.against)]
        if None in pair or pair[0] == pair[1]:
            continue
        sides = {}
        for name in pair:
            arm_rows = predictions[predictions["arm"] == name]
            sides[name] = {
                seed: rows.sort_values("row")["prediction"].to_numpy() for seed, rows in arm_rows.groupby("seed")
            }
        first = predictions[predictions["arm"] == pair[0]]
        labels = first[first["seed"] == first["seed"].iloc[0]].sort_values("row")["label"].to_numpy()
        rows = compute_differences(labels, {pair[0]: sides[pair[0]], pair[1]: sides[pair[1]]}, (pair[1],), "rmse")
        if rows:
            outcome = OUTCOME_WORDS.get((expectation.expected, rows[0]["verdict"]), "undecided with one seed")
            outcomes.append({"expectation": expectation.words, "outcome": outcome, **rows[0]})
    return outcomes


def _find_arm(wanted: str, names: list[str]) -> str | None:
    """The arm of this name; if it ends in a blank, the shortest name that begins with it. None if there is none."""
    if not wanted.endswith(" "):
        return wanted if wanted in names else None
    matches = [name for name in names if name.startswith(wanted)]
    return min(matches, key=len, default=None)
