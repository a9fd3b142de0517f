"""A network over graphs as a backbone: molecules in, embeddings out; and the recipe of one with random weights."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from core.engine.spec import BadInput, settings

if TYPE_CHECKING:
    from core.models.backbones.gnn.backbone import GraphBackbone


@settings
class Gnn:
    """A network over the graph of a molecule, with random weights: some hundred thousand, trained from scratch.

    Atoms hear from their neighbours, layer by layer; where an atom stands in its molecule is told by random walks and
    by eigenvectors of the Laplacian. Layers by `torch_geometric`.
    """

    kind: ClassVar[str] = "gnn"
    kind_name: ClassVar[str] = "graph neural network"

    layer: Literal["gcn", "gin", "gine"] = Field(default="gine", description="how atoms hear; gine hears bonds too")
    width: int = Field(default=96, ge=4, le=4096, description="length of an embedding")
    depth: int = Field(default=4, ge=1, le=100, description="layers")
    pooling: Literal["sum", "mean", "attention"] = Field(default="sum", description="how atoms become a molecule")
    virtual_node: bool = Field(default=False, description="an atom more that is bound to all others")
    walk: int = Field(default=16, ge=0, le=64, description="steps of the random walk that tells of an atom's place")
    eigenvectors: int = Field(default=8, ge=0, le=64, description="of the Laplacian, that tell of it")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the random weights")

    @property
    def called(self) -> str:
        return f"{self.layer.upper()} {self.depth}x{self.width} (random weights)"

    def __call__(self, mlm_head: bool = False) -> "GraphBackbone":
        """The backbone in evaluation mode; no global random state is moved. Raises `BadInput` for a masked-LM head."""
        if mlm_head:
            raise BadInput(
                f"{self.called} reads graphs, which have no tokens to hide; take a transformer such as molsway-mini"
            )
        import torch

        from core.models.backbones.gnn.backbone import GraphBackbone
        from core.models.backbones.gnn.model import Network, NetworkConfig

        names = ("layer", "width", "depth", "pooling", "virtual_node", "walk", "eigenvectors")
        config = NetworkConfig(**{name: getattr(self, name) for name in names})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return GraphBackbone(Network(config), self.called).eval()
