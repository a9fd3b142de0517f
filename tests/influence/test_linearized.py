"""Full updates against refitting a linear model with the molecule added."""

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
    """Exact ridge regression with separate weights for each task; part of the labels missing."""

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
        self.weights = self.fit_with([])

    def slopes(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """(n, t, d · t) of the outputs by all weights."""
        x = self.x[name] if rows is None else self.x[name][rows]
        return np.einsum("nd,ts->ntds", x, np.eye(self.tasks)).reshape(len(x), self.tasks, self.d * self.tasks)

    def fit_with(self, added: list[int]) -> np.ndarray:
        """Minimise mean squared error + ½ damping |w|²; added molecules have weight 1 / N each."""
        rows = np.concatenate([self.slopes("train"), self.slopes("pool", np.array(added, int))])
        labels = np.concatenate([self.y["train"], self.y["pool"][added]])
        known = ~np.isnan(labels)
        a = rows[known]
        inverse = np.linalg.inv(2 * a.T @ a / self.cells + self.damping * np.eye(a.shape[1]))
        return inverse @ (2 * a.T @ labels[known] / self.cells)

    def part(self, name: str, weights: np.ndarray) -> OutputsAndLabels:
        return OutputsAndLabels(self.slopes(name) @ weights, self.y[name])

    def linearized(self) -> LinearizedModel:
        known = ~np.isnan(self.y["train"])
        a = self.slopes("train")[known]
        inverse = np.linalg.inv(2 * a.T @ a / self.cells + self.damping * np.eye(a.shape[1]))
        measured = ~np.isnan(self.y["target"])
        further = np.concatenate([self.slopes("target")[measured], self.slopes("pool").reshape(-1, a.shape[1])])
        target, pool = self.part("target", self.weights), self.part("pool", self.weights)
        return LinearizedModel(further @ inverse @ further.T, target, pool, np.zeros(self.tasks, bool), self.cells)

    def losses(self, weights: np.ndarray) -> np.ndarray:
        outputs, labels = self.part("target", weights)
        return ((outputs - labels) ** 2)[~np.isnan(labels)]


@pytest.mark.parametrize("tasks", [1, 2])
def test_a_full_update_matches_refitting(tasks: int) -> None:
    linear = Linear(tasks)
    model, before = linear.linearized(), linear.losses(linear.weights)
    effects = model.full_update_effects()
    assert model.error() == pytest.approx(before.sum())
    for row in range(7):
        assert np.allclose(effects[row], linear.losses(linear.fit_with([row])) - before, atol=1e-12)
    assert not effects[2].any(), "a molecule without a label changes nothing"
    assert np.allclose(model.change(), effects.sum(1))


@pytest.mark.parametrize("tasks", [1, 2])
def test_added_molecules_match_refitting_with_all_of_them(tasks: int) -> None:
    linear = Linear(tasks)
    model, added = linear.linearized(), []
    for row in (4, 0, 6, 2):
        predicted = model.error() + model.change()[row]
        model.add(row)
        added.append(row)
        true = linear.losses(linear.fit_with(added)).sum()
        assert model.error() == pytest.approx(true, rel=1e-9) and predicted == pytest.approx(true, rel=1e-9)


@pytest.mark.parametrize("tasks", [1, 2])
def test_a_joint_update_matches_single_updates(tasks: int) -> None:
    linear = Linear(tasks)
    one, other = linear.linearized(), linear.linearized()
    one.add_rows(np.array([4, 0, 2, 6]))
    for row in (4, 0, 2, 6):
        other.add(row)
    assert np.allclose(one.outputs, other.outputs, equal_nan=True) and np.allclose(one.pairs, other.pairs)


@pytest.mark.parametrize("tasks", [1, 2])
def test_first_order_is_the_derivative_by_the_molecule_weight(tasks: int) -> None:
    linear = Linear(tasks)
    model = linear.linearized()
    whole, first = model.full_update_effects(), model.first_order_effects()
    model.cells = model.cells * 10**6  # a millionth of the molecule weight
    assert np.allclose(model.full_update_effects() * 10**6, first, rtol=1e-4, atol=1e-7)
    assert not np.allclose(whole, first, rtol=0.02)


def test_a_subset_of_the_target() -> None:
    linear, some = Linear(2), np.array([0, 5, 6])
    whole, known = linear.linearized(), ~np.isnan(linear.y["target"])
    target, pool = linear.part("target", linear.weights), linear.part("pool", linear.weights)
    fewer = LinearizedModel(whole.pairs, target, pool, np.zeros(2, bool), linear.cells, some)
    selected = np.isin(whole.molecule, some)
    assert fewer.n_cells == known[some].sum() == selected.sum() and fewer.size == 7
    assert np.allclose(fewer.full_update_effects(), whole.full_update_effects()[:, selected])
    fewer.add(4)
    whole.add(4)
    assert np.allclose(fewer.full_update_effects(), whole.full_update_effects()[:, selected])


def test_greedy_selection_is_best_by_refitting_at_every_step() -> None:
    linear = Linear(1)
    rows, losses = select_greedily(linear.linearized(), 6)
    for step in range(6):
        free = [row for row in range(7) if row not in rows[:step]]
        true = {row: linear.losses(linear.fit_with([*rows[:step].tolist(), row])).mean() for row in free}
        assert true[rows[step]] == pytest.approx(min(true.values())) == pytest.approx(losses[step + 1])


def test_effects_on_each_target_molecule() -> None:
    linear = Linear(2)
    model = linear.linearized()
    arrays = {"pairs": model.pairs}
    for name in ("target", "pool"):
        part = linear.part(name, linear.weights)
        arrays |= {f"{name}_outputs": part.outputs, f"{name}_labels": part.labels}
    record = {"kinds": ["regression"] * 2, "cells_train": linear.cells}
    for row in (0, 2, 5):
        effects = effects_on_target(arrays, record, row)
        changed = np.zeros(9)
        np.add.at(changed, model.molecule, model.full_update_effects()[row])
        assert np.allclose(effects, changed, atol=1e-12) and effects.shape == (9,)


def test_leverage_is_how_far_a_prediction_follows_its_own_label() -> None:
    linear = Linear(1)
    model = linear.linearized()
    h = model.leverages()
    before = linear.part("pool", linear.weights).outputs[:, 0]
    for row in (0, 4):
        after = linear.part("pool", linear.fit_with([row])).outputs[row, 0]
        share = (after - before[row]) / (linear.y["pool"][row, 0] - before[row])
        assert share == pytest.approx(h[row] / (1 + h[row]), rel=1e-9)
    assert h[2] > 0, "also without a label"


@pytest.mark.parametrize("tasks", [1, 2])
def test_information_is_the_variance_that_a_measurement_removes(tasks: int) -> None:
    linear = Linear(tasks)
    before = float(np.diagonal(linear.linearized().pairs)[: linear.linearized().n_cells].sum())
    information = linear.linearized().information()
    assert (information > 0).all() and (information < 1).all()
    for row in (0, 2, 5):
        model = VarianceModel(linear.linearized())
        outputs = model.model.outputs
        assert model.change()[row] == pytest.approx(-information[row] * before)
        model.add(row)
        assert model.error() == pytest.approx((1 - information[row]) * before)
        assert np.allclose(model.model.outputs, outputs), "no prediction moves"
    rows, left = select_greedily(VarianceModel(linear.linearized()), 7)
    assert len(set(rows.tolist())) == 7 and (np.diff(left) < 0).all() and rows[0] == information.argmax()


def minimise_update(
    slopes: np.ndarray, curvature: np.ndarray, part: OutputsAndLabels, binary: np.ndarray, cells: int
) -> np.ndarray:
    """The update Δ that minimises ½ Δᵀ C Δ + Σ ℓ(outputs + slopes Δ) / N, by a general minimiser."""
    known = ~np.isnan(part.labels)
    rows, outputs, labels = slopes[known], part.outputs[known], part.labels[known]
    is_class = np.broadcast_to(binary, known.shape)[known]

    def objective(step: np.ndarray) -> tuple[float, np.ndarray]:
        moved_outputs = outputs + rows @ step
        losses = np.where(
            is_class, np.logaddexp(0, moved_outputs) - labels * moved_outputs, (moved_outputs - labels) ** 2
        )
        slope = np.where(is_class, 1 / (1 + np.exp(-moved_outputs)) - labels, 2 * (moved_outputs - labels))
        return 0.5 * step @ curvature @ step + losses.sum() / cells, curvature @ step + rows.T @ slope / cells

    start = np.zeros(slopes.shape[-1])
    return minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-12, "maxiter": 2000}).x


@pytest.mark.parametrize("binary", [(True,), (True, False)], ids=["classes", "classes and numbers"])
def test_full_updates_of_classes_match_refitting(binary: tuple[bool, ...]) -> None:
    """For one molecule and several, also where the model is confidently wrong and the loss has little curvature."""
    generator, tasks, cells = np.random.default_rng(1), len(binary), 4
    slopes = generator.normal(size=(9, tasks, 3 * tasks))
    root = generator.normal(size=(3 * tasks, 3 * tasks))
    curvature = root @ root.T / 9 + 0.05 * np.eye(3 * tasks)
    outputs = generator.normal(size=(9, tasks))
    outputs[5:7, 0] = -9.0, 8.0
    labels = np.where(binary, generator.random((9, tasks)) < 0.5, generator.normal(size=(9, tasks))).astype(float)
    labels[5:7, 0] = 1.0, 0.0  # both confidently wrong
    labels[4, -1] = np.nan
    parts = OutputsAndLabels(outputs[:4], labels[:4]), OutputsAndLabels(outputs[4:], labels[4:])
    flat = slopes.reshape(-1, 3 * tasks)
    pairs = flat @ np.linalg.inv(curvature) @ flat.T

    def losses(step: np.ndarray) -> np.ndarray:
        moved_outputs = parts[0].outputs + slopes[:4] @ step
        return np.where(
            binary, np.logaddexp(0, moved_outputs) - labels[:4] * moved_outputs, (moved_outputs - labels[:4]) ** 2
        ).ravel()

    model = LinearizedModel(pairs, *parts, np.array(binary), cells)
    effects, before = model.full_update_effects(), losses(np.zeros(3 * tasks))
    for row in range(5):
        mine = slice(4 + row, 5 + row)
        step = minimise_update(
            slopes[mine], curvature, OutputsAndLabels(outputs[mine], labels[mine]), np.array(binary), cells
        )
        assert np.allclose(effects[row], losses(step) - before, rtol=1e-5, atol=1e-6)
    model.add_rows(np.array([1, 2, 4]))
    chosen = np.array([5, 6, 8])
    step = minimise_update(
        slopes[chosen], curvature, OutputsAndLabels(outputs[chosen], labels[chosen]), np.array(binary), cells
    )
    assert np.allclose(model.outputs, (outputs + slopes @ step).ravel(), rtol=1e-5, atol=1e-5)
    moved_outputs = (outputs + slopes @ step)[chosen]
    second = np.where(binary, 1 / (1 + np.exp(-moved_outputs)) / (1 + np.exp(moved_outputs)), 2.0)
    rows = slopes[chosen]
    updated_curvature = curvature + np.einsum("nt,ntw,ntv->wv", second, rows, rows) / cells
    assert np.allclose(model.pairs, flat @ np.linalg.inv(updated_curvature) @ flat.T, rtol=1e-5, atol=1e-6)


def test_an_update_is_the_residual_at_the_new_outputs() -> None:
    """From confidently right to confidently wrong, with small and large kernels."""
    outputs, kernels = (each.ravel() for each in np.meshgrid(np.linspace(-30, 30, 41), np.logspace(-4, 4, 17)))
    for label in (0.0, 1.0):
        updates, second = newton_update(
            outputs[:, None], np.full((len(outputs), 1), label), np.array([True]), kernels[:, None, None]
        )
        moved_outputs = outputs + kernels * updates[:, 0]
        chance = 1 / (1 + np.exp(-moved_outputs))
        assert np.allclose(updates[:, 0], label - chance, atol=1e-7)
        assert np.allclose(second[:, 0], chance * (1 - chance), atol=1e-7)


def test_an_interval_covers_the_mean_and_narrows_with_the_target() -> None:
    generator = np.random.default_rng(0)
    widths = []
    for m in (20, 2000):
        parts = (
            OutputsAndLabels(np.zeros((m, 1)), np.zeros((m, 1))),
            OutputsAndLabels(np.zeros((3, 1)), np.zeros((3, 1))),
        )
        model = LinearizedModel(np.zeros((m + 3, m + 3)), *parts, np.array([False]), 10)
        changes = generator.normal([[0.0], [1.0], [-2.0]], 1.0, (3, m))
        low, high = bootstrap_interval(changes, model)
        assert ((low < changes.mean(1)) & (changes.mean(1) < high)).all()
        assert np.allclose(high - low, 2 * 1.96 * changes.std(1) / m**0.5, rtol=0.25)
        widths.append((high - low).mean())
    assert widths[0] > 7 * widths[1]


def test_temperature_scaled_effects_refit_the_temperature() -> None:
    generator, kinds = np.random.default_rng(3), np.array([True, False])
    outputs, labels = generator.normal(size=(46, 2)) * [6.0, 1.0], generator.normal(size=(46, 2))
    labels[:, 0] = generator.random(46) < 1 / (1 + np.exp(-outputs[:, 0] / 5))
    labels[3, 0] = labels[4, 1] = np.nan
    root = generator.normal(size=(92, 6))
    known = ~np.isnan(labels[:40])
    selected = np.concatenate([np.flatnonzero(known.ravel()), np.arange(80, 92)])
    pairs = (root @ root.T)[np.ix_(selected, selected)]
    parts = OutputsAndLabels(outputs[:40], labels[:40]), OutputsAndLabels(outputs[40:], labels[40:])
    model, plain = (LinearizedModel(pairs, *parts, kinds, 12, is_temperature_scaled=scaled) for scaled in (True, False))

    def scaled_loss(moved: np.ndarray) -> float:
        flags, moved_outputs = labels[:40, 0][known[:, 0]], moved[(model.task == 0)]
        best = minimize_scalar(
            lambda log_temperature: (
                np.logaddexp(0, moved_outputs / np.exp(log_temperature))
                - flags * moved_outputs / np.exp(log_temperature)
            ).sum(),
            bounds=(0, 4),
            method="bounded",
            options={"xatol": 1e-10},
        ).fun
        return best + ((moved[model.task == 1] - labels[:40, 1][known[:, 1]]) ** 2).sum()

    now = model.outputs[: model.n_cells]
    assert model.error() == pytest.approx(scaled_loss(now)) and model.error() < plain.error() - 1
    moved = model._effects(model._updates())
    assert np.allclose(model.change(), [scaled_loss(now + step) - scaled_loss(now) for step in moved], atol=1e-6)
    first = model._effects(
        -loss_derivatives(model.outputs, model.labels, model.binary)[0][model.n_cells :].reshape(6, 2)
    )
    slopes = [(scaled_loss(now + 1e-4 * step) - scaled_loss(now - 1e-4 * step)) / 2e-4 for step in first]
    assert np.allclose(model.first_order_effects().sum(1), slopes, rtol=1e-4, atol=1e-4)
