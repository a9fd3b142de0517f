"""What every sampler checks first."""

from collections.abc import Sized

from core.scores import Scores
from core.spec import BadInput


def check_count(kind: str, count: int, pool: Sized) -> None:
    """Raises `BadInput` where more molecules are wanted than the pool has."""
    if count > len(pool):
        raise BadInput(f"{kind} wants {count} molecules of a pool of {len(pool)}; lower `count` or give a larger pool")


def scored(kind: str, pool: Sized, scores: Scores | None) -> Scores:
    """The scores, which this sampler needs. Raises `BadInput` where they are missing or of another pool."""
    if scores is None:
        raise BadInput(f"{kind} ranks by influence and got no scores; give `scores`, or use uniform")
    if len(scores.table) != len(pool):
        raise BadInput(f"the scores are of {len(scores.table)} molecules, the pool has {len(pool)}; score this pool")
    return scores
