"""Eigenvalues of the Gram matrix of a curvature's rows: solutions, leverages and kernels at every damping."""

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Spectrum:
    """AAᵀ (n, n) of the training cells, and BAᵀ (k, n) and BBᵀ (k, k) with the rows B of k further cells; float64.

    Leverages and kernels with C = AᵀA + λI follow from them for any λ. The eigenvalues are computed on first use;
    a single solution needs only `factor`.
    """

    gram: "Tensor"
    cross_gram: "Tensor"
    further_gram: "Tensor"

    @classmethod
    def of(cls, gram: "Tensor", n: int) -> "Spectrum":
        """From the Gram matrix (n + k, n + k) of A and B together."""
        gram = (gram + gram.T) / 2
        return cls(gram[:n, :n], gram[n:, :n], gram[n:, n:])

    @functools.cached_property
    def _eigen(self) -> "tuple[Tensor, Tensor]":
        import torch

        values, basis = torch.linalg.eigh(self.gram)
        return values.clamp(min=0), basis  # rounding alone makes them negative

    @property
    def values(self) -> "Tensor":
        """Eigenvalues (n,) of AAᵀ, ascending."""
        return self._eigen[0]

    @property
    def basis(self) -> "Tensor":
        """Its eigenvectors (n, n), in columns."""
        return self._eigen[1]

    def factor(self, damping: float) -> "Tensor | None":
        """Cholesky factor (n, n) of AAᵀ + λI; None where rounding leaves an eigenvalue below −λ."""
        import torch

        shifted = self.gram.clone()
        shifted.diagonal().add_(damping)
        triangle, failed = torch.linalg.cholesky_ex(shifted)
        return None if int(failed) else triangle

    def solve(self, vector: "Tensor", damping: float) -> "Tensor":
        """(AAᵀ + λI)⁻¹ times a vector (n,)."""
        return self.basis @ ((self.basis.T @ vector) / (self.values + damping))

    def leverages(self, damping: float) -> "Tensor":
        """Diagonal (n,) of A C⁻¹ Aᵀ: how far the fitted value of each training cell follows its own label, 0 to 1."""
        return (self.basis**2) @ (self.values / (self.values + damping))

    def match_damping(self, loss_left_out: "Callable[[Tensor], float]", goal: float) -> float:
        """The damping at which the mean leave-one-out loss, which falls with the damping, equals `goal`, by bisection.

        `loss_left_out(leverages)`: that loss from leverages (n,). The search covers 10⁻¹⁰ to 10⁵ times the mean
        eigenvalue and returns an end of it where the goal cannot be reached.
        """
        middle = math.log(max(float(self.values.mean()), 1e-300))
        low, high = middle - 10 * math.log(10), middle + 5 * math.log(10)
        for _ in range(50):
            middle_log = (low + high) / 2
            if loss_left_out(self.leverages(math.exp(middle_log))) > goal:
                low = middle_log
            else:
                high = middle_log
        return math.exp((low + high) / 2)

    def train_cross_kernel(self, damping: float) -> "Tensor":
        """B C⁻¹ Aᵀ (k, n): effect of a unit of gradient at each training cell on each further cell's output."""
        return ((self.cross_gram @ self.basis) / (self.values + damping)) @ self.basis.T

    def cross_kernel(self, damping: float) -> "Tensor":
        """B C⁻¹ Bᵀ (k, k): effect of a unit of gradient at one further cell on another's output."""
        along = (self.cross_gram @ self.basis) / (self.values + damping).sqrt()
        return (self.further_gram - along @ along.T) / damping
