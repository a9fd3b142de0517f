"""Whole steps against a linear model that is fitted again with the molecule in it."""

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

from core.influence.forward_selection import select_greedily
from core.influence.linearized import (
    LinearizedModel,
    OutputsAndLabels,
    VarianceModel,
    bootstrap_interval,
    effects_on_target,
    loss_derivatives,
    newton_update,
)


class Linear:
    """Two tasks of a linear model with its own weights, half of the labels missing; ridge regression, exactly."""

    def __init__(self, tasks: int, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.d, self.tasks, self.damping = 5, tasks, 0.05
        self.x = {name: generator.normal(size=(n, self.d)) for name, n in (("train", 30), ("target", 9), ("pool", 7))}
        truth = generator.normal(size=(self.d, tasks))
        self.y = {name: x @ truth + generator.normal(size=(len(x), tasks)) for name, x in self.x.items()}
        for y in self.y.values():
            if tasks > 1:
                y[generator.random(y.shape) < 0.4] = np.nan
        self.y["pool"][2] = np.nan
        self.cells = int((~np.isnan(self.y["train"])).sum())
        self.weights = self.fitted([])

    def slopes(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """(n, t, d · t) of the outputs by all weights."""
        x = self.x[name] if rows is None else self.x[name][rows]
        return np.einsum("nd,ts->ntds", x, np.eye(self.tasks)).reshape(len(x), self.tasks, self.d * self.tasks)

    def fitted(self, added: list[int]) -> np.ndarray:
        """Weights of least mean squared error + ½ damping |w|², the added molecules' weight being 1 / N each too."""
        rows = np.concatenate([self.slopes("train"), self.slopes("pool", np.array(added, int))])
        labels = np.concatenate([self.y["train"], self.y["pool"][added]])
        known = ~np.isnan(labels)
        a = rows[known]
        inverse = np.linalg.inv(2 * a.T @ a / self.cells + self.damping * np.eye(a.shape[1]))
        return inverse @ (2 * a.T @ labels[known] / self.cells)

    def part(self, name: str, weights: np.ndarray) -> OutputsAndLabels:
        return OutputsAndLabels(self.slopes(name) @ weights, self.y[name])

    def tangent(self) -> LinearizedModel:
        known = ~np.isnan(self.y["train"])
        a = self.slopes("train")[known]
        inverse = np.linalg.inv(2 * a.T @ a / self.cells + self.damping * np.eye(a.shape[1]))
        measured = ~np.isnan(self.y["target"])
        beside = np.concatenate([self.slopes("target")[measured], self.slopes("pool").reshape(-1, a.shape[1])])
        target, pool = self.part("target", self.weights), self.part("pool", self.weights)
        return LinearizedModel(beside @ inverse @ beside.T, target, pool, np.zeros(self.tasks, bool), self.cells)

    def losses(self, weights: np.ndarray) -> np.ndarray:
        outputs, labels = self.part("target", weights)
        return ((outputs - labels) ** 2)[~np.isnan(labels)]


@pytest.mark.parametrize("tasks", [1, 2])
def test_a_whole_step_is_what_fitting_again_gives(tasks: int) -> None:
    linear = Linear(tasks)
    tangent, before = linear.tangent(), linear.losses(linear.weights)
    found = tangent.full_update_effects()
    assert tangent.error() == pytest.approx(before.sum())
    for row in range(7):
        assert np.allclose(found[row], linear.losses(linear.fitted([row])) - before, atol=1e-12)
    assert not found[2].any(), "a molecule without a label changes nothing"
    assert np.allclose(tangent.change(), found.sum(1))


@pytest.mark.parametrize("tasks", [1, 2])
def test_one_after_another_is_what_fitting_with_all_of_them_gives(tasks: int) -> None:
    linear = Linear(tasks)
    tangent, taken = linear.tangent(), []
    for row in (4, 0, 6, 2):
        predicted = tangent.error() + tangent.change()[row]
        tangent.add(row)
        taken.append(row)
        true = linear.losses(linear.fitted(taken)).sum()
        assert tangent.error() == pytest.approx(true, rel=1e-9) and predicted == pytest.approx(true, rel=1e-9)


@pytest.mark.parametrize("tasks", [1, 2])
def test_several_in_one_step_are_the_same_as_one_after_another(tasks: int) -> None:
    linear = Linear(tasks)
    one, other = linear.tangent(), linear.tangent()
    one.add_rows(np.array([4, 0, 2, 6]))
    for row in (4, 0, 2, 6):
        other.add(row)
    assert np.allclose(one.outputs, other.outputs, equal_nan=True) and np.allclose(one.pairs, other.pairs)


@pytest.mark.parametrize("tasks", [1, 2])
def test_the_first_order_is_the_slope_of_the_loss_by_a_molecules_weight(tasks: int) -> None:
    linear = Linear(tasks)
    tangent = linear.tangent()
    whole, first = tangent.full_update_effects(), tangent.first_order_effects()
    tangent.cells = tangent.cells * 10**6  # a millionth of the weight
    assert np.allclose(tangent.full_update_effects() * 10**6, first, rtol=1e-4, atol=1e-7)
    assert not np.allclose(whole, first, rtol=0.02)


def test_molecules_of_the_target_that_do_not_count_are_left_out() -> None:
    linear, some = Linear(2), np.array([0, 5, 6])
    whole, known = linear.tangent(), ~np.isnan(linear.y["target"])
    target, pool = linear.part("target", linear.weights), linear.part("pool", linear.weights)
    fewer = LinearizedModel(whole.pairs, target, pool, np.zeros(2, bool), linear.cells, some)
    kept = np.isin(whole.molecule, some)
    assert fewer.n_cells == known[some].sum() == kept.sum() and fewer.size == 7
    assert np.allclose(fewer.full_update_effects(), whole.full_update_effects()[:, kept])
    fewer.add(4)
    whole.add(4)
    assert np.allclose(fewer.full_update_effects(), whole.full_update_effects()[:, kept])


def test_the_greedy_choice_is_what_fitting_again_says_is_best_at_every_step() -> None:
    linear = Linear(1)
    rows, losses = select_greedily(linear.tangent(), 6)
    for step in range(6):
        free = [row for row in range(7) if row not in rows[:step]]
        true = {row: linear.losses(linear.fitted([*rows[:step].tolist(), row])).mean() for row in free}
        assert true[rows[step]] == pytest.approx(min(true.values())) == pytest.approx(losses[step + 1])


def test_what_one_molecule_does_to_each_of_the_target() -> None:
    linear = Linear(2)
    tangent = linear.tangent()
    arrays = {"pairs": tangent.pairs}
    for name in ("target", "pool"):
        part = linear.part(name, linear.weights)
        arrays |= {f"{name}_outputs": part.outputs, f"{name}_labels": part.labels}
    record = {"kinds": ["regression"] * 2, "cells_train": linear.cells}
    for row in (0, 2, 5):
        found = effects_on_target(arrays, record, row)
        changed = np.zeros(9)
        np.add.at(changed, tangent.molecule, tangent.full_update_effects()[row])
        assert np.allclose(found, changed, atol=1e-12) and found.shape == (9,)


def test_a_leverage_is_how_far_a_prediction_follows_its_own_label() -> None:
    linear = Linear(1)
    tangent = linear.tangent()
    h = tangent.leverages()
    before = linear.part("pool", linear.weights).outputs[:, 0]
    for row in (0, 4):
        after = linear.part("pool", linear.fitted([row])).outputs[row, 0]
        share = (after - before[row]) / (linear.y["pool"][row, 0] - before[row])
        assert share == pytest.approx(h[row] / (1 + h[row]), rel=1e-9)
    assert h[2] > 0, "whatever the label, or without one"


@pytest.mark.parametrize("tasks", [1, 2])
def test_information_is_the_variance_that_a_measurement_takes_away(tasks: int) -> None:
    linear = Linear(tasks)
    before = float(np.diagonal(linear.tangent().pairs)[: linear.tangent().n_cells].sum())
    told = linear.tangent().information()
    assert (told > 0).all() and (told < 1).all()
    for row in (0, 2, 5):
        model = VarianceModel(linear.tangent())
        outputs = model.model.outputs
        assert model.change()[row] == pytest.approx(-told[row] * before)
        model.add(row)
        assert model.error() == pytest.approx((1 - told[row]) * before)
        assert np.allclose(model.model.outputs, outputs), "no prediction moves"
    rows, left = select_greedily(VarianceModel(linear.tangent()), 7)
    assert len(set(rows.tolist())) == 7 and (np.diff(left) < 0).all() and rows[0] == told.argmax()


def fitted_with(
    slopes: np.ndarray, curvature: np.ndarray, part: OutputsAndLabels, binary: np.ndarray, cells: int
) -> np.ndarray:
    """The step Δ of the weights of least ½ Δᵀ C Δ + Σ ℓ(outputs + slopes Δ) / N, by a general minimiser."""
    known = ~np.isnan(part.labels)
    rows, outputs, labels = slopes[known], part.outputs[known], part.labels[known]
    of_class = np.broadcast_to(binary, known.shape)[known]

    def height(step: np.ndarray) -> tuple[float, np.ndarray]:
        at = outputs + rows @ step
        losses = np.where(of_class, np.logaddexp(0, at) - labels * at, (at - labels) ** 2)
        slope = np.where(of_class, 1 / (1 + np.exp(-at)) - labels, 2 * (at - labels))
        return 0.5 * step @ curvature @ step + losses.sum() / cells, curvature @ step + rows.T @ slope / cells

    start = np.zeros(slopes.shape[-1])
    return minimize(height, start, jac=True, method="BFGS", options={"gtol": 1e-12, "maxiter": 2000}).x


@pytest.mark.parametrize("binary", [(True,), (True, False)], ids=["classes", "classes and numbers"])
def test_a_step_towards_a_class_goes_as_far_as_fitting_again(binary: tuple[bool, ...]) -> None:
    """Of one molecule and of several, also where the model is surely wrong and the loss hardly bends."""
    generator, tasks, cells = np.random.default_rng(1), len(binary), 4
    slopes = generator.normal(size=(9, tasks, 3 * tasks))
    root = generator.normal(size=(3 * tasks, 3 * tasks))
    curvature = root @ root.T / 9 + 0.05 * np.eye(3 * tasks)
    outputs = generator.normal(size=(9, tasks))
    outputs[5:7, 0] = -9.0, 8.0
    labels = np.where(binary, generator.random((9, tasks)) < 0.5, generator.normal(size=(9, tasks))).astype(float)
    labels[5:7, 0] = 1.0, 0.0  # both surely wrong
    labels[4, -1] = np.nan
    parts = OutputsAndLabels(outputs[:4], labels[:4]), OutputsAndLabels(outputs[4:], labels[4:])
    flat = slopes.reshape(-1, 3 * tasks)
    pairs = flat @ np.linalg.inv(curvature) @ flat.T

    def losses(step: np.ndarray) -> np.ndarray:
        at = parts[0].outputs + slopes[:4] @ step
        return np.where(binary, np.logaddexp(0, at) - labels[:4] * at, (at - labels[:4]) ** 2).ravel()

    tangent = LinearizedModel(pairs, *parts, np.array(binary), cells)
    found, before = tangent.full_update_effects(), losses(np.zeros(3 * tasks))
    for row in range(5):
        mine = slice(4 + row, 5 + row)
        step = fitted_with(
            slopes[mine], curvature, OutputsAndLabels(outputs[mine], labels[mine]), np.array(binary), cells
        )
        assert np.allclose(found[row], losses(step) - before, rtol=1e-5, atol=1e-6)
    tangent.add_rows(np.array([1, 2, 4]))
    chosen = np.array([5, 6, 8])
    step = fitted_with(
        slopes[chosen], curvature, OutputsAndLabels(outputs[chosen], labels[chosen]), np.array(binary), cells
    )
    assert np.allclose(tangent.outputs, (outputs + slopes @ step).ravel(), rtol=1e-5, atol=1e-5)
    at = (outputs + slopes @ step)[chosen]
    second = np.where(binary, 1 / (1 + np.exp(-at)) / (1 + np.exp(at)), 2.0)
    rows = slopes[chosen]
    bent = curvature + np.einsum("nt,ntw,ntv->wv", second, rows, rows) / cells
    assert np.allclose(tangent.pairs, flat @ np.linalg.inv(bent) @ flat.T, rtol=1e-5, atol=1e-6)


def test_a_pull_is_what_is_left_of_the_residual_where_it_ends() -> None:
    """From a model that is surely right to one that is surely wrong, moved a little or very far."""
    outputs, kernels = (each.ravel() for each in np.meshgrid(np.linspace(-30, 30, 41), np.logspace(-4, 4, 17)))
    for label in (0.0, 1.0):
        pulls, second = newton_update(
            outputs[:, None], np.full((len(outputs), 1), label), np.array([True]), kernels[:, None, None]
        )
        at = outputs + kernels * pulls[:, 0]
        chance = 1 / (1 + np.exp(-at))
        assert np.allclose(pulls[:, 0], label - chance, atol=1e-7)
        assert np.allclose(second[:, 0], chance * (1 - chance), atol=1e-7)


def test_an_interval_covers_the_mean_and_narrows_with_the_target() -> None:
    generator = np.random.default_rng(0)
    widths = []
    for m in (20, 2000):
        parts = (
            OutputsAndLabels(np.zeros((m, 1)), np.zeros((m, 1))),
            OutputsAndLabels(np.zeros((3, 1)), np.zeros((3, 1))),
        )
        tangent = LinearizedModel(np.zeros((m + 3, m + 3)), *parts, np.array([False]), 10)
        changes = generator.normal([[0.0], [1.0], [-2.0]], 1.0, (3, m))
        low, high = bootstrap_interval(changes, tangent)
        assert ((low < changes.mean(1)) & (changes.mean(1) < high)).all()
        assert np.allclose(high - low, 2 * 1.96 * changes.std(1) / m**0.5, rtol=0.25)
        widths.append((high - low).mean())
    assert widths[0] > 7 * widths[1]


def test_a_cooled_step_is_judged_at_the_temperature_that_then_fits_best() -> None:
    generator, kinds = np.random.default_rng(3), np.array([True, False])
    outputs, labels = generator.normal(size=(46, 2)) * [6.0, 1.0], generator.normal(size=(46, 2))
    labels[:, 0] = generator.random(46) < 1 / (1 + np.exp(-outputs[:, 0] / 5))
    labels[3, 0] = labels[4, 1] = np.nan
    root = generator.normal(size=(92, 6))
    known = ~np.isnan(labels[:40])
    kept = np.concatenate([np.flatnonzero(known.ravel()), np.arange(80, 92)])
    pairs = (root @ root.T)[np.ix_(kept, kept)]
    parts = OutputsAndLabels(outputs[:40], labels[:40]), OutputsAndLabels(outputs[40:], labels[40:])
    tangent, plain = (
        LinearizedModel(pairs, *parts, kinds, 12, is_temperature_scaled=cooled) for cooled in (True, False)
    )

    def least(moved: np.ndarray) -> float:
        flags, at = labels[:40, 0][known[:, 0]], moved[(tangent.task == 0)]
        best = minimize_scalar(
            lambda heat: (np.logaddexp(0, at / np.exp(heat)) - flags * at / np.exp(heat)).sum(),
            bounds=(0, 4),
            method="bounded",
            options={"xatol": 1e-10},
        ).fun
        return best + ((moved[tangent.task == 1] - labels[:40, 1][known[:, 1]]) ** 2).sum()

    now = tangent.outputs[: tangent.n_cells]
    assert tangent.error() == pytest.approx(least(now)) and tangent.error() < plain.error() - 1
    moved = tangent._effects(tangent._updates())
    assert np.allclose(tangent.change(), [least(now + step) - least(now) for step in moved], atol=1e-6)
    first = tangent._effects(
        -loss_derivatives(tangent.outputs, tangent.labels, tangent.binary)[0][tangent.n_cells :].reshape(6, 2)
    )
    slopes = [(least(now + 1e-4 * step) - least(now - 1e-4 * step)) / 2e-4 for step in first]
    assert np.allclose(tangent.first_order_effects().sum(1), slopes, rtol=1e-4, atol=1e-4)
