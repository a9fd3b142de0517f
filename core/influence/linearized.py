"""A trained network linearised in its weights: full updates of adding molecules, one at a time or several together.

Near its weights θ a network is f + J Δθ. Training is assumed to be at a minimum with the damped Gauss–Newton curvature
C of its N cells. Adding a molecule z moves the weights by Δθ = C⁻¹ J_zᵀ a / N, where S = J C⁻¹ Jᵀ and
a = −ℓ′(f_z + S_zz a / N), with ℓ′ the derivative of its cells' losses. This is the full update; the first-order
approximation is a = −ℓ′(f_z). Both need S only, between the cells of the target and of the pool.

For squared errors a has a closed form (Sherman & Morrison, 1950, doi:10.1214/aoms/1177729893), exact for a linear
model. For classes it is found by Newton's method, as the mode of a Gaussian process is (Rasmussen & Williams 2006,
algorithm 3.1). One Newton step would overshoot where the model is confidently wrong, because the loss has little
curvature there.
"""

from typing import Any, NamedTuple

import numpy as np

from core.stats.temperature import cross_entropies, fit_temperatures, sigmoid

MAX_NEWTON_STEPS, MAX_HALVINGS = 100, 40
OUTPUT_TOLERANCE = 1e-9  # change of a scaled output at which Newton's method stops


class OutputsAndLabels(NamedTuple):
    """Scaled outputs and labels (n, t) of some molecules; a label is NaN where unmeasured."""

    outputs: np.ndarray
    labels: np.ndarray


class LinearizedModel:
    """Effect of adding each pool molecule on the loss of each target cell; `add` adds molecules one after another.

    `pairs` (k, k): S of the measured target cells, molecule by molecule, then of all cells (p · t) of the pool.
    `binary` (t,): whether a task has classes; `cells`: N; `molecules`: rows of the target to use, all by default. A
    molecule without a label changes nothing. `add` costs k². `is_temperature_scaled`: the target's cross-entropy is
    that at its best temperature, which is fitted again after every change of the outputs.
    """

    def __init__(
        self,
        pairs: np.ndarray,
        target: OutputsAndLabels,
        pool: OutputsAndLabels,
        binary: np.ndarray,
        cells: int,
        molecules: np.ndarray | None = None,
        is_temperature_scaled: bool = False,
    ) -> None:
        self.size, self.tasks = pool.outputs.shape
        measured = ~np.isnan(target.labels)
        if molecules is not None:
            counted = np.isin(np.arange(len(measured)), molecules)
            selected = np.concatenate([counted[np.nonzero(measured)[0]], np.ones(pool.outputs.size, bool)])
            pairs, measured = pairs[np.ix_(selected, selected)], measured & counted[:, None]
        self.molecule, self.task = np.nonzero(measured)  # (M,) of each target cell
        self.counts = measured.sum(1)  # (m,) cells of each target molecule
        self.n_cells = len(self.task)
        self.pairs = np.array(pairs, dtype=float)
        self.binary = np.concatenate([np.asarray(binary)[self.task], np.tile(binary, self.size)])  # (k,)
        self.outputs = np.concatenate([target.outputs[measured], pool.outputs.reshape(-1)]).astype(float)
        self.labels = np.concatenate([target.labels[measured], pool.labels.reshape(-1)]).astype(float)
        self.cells, self.is_temperature_scaled = cells, is_temperature_scaled

    def error(self) -> float:
        """Sum of the target cells' losses."""
        return float(self._target_losses(self.outputs[None, : self.n_cells]).sum())

    def first_order_effects(self) -> np.ndarray:
        """(p, M) first-order change of each target cell's loss if the molecule is added."""
        first, _ = self._pool_derivatives()
        effects = self._effects(-first.reshape(self.size, self.tasks))
        outputs, labels, binary = (values[: self.n_cells] for values in (self.outputs, self.labels, self.binary))
        temperatures = self._temperatures(outputs[None])[0]
        return effects * loss_derivatives(outputs / temperatures, labels, binary)[0] / temperatures

    def full_update_effects(self) -> np.ndarray:
        """(p, M) change of each target cell's loss by the full update of adding the molecule."""
        outputs = self.outputs[None, : self.n_cells]
        return self._target_losses(outputs + self._effects(self._updates())) - self._target_losses(outputs)

    def change(self) -> np.ndarray:
        """(p,) change of the sum of the target cells' losses by the full update."""
        return self.full_update_effects().sum(1)

    def leverages(self) -> np.ndarray:
        """(p,) h = ℓ″ S_zz / N: with its own label added, a molecule's prediction moves h / (1 + h) of the way to it.

        The largest over the tasks. It measures novelty to the model and does not depend on the label.
        """
        second = loss_derivatives(self.outputs, np.zeros_like(self.outputs), self.binary)[1][self.n_cells :]
        kernels = np.diagonal(self.pairs)[self.n_cells :]
        return (second * kernels / self.cells).reshape(self.size, self.tasks).max(1)

    def information(self) -> np.ndarray:
        """(p,) share of the target's summed predictive variance that measuring a molecule removes, whatever its label.

        S is the covariance of the predictions of the Bayesian linear model (MacKay 1992,
        doi:10.1162/neco.1992.4.4.590; Cohn et al. 1996, arXiv cs/9603104). All tasks are measured together.
        """
        second = loss_derivatives(self.outputs, np.zeros_like(self.outputs), self.binary)[1][self.n_cells :]
        second = second.reshape(self.size, self.tasks)
        cross_kernel = self.pairs[self.n_cells :, : self.n_cells].reshape(self.size, self.tasks, self.n_cells)
        squared = np.einsum("psm,ptm->pst", cross_kernel, cross_kernel)
        blocks = np.eye(self.tasks) + second[:, :, None] * self._own_kernels() / self.cells
        explained = np.linalg.solve(blocks, (second / self.cells)[:, :, None] * squared)
        return np.trace(explained, axis1=1, axis2=2) / max(float(np.diagonal(self.pairs)[: self.n_cells].sum()), 1e-300)

    def add(self, row: int) -> None:
        """Add a molecule of the pool to the training set."""
        self.add_rows(np.array([row]))

    def add_rows(self, rows: np.ndarray) -> None:
        """Add several in a joint full update; for squared errors the same as one after another."""
        cells = (self.n_cells + rows[:, None] * self.tasks + np.arange(self.tasks)).ravel()
        kernel = self.pairs[np.ix_(cells, cells)] / self.cells
        (update,), (second,) = newton_update(
            self.outputs[None, cells], self.labels[None, cells], self.binary[cells], kernel[None]
        )
        block = np.eye(len(cells)) + second[:, None] * kernel
        along = self.pairs[:, cells]  # (k, t)
        self.outputs = self.outputs + along @ update / self.cells
        self.pairs = self.pairs - along @ np.linalg.solve(block, (second / self.cells)[:, None] * along.T)

    def _target_losses(self, outputs: np.ndarray) -> np.ndarray:
        """(q, M) losses of the target cells at these outputs (q, M)."""
        cells = slice(self.n_cells)
        return _losses(outputs / self._temperatures(outputs), self.labels[cells], self.binary[cells])

    def _temperatures(self, outputs: np.ndarray) -> np.ndarray:
        """(q, M) temperature of each target cell's task; 1 for regression."""
        temperatures = np.ones_like(outputs)
        for task in np.unique(self.task[self.binary[: self.n_cells]]) if self.is_temperature_scaled else ():
            cells = np.flatnonzero(self.task == task)
            temperatures[:, cells] = fit_temperatures(outputs[:, cells], self.labels[cells])[:, None]
        return temperatures

    def _pool_derivatives(self) -> tuple[np.ndarray, np.ndarray]:
        """First and second derivatives of the pool cells' losses (p · t,)."""
        first, second = loss_derivatives(self.outputs, self.labels, self.binary)
        return first[self.n_cells :], second[self.n_cells :]

    def _own_kernels(self) -> np.ndarray:
        """(p, t, t): S between the cells of each molecule of the pool."""
        if self.tasks == 1:
            return np.diagonal(self.pairs)[self.n_cells :, None, None]
        pool = self.pairs[self.n_cells :, self.n_cells :].reshape(self.size, self.tasks, self.size, self.tasks)
        return np.stack([pool[row, :, row, :] for row in range(self.size)])

    def _updates(self) -> np.ndarray:
        """(p, t): a of each cell when its molecule is added alone."""
        outputs, labels, binary = (
            values[self.n_cells :].reshape(self.size, self.tasks) for values in (self.outputs, self.labels, self.binary)
        )
        return newton_update(outputs, labels, binary, self._own_kernels() / self.cells)[0]

    def _effects(self, updates: np.ndarray) -> np.ndarray:
        """(p, M) change of each target cell's output: Σ over a molecule's cells of S a / N, for `updates` a (p, t)."""
        cross_kernel = self.pairs[self.n_cells :, : self.n_cells].reshape(self.size, self.tasks, self.n_cells)
        return np.einsum("ptm,pt->pm", cross_kernel, updates) / self.cells


def linearized_model(
    arrays: dict[str, np.ndarray],
    record: dict[str, Any],
    molecules: np.ndarray | None = None,
    is_temperature_scaled: bool = True,
) -> LinearizedModel:
    """The linearised model of `Scores.tangent` (`arrays`) and `Scores.record`, for all or some target `molecules`.

    Scores of single molecules use the temperature-scaled loss (`is_temperature_scaled`). Greedy selection uses the
    plain loss: after a few molecules, one that only lowers the confidence brings no further gain.
    """
    parts = [OutputsAndLabels(arrays[f"{name}_outputs"], arrays[f"{name}_labels"]) for name in ("target", "pool")]
    binary = np.array([kind == "binary" for kind in record["kinds"]])
    return LinearizedModel(arrays["pairs"], *parts, binary, record["cells_train"], molecules, is_temperature_scaled)


class VarianceModel:
    """A linearised model whose loss is the target's predictive variance, for `core.influence.forward_selection`.

    The label of an added molecule is set to its prediction, so no prediction moves and only variances fall. Sets the
    labels of `model`.
    """

    def __init__(self, model: LinearizedModel) -> None:
        self.model, self.size, self.n_cells = model, model.size, model.n_cells
        model.labels = np.where(model.binary, sigmoid(model.outputs), model.outputs)

    def error(self) -> float:
        """Sum of the target cells' variances, in the unit of S."""
        return float(np.diagonal(self.model.pairs)[: self.n_cells].sum())

    def change(self) -> np.ndarray:
        """(p,) change of that sum if a molecule is measured."""
        return -self.model.information() * self.error()

    def add(self, row: int) -> None:
        """Measure a molecule of the pool."""
        self.model.add(row)


def effects_on_target(arrays: dict[str, np.ndarray], record: dict[str, Any], row: int) -> np.ndarray:
    """(m,) change of the loss of each target molecule by the full update of adding pool molecule `row`.

    In the unit of the scaled loss; summed over the cells of each target molecule.
    """
    tasks = arrays["pool_outputs"].shape[1]
    measured = ~np.isnan(arrays["target_labels"])
    cells = int(measured.sum()) + row * tasks + np.arange(tasks)
    selected = np.concatenate([np.arange(int(measured.sum())), cells])
    molecule_arrays = arrays | {"pairs": arrays["pairs"][np.ix_(selected, selected)]}
    molecule_arrays |= {name: arrays[name][row : row + 1] for name in ("pool_outputs", "pool_labels")}
    model = linearized_model(molecule_arrays, record)
    effects = np.zeros(len(measured))
    np.add.at(effects, model.molecule, model.full_update_effects()[0])
    return effects


def bootstrap_interval(
    changes: np.ndarray, model: LinearizedModel, seed: int = 0, draws: int = 1000, level: float = 0.95
) -> np.ndarray:
    """(2, p) bootstrap interval of the mean change over the target, from resampled target molecules.

    `changes` (p, M): of each target cell. Covers the choice of target molecules, not the training seed.
    """
    molecules = np.zeros((len(changes), len(model.counts)))
    np.add.at(molecules.T, model.molecule, changes.T)
    m = len(model.counts)
    weights = np.random.default_rng([seed, 4]).multinomial(m, np.full(m, 1 / m), size=draws)  # (draws, m)
    cells = np.maximum(weights @ model.counts, 1)
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    intervals = np.empty((2, len(changes)))
    for start in range(0, len(changes), 2048):
        part = slice(start, start + 2048)
        intervals[:, part] = np.quantile(weights @ molecules[part].T / cells[:, None], ends, axis=0)
    return intervals


def newton_update(
    outputs: np.ndarray, labels: np.ndarray, binary: np.ndarray, kernels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """a = −ℓ′(outputs + kernel a) of cells that are added together, and ℓ″ at the new outputs, both (q, c).

    `outputs`, `labels` (q, c): q groups of c cells, NaN where unmeasured; `binary` (c,) or (q, c); `kernels` (q, c, c):
    S / N between the cells of a group. Minimises the convex Σ ℓ(outputs + kernel a) + ½ aᵀ kernel a by Newton's method
    and halves a step while the objective rises. Squared errors alone need one step.
    """
    updates, current = np.zeros_like(outputs), outputs
    has_classes = bool(np.any(binary))

    def objective(updates: np.ndarray, moved: np.ndarray) -> np.ndarray:
        return (
            np.where(np.isnan(labels), 0.0, _losses(moved, labels, binary)) + 0.5 * updates * (moved - outputs)
        ).sum(1)

    for _ in range(MAX_NEWTON_STEPS):
        first, second = loss_derivatives(current, labels, binary)
        right = second * (current - outputs) - first
        if outputs.shape[1] == 1:
            step = right / (1 + second * kernels[:, :, 0]) - updates
        else:
            blocks = np.eye(outputs.shape[1]) + second[:, :, None] * kernels
            step = np.linalg.solve(blocks, right[:, :, None])[:, :, 0] - updates
        length, before = np.ones((len(outputs), 1)), objective(updates, current)
        for _ in range(MAX_HALVINGS * has_classes + 1):
            candidate = updates + length * step
            new_outputs = outputs + np.einsum("qcd,qd->qc", kernels, candidate)
            is_higher = objective(candidate, new_outputs) > before + 1e-12 * (1 + np.abs(before))
            if not (has_classes and is_higher.any()):
                break
            length[is_higher] /= 2
        change, updates, current = np.max(np.abs(new_outputs - current), initial=0.0), candidate, new_outputs
        if not has_classes or change < OUTPUT_TOLERANCE:
            break
    return updates, loss_derivatives(current, labels, binary)[1]


def loss_derivatives(outputs: np.ndarray, labels: np.ndarray, binary: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivatives of cell losses by the outputs; 0 where a label is missing."""
    chance = sigmoid(outputs)
    first = np.where(binary, chance - labels, 2 * (outputs - labels))
    second = np.where(binary, chance * (1 - chance), 2.0)
    missing = np.isnan(labels)
    return np.where(missing, 0.0, first), np.where(missing, 0.0, second)


def _losses(outputs: np.ndarray, labels: np.ndarray, binary: np.ndarray) -> np.ndarray:
    return np.where(binary, cross_entropies(outputs, labels), (outputs - labels) ** 2)
