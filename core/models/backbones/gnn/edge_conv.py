"""GINE messages that transform each bond type once instead of each bond."""

from torch import Tensor
from torch_geometric.nn import GINEConv


class EdgeTypeConv(GINEConv):
    """`GINEConv` whose bond features are given by bond type: the linear layer runs once per type, not per bond."""

    def forward(self, atoms: Tensor, ends: Tensor, kinds: Tensor, bonds: Tensor) -> Tensor:
        """Updated atoms (n, width); edges `ends` (2, m), whose types `bonds` (m,) are rows of `kinds` (…, features)."""
        return super().forward(atoms, ends, self.lin(kinds).flatten(0, -2).index_select(0, bonds))

    def message(self, x_j: Tensor, edge_attr: Tensor) -> Tensor:
        """Messages (m, width), one per edge."""
        return (x_j + edge_attr).relu()
