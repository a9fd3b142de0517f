"""Resampled metrics against repeated rows, and interval coverage by simulation."""

import numpy as np
import pytest

from core.stats import bootstrap, metrics


def table(kind: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions (n,) with ties."""
    generator = np.random.default_rng(seed)
    y = generator.normal(size=n).round(1)
    p = (y + generator.normal(size=n)).round(1)
    return (y, p) if kind == "regression" else ((y > 0.4).astype(float), (1 / (1 + np.exp(-p))).round(2))


@pytest.mark.parametrize("n", [2, 5, 60])
@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_resample_equals_metrics_of_repeated_rows(kind: str, n: int) -> None:
    y, p = table(kind, n, n)
    (counts,) = bootstrap.draw_counts(n, 100, seed=0)
    assert (counts.sum(1) == n).all() and len(counts) == 100
    results = bootstrap.compute_weighted_metrics(kind, y, p, counts)
    assert set(results) == {one.key for one in metrics.metrics_of(kind)}
    for drawing, row in enumerate(counts.astype(int)):
        wanted = metrics.compute_metrics(kind, np.repeat(y, row), np.repeat(p, row))
        for name, value in results.items():
            if wanted[name] is None:
                assert not np.isfinite(value[drawing])
            else:
                assert value[drawing] == pytest.approx(wanted[name], abs=1e-10)


def test_large_offsets_lose_no_digits() -> None:
    y, p = table("regression", 60, 0)
    (counts,) = bootstrap.draw_counts(60, 50, seed=0)
    near, far = (bootstrap.compute_weighted_metrics("regression", y + shift, p + shift, counts) for shift in (0.0, 1e6))
    for name in near:
        assert far[name] == pytest.approx(near[name], rel=1e-5)
    constant = bootstrap.compute_weighted_metrics("regression", y, np.full(60, 1e6 + 0.1), counts)
    assert np.isnan(constant["pearson"]).all() and np.isnan(constant["spearman"]).all()


@pytest.mark.parametrize(("kind", "name"), [("regression", "mae"), ("regression", "spearman"), ("binary", "auroc")])
def test_interval_coverage(kind: str, name: str) -> None:
    truth = metrics.compute_metrics(kind, *table(kind, 200_000, 1))[name]
    hits = 0
    for seed in range(200):
        y, p = table(kind, 100, seed + 10)
        ((low, high),) = [
            one[name] for one in bootstrap.compute_intervals(["a"], [kind], y[:, None], p[:, None]).values()
        ]
        hits += low <= truth <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_tasks_share_molecules_and_gaps_are_skipped() -> None:
    y, p = table("regression", 40, 3)
    labels = np.column_stack([y, y, np.where(np.arange(40) < 25, y, np.nan)])
    first, second, part = bootstrap.resample_metrics(["regression"] * 3, labels, np.column_stack([p, p, p]), draws=50)
    assert (first["mae"] == second["mae"]).all() and (first["mae"] != part["mae"]).any()
    (counts,) = bootstrap.draw_counts(40, 50, seed=0)
    alone = bootstrap.compute_weighted_metrics("regression", y[:25], p[:25], counts[:, :25])
    assert part["rmse"] == pytest.approx(alone["rmse"])


def test_atoms_are_resampled_by_molecule() -> None:
    y, p = table("regression", 26, 4)
    molecule = np.repeat(np.arange(10), [1, 2, 3, 4, 5, 1, 2, 3, 4, 1])
    (results,) = bootstrap.resample_metrics(["regression"], y[:, None], p[:, None], molecule, draws=60)
    (counts,) = bootstrap.draw_counts(10, 60, seed=0)
    for drawing, row in enumerate(counts.astype(int)):
        rows = np.repeat(np.arange(26), row[molecule])
        assert results["mae"][drawing] == pytest.approx(np.abs(y - p)[rows].mean())


def test_blocks_equal_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    y, p = table("binary", 30, 5)
    arguments = ["a"], ["binary"], y[:, None], p[:, None]
    whole = bootstrap.compute_intervals(*arguments)
    monkeypatch.setattr(bootstrap, "MAX_COUNTS", 7 * 30)
    assert {name: pytest.approx(span) for name, span in whole["a"].items()} == bootstrap.compute_intervals(*arguments)[
        "a"
    ]


def test_few_labels_have_no_interval() -> None:
    y, p = table("regression", 12, 6)
    labels = np.column_stack([np.where(np.arange(12) < 9, y, np.nan), np.where(np.arange(12) < 10, y, np.nan)])
    nine, ten = bootstrap.compute_intervals(
        ["nine", "ten"], ["regression"] * 2, labels, np.column_stack([p, p])
    ).values()
    assert nine == {} and set(ten) == {one.key for one in metrics.metrics_of("regression")}
    (resampled,) = bootstrap.resample_metrics(
        ["regression"], y[:, None], p[:, None], np.arange(12) // 2
    )  # twelve atoms of six
    assert bootstrap.keep_defined_intervals(resampled) == {}


def test_rarely_defined_metric_has_no_interval() -> None:
    y, p = np.append(np.zeros(9), 1.0), np.linspace(0, 1, 10)  # a third of the drawings have no one
    results = bootstrap.compute_intervals(
        ["a", "b"], ["binary", "regression"], np.column_stack([y, y]), np.column_stack([p, p])
    )
    assert set(results["a"]) == {"accuracy", "log_loss"} and "rmse" in results["b"]
    nothing = bootstrap.compute_intervals(["a"], ["regression"], np.full((4, 1), np.nan), np.zeros((4, 1)))
    assert nothing == {"a": {}}
    assert bootstrap.compute_intervals(["a"], ["binary"], np.zeros((0, 1)), np.zeros((0, 1))) == {"a": {}}
    assert bootstrap.compute_intervals([], [], np.zeros((5, 0)), np.zeros((5, 0))) == {}


def test_auroc_difference_is_paired() -> None:
    y, p = table("binary", 120, 7)
    noise = np.random.default_rng(8).normal(0, 0.02, 120)
    apart, (low, high) = bootstrap.compare_auroc(y, p + noise, p)
    assert apart == pytest.approx(metrics.auroc(y > 0.5, p + noise) - metrics.auroc(y > 0.5, p)) and low < apart < high
    alone = bootstrap.compute_intervals(["a"], ["binary"], y[:, None], p[:, None])["a"]["auroc"]
    assert high - low < (alone[1] - alone[0]) / 3  # what both have in common is no noise
    assert bootstrap.compare_auroc(y, p, p) == (0.0, (0.0, 0.0))
    assert bootstrap.compare_auroc(np.ones(120), p, p) == (None, None)
