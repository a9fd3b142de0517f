"""What the report that this project began with claimed, each claim beside a study that can tell whether it holds."""

from typing import Any, Literal, NamedTuple

from core.results.comparison import Comparison, differences

Expected = Literal["better", "alike"]


class Claim(NamedTuple):
    """That one arm does better than another, or as well; `figure`: the report's that it was read from."""

    figure: int
    words: str
    arm: str
    against: str
    expected: Expected


CLAIMS = (
    Claim(2, "adapting by masked tokens first lowers the error", "full, from adapted ", "full, from ", "better"),
    Claim(3, "the seventy best by influence lower the error", "top 70", "none", "better"),
    Claim(3, "more of the best is better: seventy beat twenty", "top 70", "top 20", "better"),
    Claim(3, "the best beat the worst, at fifty as at twenty", "top 20", "bottom 20", "better"),
    Claim(3, "a hundred of the worst do as well as fifty of the best", "bottom 100", "top 50", "alike"),
    Claim(5, "diverse molecules beat stratified ones", "k-means", "stratified", "better"),
    Claim(6, "LoRA comes near to training all weights", "LoRA", "full", "alike"),
    Claim(6, "LoRA beats BitFit", "LoRA", "BitFit", "better"),
    Claim(6, "BitFit beats (IA)³", "BitFit", "(IA)³", "better"),
)
SAID = {  # by what was expected and what the difference says
    ("better", "better"): "holds",
    ("better", "worse"): "the opposite holds",
    ("better", "not distinguishable"): "not beyond the noise",
    ("alike", "not distinguishable"): "not contradicted",
    ("alike", "better"): "it does better still",
    ("alike", "worse"): "does not hold",
}


def judged(comparison: Comparison) -> list[dict[str, Any]]:
    """The claims that this study's arms can tell of: words, figure, the paired difference, and what it says of them."""
    predictions, found = comparison.predictions, []
    names = [arm["name"] for arm in comparison.record["arms"]]
    for claim in CLAIMS:
        pair = [_named(name, names) for name in (claim.arm, claim.against)]
        if None in pair or pair[0] == pair[1]:
            continue
        sides = {}
        for name in pair:
            mine = predictions[predictions["arm"] == name]
            sides[name] = {
                seed: rows.sort_values("row")["prediction"].to_numpy() for seed, rows in mine.groupby("seed")
            }
        first = predictions[predictions["arm"] == pair[0]]
        labels = first[first["seed"] == first["seed"].iloc[0]].sort_values("row")["label"].to_numpy()
        rows = differences(labels, {pair[0]: sides[pair[0]], pair[1]: sides[pair[1]]}, (pair[1],), "rmse")
        if rows:
            said = SAID.get((claim.expected, rows[0]["verdict"]), "one seed cannot tell")
            found.append({"figure": claim.figure, "claim": claim.words, "said": said, **rows[0]})
    return found


def _named(wanted: str, names: list[str]) -> str | None:
    """The arm of this name; of one that ends in a blank, the first that begins with it and says no more of the kind."""
    if not wanted.endswith(" "):
        return wanted if wanted in names else None
    fitting = [name for name in names if name.startswith(wanted)]
    return min(fitting, key=len, default=None)
