"""What the Gram matrix of a curvature's rows holds for every damping at once."""

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Spectrum:
    """AAᵀ (n, n), and of B, the rows of k further cells, BAᵀ (k, n) and BBᵀ (k, k).

    With C = AᵀA + λI all that A and B have to do with each other follows, whatever λ. All in float64; the eigenvalues
    are found when something first asks for them, one solution does without.
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
        """Eigenvalues (n,) of AAᵀ, from the lowest to the highest."""
        return self._eigen[0]

    @property
    def basis(self) -> "Tensor":
        """Its eigenvectors (n, n), in columns."""
        return self._eigen[1]

    def factor(self, damping: float) -> "Tensor | None":
        """Cholesky's triangle (n, n) of AAᵀ + λ; None where rounding has left an eigenvalue below −λ."""
        import torch

        shifted = self.gram.clone()
        shifted.diagonal().add_(damping)
        triangle, failed = torch.linalg.cholesky_ex(shifted)
        return None if int(failed) else triangle

    def solve(self, given: "Tensor", damping: float) -> "Tensor":
        """(AAᵀ + λ)⁻¹ of a vector (n,)."""
        return self.basis @ ((self.basis.T @ given) / (self.values + damping))

    def leverages(self, damping: float) -> "Tensor":
        """Diagonal (n,) of A C⁻¹ Aᵀ: how much of each own cell's fitted value comes from its own label."""
        return (self.basis**2) @ (self.values / (self.values + damping))

    def match_damping(self, loss_left_out: "Callable[[Tensor], float]", goal: float) -> float:
        """The damping at which the mean loss of cells left out, which falls with it, is `goal`.

        `loss_left_out`: of the leverages (n,). Where it cannot be as high or as low, the nearest end of fifteen powers
        of ten about the mean eigenvalue.
        """
        middle = math.log(max(float(self.values.mean()), 1e-300))
        low, high = middle - 10 * math.log(10), middle + 5 * math.log(10)
        for _ in range(50):
            half = (low + high) / 2
            if loss_left_out(self.leverages(math.exp(half))) > goal:
                low = half
            else:
                high = half
        return math.exp((low + high) / 2)

    def train_cross_kernel(self, damping: float) -> "Tensor":
        """B C⁻¹ Aᵀ (k, n): what the own cells' gradients do to the further cells' outputs."""
        return ((self.cross_gram @ self.basis) / (self.values + damping)) @ self.basis.T

    def cross_kernel(self, damping: float) -> "Tensor":
        """B C⁻¹ Bᵀ (k, k): what a unit of gradient at one further cell does to another's output."""
        along = (self.cross_gram @ self.basis) / (self.values + damping).sqrt()
        return (self.further_gram - along @ along.T) / damping
