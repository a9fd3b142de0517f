"""Ridge regression on fixed features in closed form: exact effects of adding molecules, one after another.

Scaled labels y on features X (n, p), standardised on the training part, with an intercept that is not penalised:
w = A⁻¹Xᵀy, A = XᵀX + λI. Adding a molecule with features x and residual r = xᵀw − y changes the weights by the full
update Δw = −A⁻¹x r / (1 + h), h = xᵀA⁻¹x (Sherman & Morrison, 1950, doi:10.1214/aoms/1177729893). Unlike a first-order
score, it accounts for near-duplicates. Any features that training does not change will do.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Standardizer:
    """Mean and standard deviation of features on the training part; features constant there are dropped."""

    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Standardizer":
        """Fit to features (n, p) of the training part."""
        spread = features.std(0, dtype=float)
        return cls(features.mean(0, dtype=float), np.where(spread > 1e-8 * max(spread.max(), 1e-300), spread, np.inf))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features (n, p) → (n, p' + 1): standardised, and a 1 for the intercept."""
        varying = np.isfinite(self.spread)
        scaled = (features[:, varying].astype(float) - self.centre[varying]) / self.spread[varying]
        return np.hstack([scaled, np.ones((len(features), 1))])


class Ridge:
    """Ridge regression of one task, and the effect of each pool candidate on its squared error on the target.

    `train`, `target`, `pool`: features and labels. Rows without a label are dropped; a candidate without one changes
    nothing. Cost: p³ once, then p(n + m) for each addition.
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
        """Compute h = xᵀA⁻¹x and q = |V A⁻¹x|² of each candidate from the current inverse."""
        moved = self.x @ self.inverse  # (n, p)
        self.h = np.einsum("np,np->n", moved, self.x)
        self.q = np.einsum("np,np->n", moved @ self.gram, moved)

    def error(self) -> float:
        """Sum of squared errors on the target part."""
        return float(self.e @ self.e)

    def change(self) -> np.ndarray:
        """(n,) exact change of that sum if each candidate is added (full update)."""
        slope = self.x @ (self.inverse @ (self.v.T @ self.e))  # eᵀ V A⁻¹ x
        c = self.r / (1 + self.h)
        return np.where(self.labelled, c * c * self.q - 2 * c * slope, 0.0)

    def add(self, row: int) -> None:
        """Add a candidate to the training part."""
        if not self.labelled[row]:
            return
        u = self.inverse @ self.x[row]  # (p,)
        a = 1 / (1 + self.h[row])
        step = a * self.r[row]
        along, target_along = self.x @ u, self.v @ u  # (n,), (m,)
        across = self.x @ (
            self.inverse @ (self.v.T @ target_along)
        )  # (V A⁻¹x)·(V u), with the inverse before the update
        self.w = self.w - step * u
        self.e = self.e - step * target_along
        self.r = np.where(self.labelled, self.r - step * along, 0.0)
        self.q = np.maximum(self.q - 2 * a * along * across + (a * along) ** 2 * (target_along @ target_along), 0.0)
        self.h = np.maximum(self.h - a * along**2, 0.0)
        self.inverse = self.inverse - a * np.outer(u, u)


class RidgeLastLayer:
    """Ridge regressions of all tasks together: a `ClosedFormModel` of `core.influence.forward_selection`.

    `arrays`: `train`, `target`, `pool` features (n, p) and `train_labels`, `target_labels`, `pool_labels` (n, t);
    `molecules`: rows of the target to use, all by default.
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
        """(n,) change of that sum if each molecule of the pool is added."""
        return sum(layer.change() for layer in self.layers)

    def add(self, row: int) -> None:
        """Add a molecule of the pool, for every task it has a label of."""
        for layer in self.layers:
            layer.add(row)
