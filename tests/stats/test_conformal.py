"""Coverage of conformal intervals, also for difficult molecules, and Venn–Abers bounds."""

import numpy as np
import pytest

from core.stats.conformal import MIN_ERRORS, ConformalIntervals, estimate_share, venn_abers, widen_probabilities


def hard(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Errors (n,) that grow with the first of two signs (n, 2); the second says nothing."""
    random = np.random.default_rng(seed)
    signs = random.uniform(0, 1, (n, 2))
    return np.abs(random.normal(0, np.exp(2 * signs[:, 0]), n)), signs


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("n", [40, 400])
def test_interval_coverage(n: int, level: float) -> None:
    shares = []
    for seed in range(150):
        errors, signs = hard(n, seed)
        new, where = hard(200, 10_000 + seed)
        shares.append(np.mean(new <= ConformalIntervals.of(errors, signs, level).half_width(where)))
    assert level - 0.025 < np.mean(shares) < level + 0.04


def test_interval_coverage_for_difficult_molecules() -> None:
    errors, signs = hard(1000, 0)
    new, where = hard(5000, 1)
    one_width = ConformalIntervals.of(errors, signs[:, :0], 0.9).half_width(where[:, :0])
    half = ConformalIntervals.of(errors, signs, 0.9).half_width(where)
    difficult = where[:, 0] > 2 / 3
    assert np.ptp(one_width) == 0 and np.mean(new[difficult] <= one_width[difficult]) < 0.82
    assert 0.84 < np.mean(new[difficult] <= half[difficult]) < 0.94
    assert 0.86 < np.mean(new[~difficult] <= half[~difficult]) < 0.94


def test_uninformative_sign_costs_little() -> None:
    random = np.random.default_rng(3)
    widths = []
    for _ in range(60):
        errors, signs = np.abs(random.normal(size=100)), random.normal(size=(100, 2))
        plain = ConformalIntervals.of(errors, signs[:, :0], 0.9).half_width(np.zeros((1, 0)))[0]
        widths.append(ConformalIntervals.of(errors, signs, 0.9).half_width(random.normal(size=(300, 2))).mean() / plain)
    assert np.mean(widths) < 1.08


def test_width_is_constant_outside_the_range() -> None:
    errors, signs = hard(200, 5)
    intervals = ConformalIntervals.of(errors, signs, 0.9)
    edge = np.array([[signs[:, 0].max(), signs[0, 1]]])
    beyond = np.array([[100.0, signs[0, 1]]])
    assert intervals.half_width(beyond) == pytest.approx(intervals.half_width(edge)) and intervals.half_width(edge)[
        0
    ] > np.median(intervals.half_width(signs))


def test_too_few_errors_give_none() -> None:
    errors, signs = hard(MIN_ERRORS, 0)
    assert ConformalIntervals.of(errors, signs, 0.9) is not None
    assert ConformalIntervals.of(errors[1:], signs[1:], 0.9) is None
    assert ConformalIntervals.of(errors, signs, 0.99) is None  # of 20 errors none is the hundredth


def test_zero_errors_and_constant_signs() -> None:
    intervals = ConformalIntervals.of(np.zeros(50), np.ones((50, 2)), 0.9)
    assert intervals is not None and intervals.half_width(np.ones((3, 2))).tolist() == [0, 0, 0]


def test_venn_abers_bounds() -> None:
    random = np.random.default_rng(0)
    truth = random.uniform(0, 1, 4000)
    labels = (random.uniform(size=4000) < truth).astype(float)
    bold = 1 / (1 + np.exp(-3 * np.log(truth / (1 - truth))))  # sure of itself beyond reason
    wanted = np.array([0.02, 0.5, 0.98])
    low, high = venn_abers(labels[:1000], bold[:1000], wanted)
    assert (low <= high).all() and (high - low < 0.15).all()
    honest = 1 / (1 + np.exp(-np.log(wanted / (1 - wanted)) / 3))
    assert np.abs((low + high) / 2 - honest).max() < 0.1
    low, high = venn_abers(labels[:1000], bold[:1000], bold[1000:])
    merged = high / (1 - low + high)

    def loss(p: np.ndarray) -> float:
        p = np.clip(p, 1e-7, 1 - 1e-7)
        return -float(np.mean(labels[1000:] * np.log(p) + (1 - labels[1000:]) * np.log(1 - p)))

    assert loss(merged) < loss(bold[1000:]) - 0.05


def test_venn_abers_by_hand() -> None:
    labels, known_probabilities = np.array([0.0, 1.0]), np.array([0.2, 0.8])
    low, high = venn_abers(labels, known_probabilities, np.array([0.1, 0.2, 0.3, 0.5, 0.9]))
    # added as a 0 above both it pulls the 1 down to a half; as a 1 below both it lifts the 0 to a half
    assert low.tolist() == [0, 0, 0, 0, 0.5] and high.tolist() == [0.5, 0.5, 1, 1, 1]


def test_share_has_wilsons_interval() -> None:
    share = estimate_share(np.array([True] * 9 + [False]))
    assert (share["n"], share["share"]) == (10, 0.9)
    assert share["low"] == pytest.approx(0.5958, abs=1e-4) and share["high"] == pytest.approx(0.9821, abs=1e-4)
    assert estimate_share(np.zeros(0, bool))["share"] is None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("grows", [False, True])
def test_coverage_whatever_is_beyond_the_range(grows: bool, share: float) -> None:
    """Exchangeable molecules, a share of them outside: there errors grow with the distance, or do not."""
    shares = []
    for seed in range(100):
        draws = []
        for number in (seed, 10_000 + seed):
            random = np.random.default_rng(number)
            errors, signs = hard(300, number)
            beyond = random.exponential(2, 300) * (random.uniform(size=300) < share)
            draws.append((errors * (1 + beyond) if grows else errors, signs, beyond))
        (errors, signs, beyond), (new, where, far) = draws
        shares.append(np.mean(new <= ConformalIntervals.of(errors, signs, 0.9, beyond).half_width(where, far)))
    assert 0.885 < np.mean(shares) < 0.92


def test_width_grows_beyond_the_range() -> None:
    errors, signs = hard(400, 2)
    intervals = ConformalIntervals.of(errors, signs, 0.9)
    easy, distances = np.tile(signs.min(0), (50, 1)), np.linspace(0, 10, 50)
    half = intervals.half_width(easy, distances)
    assert (np.diff(half) > 0).all() and half[0] == pytest.approx(intervals.half_width(easy[:1])[0])
    average = intervals.half_width(signs.mean(0)[None])[0]
    assert half[-1] == pytest.approx(11**0.75 * average)  # that a molecule looks easy counts no more


def test_probabilities_widen_beyond_the_range() -> None:
    low, high = widen_probabilities(np.full(3, 0.8), np.full(3, 0.9), np.array([0.0, 1.0, 99.0]))
    assert low == pytest.approx([0.8, 0.4, 0.008]) and high == pytest.approx([0.9, 0.95, 0.999])
