"""The last layer in closed form over fixed features: what adding one molecule really does, one after another.

Ridge regression of the scaled labels on the features X (n, p), standardised on the training part, with an intercept
that is not penalised: w = A⁻¹Xᵀy, A = XᵀX + λI. A molecule with features x and residual r = xᵀw − y changes the weights
by Δw = −A⁻¹x r / (1 + h), h = xᵀA⁻¹x (Sherman & Morrison, 1950, doi:10.1214/aoms/1177729893): the whole step, not its
first order, so that what a second copy would add is known to be less. The features may be anything that stays fixed.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Standardizer:
    """Centre and spread of features on the training part; a feature that is constant there is left out."""

    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Standardizer":
        spread = features.std(0, dtype=float)
        return cls(features.mean(0, dtype=float), np.where(spread > 1e-8 * max(spread.max(), 1e-300), spread, np.inf))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features (n, p) → (n, p' + 1): standardised, and a 1 for the intercept."""
        kept = np.isfinite(self.spread)
        scaled = (features[:, kept].astype(float) - self.centre[kept]) / self.spread[kept]
        return np.hstack([scaled, np.ones((len(features), 1))])


class Ridge:
    """One task's last layer, and what each candidate of a pool would do to its squared error on the target part.

    Rows without a label are left out; a candidate without one changes nothing. Cost: p³ once, then p(n + m) a step.
    """

    def __init__(
        self,
        train: tuple[np.ndarray, np.ndarray],
        target: tuple[np.ndarray, np.ndarray],
        pool: tuple[np.ndarray, np.ndarray],
        damping: float,
    ) -> None:
        (x, y), (v, t), (self.x, z) = train, target, pool
        x, y = x[~np.isnan(y)], y[~np.isnan(y)]
        self.v, t = v[~np.isnan(t)], t[~np.isnan(t)]
        penalty = np.full(x.shape[1], damping)
        penalty[-1] = 1e-9 * len(x)
        self.inverse = np.linalg.inv(x.T @ x + np.diag(penalty))
        self.w = self.inverse @ (x.T @ y)
        self.labelled = ~np.isnan(z)
        self.r = np.where(self.labelled, self.x @ self.w - z, 0.0)  # (n,) residuals of the candidates
        self.e = self.v @ self.w - t  # (m,) residuals of the target
        self.gram = self.v.T @ self.v
        self._update_leverages()

    def _update_leverages(self) -> None:
        """h = xᵀA⁻¹x and |V A⁻¹x|² of each candidate, from the inverse as it stands."""
        moved = self.x @ self.inverse  # (n, p)
        self.h = np.einsum("np,np->n", moved, self.x)
        self.q = np.einsum("np,np->n", moved @ self.gram, moved)

    def error(self) -> float:
        """Sum of squared errors on the target part."""
        return float(self.e @ self.e)

    def change(self) -> np.ndarray:
        """(n,) change of that sum if the candidate is added: the exact one, of the whole step."""
        slope = self.x @ (self.inverse @ (self.v.T @ self.e))  # eᵀ V A⁻¹ x
        c = self.r / (1 + self.h)
        return np.where(self.labelled, c * c * self.q - 2 * c * slope, 0.0)

    def add(self, row: int) -> None:
        """Take a candidate into the training part."""
        if not self.labelled[row]:
            return
        u = self.inverse @ self.x[row]  # (p,)
        a = 1 / (1 + self.h[row])
        step = a * self.r[row]
        along, seen = self.x @ u, self.v @ u  # (n,), (m,)
        across = self.x @ (self.inverse @ (self.v.T @ seen))  # (V A⁻¹x)·(V u), with the inverse as it was
        self.w = self.w - step * u
        self.e = self.e - step * seen
        self.r = np.where(self.labelled, self.r - step * along, 0.0)
        self.q = np.maximum(self.q - 2 * a * along * across + (a * along) ** 2 * (seen @ seen), 0.0)
        self.h = np.maximum(self.h - a * along**2, 0.0)
        self.inverse = self.inverse - a * np.outer(u, u)


class RidgeLastLayer:
    """The last layers of all tasks together, as a model that takes up molecules (`core.influence.forward_selection`).

    `arrays`: `train`, `target`, `pool` features (n, p) and `train_labels`, `target_labels`, `pool_labels` (n, t);
    `molecules`: rows of the target that count, by default all.
    """

    def __init__(self, arrays: dict[str, np.ndarray], damping: float, molecules: np.ndarray | None = None) -> None:
        standard = Standardizer.of(arrays["train"])
        rows = {"target": slice(None) if molecules is None else molecules}
        features = {part: standard(arrays[part])[rows.get(part, slice(None))] for part in ("train", "target", "pool")}
        labels = {part: arrays[f"{part}_labels"][rows.get(part, slice(None))].astype(float) for part in features}
        self.layers = [
            Ridge(*[(features[part], labels[part][:, task]) for part in features], damping=damping)
            for task in range(labels["train"].shape[1])
        ]
        self.size, self.n_cells = len(arrays["pool"]), int((~np.isnan(labels["target"])).sum())

    def error(self) -> float:
        """Sum of the squared errors of the target's measured cells."""
        return sum(layer.error() for layer in self.layers)

    def change(self) -> np.ndarray:
        """(n,) change of that sum if a molecule of the pool is taken up."""
        return sum(layer.change() for layer in self.layers)

    def add(self, row: int) -> None:
        """Take a molecule of the pool up, in every task it has a label of."""
        for layer in self.layers:
            layer.add(row)
