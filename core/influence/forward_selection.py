"""One molecule after another: each next one is the one whose whole step leaves the least target loss."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np


class ClosedFormModel(Protocol):
    """A model in closed form that can take molecules of a pool up, and say beforehand what each would do."""

    size: int  # molecules of the pool
    n_cells: int  # measured cells of the target

    def error(self) -> float:
        """Sum of the losses of the target's cells."""

    def change(self) -> np.ndarray:
        """(size,) change of that sum if a molecule is taken up."""

    def add(self, row: int) -> None:
        """Take one up."""


def select_greedily(
    model: ClosedFormModel,
    count: int,
    stop_when_worse: bool = False,
    step: Callable[[int, float], None] = lambda done, loss: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (k,) in the order taken, and the mean target loss (k + 1,) before any and after each.

    k = `count`, or fewer where `stop_when_worse` and none is left that lowers the loss.
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
    """Mean target loss (k + 1,) before any and after each of these molecules is taken up."""
    loss = [model.error() / model.n_cells]
    for row in rows:
        model.add(int(row))
        loss.append(model.error() / model.n_cells)
    return np.array(loss)


class CrossFit(NamedTuple):
    """What a greedy choice promises and what it keeps: mean target losses (k + 1,), over both halves of the target.

    `selecting_half`: of the half that the choice was made by; `other`: of the half that had no say. What lies between their
    drops is optimism: the choice fits the molecules it is made by.
    """

    selecting_half: np.ndarray
    other: np.ndarray

    @property
    def best(self) -> int:
        """How many molecules to take for the other half's sake."""
        return int(self.other.argmin())

    @property
    def optimism(self) -> float:
        """Of the drop that the choice promises at its end, the share that the other half does not see."""
        promised, kept = (losses[0] - losses[-1] for losses in self)
        return float(1 - kept / promised) if promised > 0 else 0.0


def cross_fit(
    of: Callable[[np.ndarray], ClosedFormModel],
    molecules: int,
    count: int,
    seed: int = 0,
    step: Callable[[int, float], None] = lambda done, loss: None,
) -> CrossFit:
    """Choose by one half of the target and look at the other, both ways round.

    `of(rows)`: the model of these molecules of the target; `molecules`: how many there are.
    """
    halves = np.array_split(np.random.default_rng([seed, 5]).permutation(molecules), 2)
    promised, seen = [], []
    for own, other in (halves, halves[::-1]):
        rows, losses = select_greedily(of(own), count, step=step)
        promised.append(losses)
        seen.append(losses_along(of(other), rows))
    return CrossFit(np.mean(promised, 0), np.mean(seen, 0))
