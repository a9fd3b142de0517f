"""Messages that hear bonds, of which there are few kinds."""

from torch import Tensor
from torch_geometric.nn import GINEConv


class EdgeTypeConv(GINEConv):
    """`GINEConv` of bonds that are given by kind: what it makes of a bond it makes once a kind, not once a bond."""

    def forward(self, atoms: Tensor, ends: Tensor, kinds: Tensor, bonds: Tensor) -> Tensor:
        """Atoms (n, width) after hearing along `ends` (2, m); `bonds` (m,) counts through `kinds` (…, ·)."""
        return super().forward(atoms, ends, self.lin(kinds).flatten(0, -2).index_select(0, bonds))

    def message(self, x_j: Tensor, edge_attr: Tensor) -> Tensor:
        """What comes along each bond (m, width)."""
        return (x_j + edge_attr).relu()
