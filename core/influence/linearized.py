"""A fit as a linear model in its own slopes: what taking up molecules does, in whole steps, one after another.

Near its weights a network is f + J Δ. Training is thought of as having settled on the damped Gauss–Newton curvature C
of its N cells. A molecule z that is taken up, with the derivative ℓ′ of its cells' losses, then moves the weights by
Δ = C⁻¹ J_zᵀ a / N, where a = −ℓ′(f_z + S_zz a / N) and S = J C⁻¹ Jᵀ: the whole step, not its first order a = −ℓ′(f_z).
S, between the cells of the target and of the pool, is all there is to know.

Of squared errors a is known at once (Sherman & Morrison, 1950, doi:10.1214/aoms/1177729893), and the step is exact for
a linear model. Of a class it is found by Newton's method, as the mode of a Gaussian process is (Rasmussen & Williams
2006, algorithm 3.1): a single step of it would go far beyond a label that the model is surely wrong about, where the
loss hardly bends.
"""

from typing import Any, NamedTuple

import numpy as np

from core.stats.temperature import cross_entropies, fit_temperatures, sigmoid

MAX_NEWTON_STEPS, MAX_HALVINGS = 100, 40  # steps at most
OUTPUT_TOLERANCE = 1e-9  # of an output: what moves by less stands


class OutputsAndLabels(NamedTuple):
    """Scaled outputs and labels (n, t) of some molecules; a label is NaN where unmeasured."""

    outputs: np.ndarray
    labels: np.ndarray


class LinearizedModel:
    """What each molecule of a pool would do to the loss of each target cell, and the taking up of one after another.

    `pairs` (k, k): S of the measured target cells, molecule by molecule, then of all cells (p · t) of the pool.
    `binary` (t,): which tasks are; `cells`: N; `molecules`: rows of the target that count, by default all. A molecule
    without a label changes nothing. A step costs k². `is_temperature_scaled`: the target's loss of a class is that at the temperature
    which fits it best, found again wherever the outputs go.
    """

    def __init__(
        self,
        pairs: np.ndarray,
        target: OutputsAndLabels,
        pool: OutputsAndLabels,
        binary: np.ndarray,
        cells: int,
        molecules: np.ndarray | None = None,
        cooled: bool = False,
    ) -> None:
        self.size, self.tasks = pool.outputs.shape
        measured = ~np.isnan(target.labels)
        if molecules is not None:
            wanted = np.isin(np.arange(len(measured)), molecules)
            kept = np.concatenate([wanted[np.nonzero(measured)[0]], np.ones(pool.outputs.size, bool)])
            pairs, measured = pairs[np.ix_(kept, kept)], measured & wanted[:, None]
        self.molecule, self.task = np.nonzero(measured)  # (M,) of each target cell
        self.counts = measured.sum(1)  # (m,) cells that count of each target molecule
        self.n_cells = len(self.task)
        self.pairs = np.array(pairs, dtype=float)
        self.binary = np.concatenate([np.asarray(binary)[self.task], np.tile(binary, self.size)])  # (k,)
        self.outputs = np.concatenate([target.outputs[measured], pool.outputs.reshape(-1)]).astype(float)
        self.labels = np.concatenate([target.labels[measured], pool.labels.reshape(-1)]).astype(float)
        self.cells, self.is_temperature_scaled = cells, cooled

    def error(self) -> float:
        """Sum of the target cells' losses."""
        return float(self._target_losses(self.outputs[None, : self.n_cells]).sum())

    def first_order_effects(self) -> np.ndarray:
        """(p, M) change of each target cell's loss, as if a molecule's weight were small."""
        first, _ = self._pool_derivatives()
        effects = self._effects(-first.reshape(self.size, self.tasks))
        outputs, labels, binary = (values[: self.n_cells] for values in (self.outputs, self.labels, self.binary))
        at = self._temperatures(outputs[None])[0]
        return effects * loss_derivatives(outputs / at, labels, binary)[0] / at

    def full_update_effects(self) -> np.ndarray:
        """(p, M) change of each target cell's loss if the molecule is taken up."""
        outputs = self.outputs[None, : self.n_cells]
        return self._target_losses(outputs + self._effects(self._updates())) - self._target_losses(outputs)

    def change(self) -> np.ndarray:
        """(p,) change of the sum of the target cells' losses, by the whole step."""
        return self.full_update_effects().sum(1)

    def leverages(self) -> np.ndarray:
        """(p,) ℓ″ S_zz / N: how far a molecule's prediction would follow a label of its own, h of h / (1 + h).

        Of several tasks the largest. Says how much of a molecule is new to the model, whatever its label.
        """
        second = loss_derivatives(self.outputs, np.zeros_like(self.outputs), self.binary)[1][self.n_cells :]
        own = np.diagonal(self.pairs)[self.n_cells :]
        return (second * own / self.cells).reshape(self.size, self.tasks).max(1)

    def information(self) -> np.ndarray:
        """(p,) share of the target's summed variance that measuring a molecule takes away, whatever its label will be.

        Of the linear model as a Bayesian one, in which S is the covariance of what is predicted (MacKay 1992,
        doi:10.1162/neco.1992.4.4.590; Cohn et al. 1996, arXiv cs/9603104). A molecule's tasks are measured together.
        """
        second = loss_derivatives(self.outputs, np.zeros_like(self.outputs), self.binary)[1][self.n_cells :]
        second = second.reshape(self.size, self.tasks)
        across = self.pairs[self.n_cells :, : self.n_cells].reshape(self.size, self.tasks, self.n_cells)
        seen = np.einsum("psm,ptm->pst", across, across)
        blocks = np.eye(self.tasks) + second[:, :, None] * self._own_kernels() / self.cells
        taken = np.linalg.solve(blocks, (second / self.cells)[:, :, None] * seen)
        return np.trace(taken, axis1=1, axis2=2) / max(float(np.diagonal(self.pairs)[: self.n_cells].sum()), 1e-300)

    def add(self, row: int) -> None:
        """Take a molecule of the pool up."""
        self.add_rows(np.array([row]))

    def add_rows(self, rows: np.ndarray) -> None:
        """Take several up in one step; for squared errors the same as one after another."""
        mine = (self.n_cells + rows[:, None] * self.tasks + np.arange(self.tasks)).ravel()
        own = self.pairs[np.ix_(mine, mine)] / self.cells
        (pulls,), (second,) = newton_update(
            self.outputs[None, mine], self.labels[None, mine], self.binary[mine], own[None]
        )
        block = np.eye(len(mine)) + second[:, None] * own
        along = self.pairs[:, mine]  # (k, t)
        self.outputs = self.outputs + along @ pulls / self.cells
        self.pairs = self.pairs - along @ np.linalg.solve(block, (second / self.cells)[:, None] * along.T)

    def _target_losses(self, outputs: np.ndarray) -> np.ndarray:
        """(q, M) losses of the target cells, were their outputs these (q, M)."""
        own = slice(self.n_cells)
        return _losses(outputs / self._temperatures(outputs), self.labels[own], self.binary[own])

    def _temperatures(self, outputs: np.ndarray) -> np.ndarray:
        """(q, M): of each target cell that of its task; 1 where that is no class."""
        found = np.ones_like(outputs)
        for task in np.unique(self.task[self.binary[: self.n_cells]]) if self.is_temperature_scaled else ():
            mine = np.flatnonzero(self.task == task)
            found[:, mine] = fit_temperatures(outputs[:, mine], self.labels[mine])[:, None]
        return found

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
        """(p, t): how hard each cell of a molecule pulls once it is taken up, a of above."""
        outputs, labels, binary = (
            values[self.n_cells :].reshape(self.size, self.tasks) for values in (self.outputs, self.labels, self.binary)
        )
        return newton_update(outputs, labels, binary, self._own_kernels() / self.cells)[0]

    def _effects(self, pulls: np.ndarray) -> np.ndarray:
        """(p, M): Σ over a molecule's cells of S / N × its pull, what a target cell's output is moved by."""
        across = self.pairs[self.n_cells :, : self.n_cells].reshape(self.size, self.tasks, self.n_cells)
        return np.einsum("ptm,pt->pm", across, pulls) / self.cells


def linearized_model(
    arrays: dict[str, np.ndarray],
    record: dict[str, Any],
    molecules: np.ndarray | None = None,
    is_temperature_scaled: bool = True,
) -> LinearizedModel:
    """The linear model that scores keep (`Scores.tangent` and `Scores.record`), of all or some target molecules.

    `is_temperature_scaled` as scores are: where each molecule is judged alone. A choice of several, each beside the others, sees by
    the loss as it is that what only makes a model less sure soon gains nothing more.
    """
    parts = [OutputsAndLabels(arrays[f"{name}_outputs"], arrays[f"{name}_labels"]) for name in ("target", "pool")]
    binary = np.array([kind == "binary" for kind in record["kinds"]])
    return LinearizedModel(arrays["pairs"], *parts, binary, record["cells_train"], molecules, is_temperature_scaled)


class VarianceModel:
    """A tangent in which only what is known matters, as a model of `core.influence.forward_selection`: its loss is the target's variance.

    A molecule is taken up as if its label were what is predicted for it: that moves no prediction and makes all of them
    surer.
    """

    def __init__(self, tangent: LinearizedModel) -> None:
        self.tangent, self.size, self.n_cells = tangent, tangent.size, tangent.n_cells
        tangent.labels = np.where(tangent.binary, sigmoid(tangent.outputs), tangent.outputs)

    def error(self) -> float:
        """Sum of the target cells' variances, in the unit that S has."""
        return float(np.diagonal(self.tangent.pairs)[: self.n_cells].sum())

    def change(self) -> np.ndarray:
        """(p,) change of that sum if a molecule is measured."""
        return -self.tangent.information() * self.error()

    def add(self, row: int) -> None:
        """Measure one."""
        self.tangent.add(row)


def effects_on_target(arrays: dict[str, np.ndarray], record: dict[str, Any], row: int) -> np.ndarray:
    """(m,) what one molecule of the pool would do to the loss of each molecule of the target, by its whole step.

    Their sum over the target's measured cells is its whole step; in the unit of the scaled loss.
    """
    tasks = arrays["pool_outputs"].shape[1]
    measured = ~np.isnan(arrays["target_labels"])
    own = int(measured.sum()) + row * tasks + np.arange(tasks)
    kept = np.concatenate([np.arange(int(measured.sum())), own])
    few = arrays | {"pairs": arrays["pairs"][np.ix_(kept, kept)]}
    few |= {name: arrays[name][row : row + 1] for name in ("pool_outputs", "pool_labels")}
    alone = linearized_model(few, record)
    found = np.zeros(len(measured))
    np.add.at(found, alone.molecule, alone.full_update_effects()[0])
    return found


def bootstrap_interval(
    changes: np.ndarray, tangent: LinearizedModel, seed: int = 0, draws: int = 1000, level: float = 0.95
) -> np.ndarray:
    """(2, p): within which the mean over the target lies if the target's molecules are drawn again (bootstrap).

    `changes` (p, M) of each target cell. Says how much hangs on which molecules happen to be in the target, nothing of
    the fit's own chance.
    """
    molecules = np.zeros((len(changes), len(tangent.counts)))
    np.add.at(molecules.T, tangent.molecule, changes.T)
    m = len(tangent.counts)
    weights = np.random.default_rng([seed, 4]).multinomial(m, np.full(m, 1 / m), size=draws)  # (draws, m)
    cells = np.maximum(weights @ tangent.counts, 1)
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    found = np.empty((2, len(changes)))
    for start in range(0, len(changes), 2048):
        part = slice(start, start + 2048)
        found[:, part] = np.quantile(weights @ molecules[part].T / cells[:, None], ends, axis=0)
    return found


def newton_update(
    outputs: np.ndarray, labels: np.ndarray, binary: np.ndarray, kernels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pulls a = −ℓ′(outputs + kernel a) of cells that are taken up together, and the ℓ″ where that ends.

    `outputs`, `labels` (q, c): q groups of c cells, NaN where unmeasured; `binary` (c,) or (q, c); `kernels` (q, c, c):
    S / N between the cells of a group. The least of Σ ℓ(outputs + kernel a) + ½ aᵀ kernel a, which is convex: Newton's
    method, a step halved as long as it leads up. Squared errors alone need one step.
    """
    pulls, at = np.zeros_like(outputs), outputs
    curved = bool(np.any(binary))

    def height(pulls: np.ndarray, at: np.ndarray) -> np.ndarray:
        return (np.where(np.isnan(labels), 0.0, _losses(at, labels, binary)) + 0.5 * pulls * (at - outputs)).sum(1)

    for _ in range(MAX_NEWTON_STEPS):
        first, second = loss_derivatives(at, labels, binary)
        right = second * (at - outputs) - first
        if outputs.shape[1] == 1:
            step = right / (1 + second * kernels[:, :, 0]) - pulls
        else:
            blocks = np.eye(outputs.shape[1]) + second[:, :, None] * kernels
            step = np.linalg.solve(blocks, right[:, :, None])[:, :, 0] - pulls
        length, before = np.ones((len(outputs), 1)), height(pulls, at)
        for _ in range(MAX_HALVINGS * curved + 1):
            tried = pulls + length * step
            there = outputs + np.einsum("qcd,qd->qc", kernels, tried)
            up = height(tried, there) > before + 1e-12 * (1 + np.abs(before))
            if not (curved and up.any()):
                break
            length[up] /= 2
        moved, pulls, at = np.max(np.abs(there - at), initial=0.0), tried, there
        if not curved or moved < OUTPUT_TOLERANCE:
            break
    return pulls, loss_derivatives(at, labels, binary)[1]


def loss_derivatives(outputs: np.ndarray, labels: np.ndarray, binary: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivatives of cell losses by the outputs; 0 where there is no label."""
    chance = sigmoid(outputs)
    first = np.where(binary, chance - labels, 2 * (outputs - labels))
    second = np.where(binary, chance * (1 - chance), 2.0)
    missing = np.isnan(labels)
    return np.where(missing, 0.0, first), np.where(missing, 0.0, second)


def _losses(outputs: np.ndarray, labels: np.ndarray, binary: np.ndarray) -> np.ndarray:
    return np.where(binary, cross_entropies(outputs, labels), (outputs - labels) ** 2)
