"""The patience that a fit suggests from its learning curve."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.results.fit import Fit


def fit_of(losses: list[float]) -> Fit:
    """A fit with these validation losses, one evaluation every ten seconds."""
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
def test_suggested_patience(losses: list[float], wanted: tuple[int, float] | None) -> None:
    assert fit_of(losses).suggest_patience() == wanted


def test_suggested_patience_stops_at_the_stated_time(losses: tuple[float, ...] = (3, 2, 2, 2, 2, 1, *[2] * 14)) -> None:
    """Early stopping: training ends after `patience` evaluations in a row without improvement."""
    patience, seconds = fit_of(list(losses)).suggest_patience()
    best, since, evaluations = np.inf, 0, 0
    while evaluations < len(losses) and since < patience:
        best, since = (losses[evaluations], 0) if losses[evaluations] < best else (best, since + 1)
        evaluations += 1
    assert best == min(losses) and 10.0 * evaluations == seconds


def test_no_patience_without_a_curve() -> None:
    assert Fit(pd.DataFrame(), pd.DataFrame(), {}, Path()).suggest_patience() is None
