"""What a fit says of its own training."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.results.fit import Fit


def learned(losses: list[float]) -> Fit:
    """A fit whose evaluations, ten seconds each, found these losses."""
    curve = pd.DataFrame({"valid_loss": losses, "seconds": 10.0 * np.arange(1, len(losses) + 1)})
    return Fit(curve, pd.DataFrame(), {}, Path())


@pytest.mark.parametrize(
    ("losses", "wanted"),
    [
        ([3, 2, 1, *[2] * 17], (3, 60.0)),  # best at the third, three more
        ([3, 2, 2, 2, 2, 1, *[2] * 14], (5, 110.0)),  # after four looks the next better one: five are enough
        ([3, 2, 1, 1, 1, 1, *[2] * 14], (3, 60.0)),  # as good is not better
        ([3, 2, 1, 2, 2, 2, 2, 2], None),  # a third is not saved
        ([*range(20, 0, -1)], None),
        ([1.0], None),
        ([], None),
    ],
)
def test_patience_that_would_have_been_enough(losses: list[float], wanted: tuple[int, float] | None) -> None:
    assert learned(losses).suggest_patience() == wanted


def test_that_patience_stops_a_training_there(losses: tuple[float, ...] = (3, 2, 2, 2, 2, 1, *[2] * 14)) -> None:
    """By the rule of a training: it goes on until as many looks in a row found nothing better."""
    patience, seconds = learned(list(losses)).suggest_patience()
    best, since, evaluations = np.inf, 0, 0
    while evaluations < len(losses) and since < patience:
        best, since = (losses[evaluations], 0) if losses[evaluations] < best else (best, since + 1)
        evaluations += 1
    assert best == min(losses) and 10.0 * evaluations == seconds


def test_a_model_without_a_curve_has_no_patience() -> None:
    assert Fit(pd.DataFrame(), pd.DataFrame(), {}, Path()).suggest_patience() is None
