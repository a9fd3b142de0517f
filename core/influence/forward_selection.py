"""Greedy forward selection: each next molecule is the one whose full update leaves the lowest target loss."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np


class ClosedFormModel(Protocol):
    """A model with a closed-form update: it predicts the effect of adding a pool molecule, and can add it."""

    size: int  # molecules of the pool
    n_cells: int  # measured cells of the target

    def error(self) -> float:
        """Sum of the losses of the target's cells."""

    def change(self) -> np.ndarray:
        """(size,) change of that sum if each molecule is added."""

    def add(self, row: int) -> None:
        """Add a molecule of the pool."""


def select_greedily(
    model: ClosedFormModel,
    count: int,
    stop_when_worse: bool = False,
    step: Callable[[int, float], None] = lambda done, loss: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (k,) in the order of selection, and the mean target loss (k + 1,) before any and after each.

    k = `count`, or fewer with `stop_when_worse`, when no molecule lowers the loss any more.
    """
    loss, rows = [model.error() / model.n_cells], []
    free = np.ones(model.size, bool)
    while len(rows) < count:
        change = np.where(free, model.change(), np.inf)
        best = int(change.argmin())
        if stop_when_worse and change[best] >= 0:
            break
        model.add(best)
        free[best] = False
        rows.append(best)
        loss.append(model.error() / model.n_cells)
        step(len(rows), loss[-1])
    return np.array(rows, dtype=int), np.array(loss)


def losses_along(model: ClosedFormModel, rows: np.ndarray) -> np.ndarray:
    """Mean target loss (k + 1,) before any and after each of these molecules is added."""
    loss = [model.error() / model.n_cells]
    for row in rows:
        model.add(int(row))
        loss.append(model.error() / model.n_cells)
    return np.array(loss)


class CrossFit(NamedTuple):
    """Two-fold cross-fitting of a greedy selection: mean target losses (k + 1,), averaged over both folds.

    `selecting_half`: of the half of the target that selected; `other`: of the half that was not used. The difference
    of their drops is optimism, because a selection fits the molecules it is made by.
    """

    selecting_half: np.ndarray
    other: np.ndarray

    @property
    def best(self) -> int:
        """Number of molecules at which the loss of the other half is lowest."""
        return int(self.other.argmin())

    @property
    def optimism(self) -> float:
        """Share of the predicted drop in loss, at the end of the selection, that the other half does not confirm."""
        predicted, other = (losses[0] - losses[-1] for losses in self)
        return float(1 - other / predicted) if predicted > 0 else 0.0


def cross_fit(
    build_model: Callable[[np.ndarray], ClosedFormModel],
    molecules: int,
    count: int,
    seed: int = 0,
    step: Callable[[int, float], None] = lambda done, loss: None,
) -> CrossFit:
    """Select by one half of the target and evaluate on the other, then the other way round.

    `build_model(rows)`: the model for these rows of the target; `molecules`: number of target molecules.
    """
    halves = np.array_split(np.random.default_rng([seed, 5]).permutation(molecules), 2)
    selecting_losses, other_losses = [], []
    for selecting, other in (halves, halves[::-1]):
        rows, losses = select_greedily(build_model(selecting), count, step=step)
        selecting_losses.append(losses)
        other_losses.append(losses_along(build_model(other), rows))
    return CrossFit(np.mean(selecting_losses, 0), np.mean(other_losses, 0))
