"""A graph neural network with random weights, as a backbone: molecules in, embeddings out."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from core.engine.spec import BadInput, settings
from core.models.backbones.spec import BackboneSpec

if TYPE_CHECKING:
    from core.models.backbones.gnn.backbone import GraphBackbone


@settings
class Gnn(BackboneSpec):
    """A graph neural network with about 100,000 random weights, to be trained from scratch.

    Message passing between neighbouring atoms, with random-walk and Laplacian positional encodings. Layers by
    `torch_geometric`.
    """

    kind: ClassVar[str] = "gnn"
    kind_name: ClassVar[str] = "graph neural network"
    repeatable: ClassVar[bool] = True

    layer: Literal["gcn", "gin", "gine"] = Field(
        default="gine", description="message passing; only gine uses bond types"
    )
    width: int = Field(default=96, ge=4, le=4096, description="length of the embedding")
    depth: int = Field(default=4, ge=1, le=100, description="number of layers")
    pooling: Literal["sum", "mean", "attention"] = Field(
        default="sum", description="how atom embeddings are pooled into one of the molecule"
    )
    virtual_node: bool = Field(default=False, description="add a virtual node connected to all atoms")
    walk: int = Field(default=16, ge=0, le=64, description="steps of the random-walk positional encoding")
    eigenvectors: int = Field(default=8, ge=0, le=64, description="eigenvectors of the Laplacian positional encoding")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the weights")

    @property
    def called(self) -> str:
        return f"{self.layer.upper()} {self.depth}x{self.width} (random weights)"

    def __call__(self, mlm_head: bool = False) -> "GraphBackbone":
        """The backbone in evaluation mode; global random state is unchanged. Raises `BadInput` if `mlm_head`."""
        if mlm_head:
            raise BadInput(
                f"{self.called} is a graph network without a masked-LM head; use a transformer such as molsway-mini"
            )
        import torch

        from core.models.backbones.gnn.backbone import GraphBackbone
        from core.models.backbones.gnn.model import Network, NetworkConfig

        names = ("layer", "width", "depth", "pooling", "virtual_node", "walk", "eigenvectors")
        config = NetworkConfig(**{name: getattr(self, name) for name in names})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return GraphBackbone(Network(config), self.called).eval()
