"""A graph network: positional encodings, message-passing layers of `torch_geometric`, pooling to one vector.

Shape and size are those of ToyMix's models (Beaini et al. 2023, arXiv 2310.04292): about 100,000 weights.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, GINConv
from torch_geometric.nn.aggr import AttentionalAggregation, MeanAggregation, SumAggregation

from core.engine.spec import BadInput
from core.models.backbones.gnn.edge_conv import EdgeTypeConv
from core.models.backbones.gnn.featurize import ATOM_COLUMNS, BOND_COLUMNS, BOND_FEATURES, Encodings
from core.models.matmul import ROW_MULTIPLE

LAYERS = ("gcn", "gin", "gine")
POOLINGS = ("sum", "mean", "attention")


@dataclass(frozen=True)
class NetworkConfig:
    """The architecture of a graph network, as in the `config.json` of a checkpoint."""

    layer: Literal["gcn", "gin", "gine"] = "gine"
    width: int = 96  # of atom states and of the embedding
    depth: int = 4  # layers
    pooling: Literal["sum", "mean", "attention"] = "sum"
    virtual_node: bool = False  # an extra node per molecule, connected to all its atoms
    walk: int = 16  # steps of the random walk
    eigenvectors: int = 8  # of the Laplacian
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name, choices in (("layer", LAYERS), ("pooling", POOLINGS)):
            if getattr(self, name) not in choices:
                raise BadInput(f"config: `{name}` is one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name in ("width", "depth"):
            if type(getattr(self, name)) is not int or not 1 <= getattr(self, name) <= 4096:
                raise BadInput(f"config: `{name}` wants a whole number from 1 to 4096, got {getattr(self, name)!r}")
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise BadInput(f"config: `dropout` wants a number from 0 to below 1, got {self.dropout!r}")
        Encodings(self.walk, self.eigenvectors)

    @property
    def encodings(self) -> Encodings:
        return Encodings(self.walk, self.eigenvectors)

    @property
    def encoding_width(self) -> int:
        """Width of an embedded positional encoding: 32 at width 96."""
        return max(4, self.width // 3)

    @property
    def hidden(self) -> int:
        """Hidden width of the encoders: 64 at width 96."""
        return 2 * self.encoding_width

    @property
    def inner(self) -> int:
        """Hidden width of the atom encoder: 128 at width 96."""
        return 4 * self.encoding_width

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Network(nn.Module):
    """Padded graphs (`featurize.pad_graphs`) → embeddings of molecules (b, width).

    Atom features and both positional encodings are embedded; every layer adds its messages to the atom states; these
    are pooled and go through an output layer.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.walks = _build_mlp(config.walk, config.hidden, config.encoding_width) if config.walk else None
        self.spectrum = _build_mlp(2, config.hidden, config.encoding_width) if config.eigenvectors else None
        encoded = config.encoding_width * bool(config.walk or config.eigenvectors)
        self.atoms = _build_mlp(ATOM_COLUMNS + encoded, config.inner, width)
        self.bonds = _build_mlp(BOND_COLUMNS, config.hidden, config.encoding_width) if config.layer == "gine" else None
        self.register_buffer("every", torch.from_numpy(BOND_FEATURES), persistent=False)  # features of each bond type
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))
        self.pool = _build_pool(config)
        self.out = nn.Linear(width, width)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        flat = self.flatten_batch(batch)
        return self.embed_flat(flat, len(batch["known"]))

    def embed_both(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of molecules (b, width) and of their atoms (n, width), and each atom's molecule (n,)."""
        flat, count = self.flatten_batch(batch), len(batch["known"])
        atoms, is_real = self.final_atoms(flat, count), flat["molecule"] < count
        return self.pool_atoms(atoms, flat["molecule"], count), atoms[is_real], flat["molecule"][is_real]

    def flatten_batch(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch as one graph without padding, as `embed_flat` takes it.

        Zero atoms of one extra molecule fill it up to a multiple of `ROW_MULTIPLE`.
        """
        known, kinds, is_bond = batch["known"], batch["kinds"], batch["ends"][..., 0] >= 0
        counts, index = known.sum(1), torch.arange(len(known), device=known.device)
        values, vectors = batch["values"][:, None].expand(batch["vectors"].shape), batch["vectors"]
        if self.training and vectors.numel():  # the sign of an eigenvector is arbitrary
            signs = torch.randint(0, 2, (len(known), 1, vectors.shape[2]), device=vectors.device)
            vectors = vectors * (2 * signs - 1).to(vectors)
        flat = {name: batch[name][known] for name in ("atoms", "walks")}
        flat |= {"vectors": vectors[known], "values": values[known]}
        first = (counts.cumsum(0) - counts)[:, None, None]  # atoms are numbered through the batch
        ends = (batch["ends"] + first)[is_bond].T.contiguous()
        bonds = (batch["bonds"] + index[:, None] * kinds.shape[1])[is_bond]  # and so are kinds of bonds
        molecule = index.repeat_interleave(counts)
        missing = -len(molecule) % ROW_MULTIPLE
        flat = {name: nn.functional.pad(rows, (0, 0, 0, missing)) for name, rows in flat.items()}
        molecule = nn.functional.pad(molecule, (0, missing), value=len(known))
        return flat | {"ends": ends, "kinds": kinds, "bonds": bonds, "molecule": molecule}

    def embed_flat(self, flat: dict[str, Tensor], count: int) -> Tensor:
        """Embeddings (count, width) of the molecules of a flattened batch.

        `atoms`, `walks`, `vectors` and `values` have a row per atom, `bonds` (2e,) and `ends` (2, 2e) an entry per
        directed edge, `kinds` a row per molecule; `molecule` (n,) is the row of each atom's molecule, `count` for
        padding.
        """
        return self.pool_atoms(self.final_atoms(flat, count), flat["molecule"], count)

    def pool_atoms(self, atoms: Tensor, molecule: Tensor, count: int) -> Tensor:
        """Embeddings (count, width) of molecules from those of their atoms."""
        return nn.functional.gelu(self.out(self.pool(atoms, molecule, dim_size=count + 1)[:count]))

    def final_atoms(self, flat: dict[str, Tensor], count: int) -> Tensor:
        """States (n, width) of atoms after the last layer."""
        return self.atom_states(flat, count)[-1]

    def atom_states(self, flat: dict[str, Tensor], count: int) -> list[Tensor]:
        """States (n, width) of atoms before the first layer and after each."""
        molecule, width = flat["molecule"], self.config.width
        atoms = self.atoms(torch.cat([flat["atoms"], *self._encode(flat)], 1))
        kinds = None if self.bonds is None else self.bonds(self.every[flat["kinds"]])  # a few per molecule
        virtual = atoms.new_zeros(count + 1, width) if self.config.virtual_node else None
        states = [atoms]
        for layer in self.layers:
            atoms, virtual = layer(atoms, flat["ends"], kinds, flat["bonds"], molecule, virtual)
            states.append(atoms)
        return states

    def _encode(self, flat: dict[str, Tensor]) -> list[Tensor]:
        """The sum of the embedded positional encodings (n, encoding width), in a list; empty without encodings."""
        encodings = []
        if self.walks is not None:
            encodings.append(self.walks(flat["walks"]))
        if self.spectrum is not None:
            into, activation, out = self.spectrum
            pairs = activation(into(torch.stack([flat["vectors"], flat["values"]], 2)))  # (n, k, hidden)
            encodings.append(
                out((pairs * (flat["values"] > 0)[..., None]).sum(1))
            )  # a sum over pairs: order does not matter
        return [torch.stack(encodings).sum(0)] if encodings else []


class Layer(nn.Module):
    """One message-passing layer: messages are normalised and added to the atom states (residual connection)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.conv = _build_conv(config)
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)
        self.virtual = _build_mlp(width, width, width) if config.virtual_node else None

    def forward(
        self,
        atoms: Tensor,
        ends: Tensor,
        kinds: Tensor | None,
        bonds: Tensor,
        molecule: Tensor,
        virtual: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        if virtual is not None:
            atoms = atoms + virtual[molecule]
        messages = self.conv(atoms, ends) if kinds is None else self.conv(atoms, ends, kinds, bonds)
        atoms = atoms + self.drop(nn.functional.gelu(self.norm(messages)))
        if virtual is not None:
            virtual = virtual + self.virtual(torch.zeros_like(virtual).index_add(0, molecule, atoms))
        return atoms, virtual


def _build_mlp(into: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(into, hidden), nn.GELU(), nn.Linear(hidden, out))


def _build_conv(config: NetworkConfig) -> nn.Module:
    """Kipf & Welling 2017 (arXiv 1609.02907), Xu et al. 2019 (1810.00826), Hu et al. 2020 (1905.12265)."""
    width = config.width
    if config.layer == "gcn":
        return GCNConv(width, width)
    if config.layer == "gin":
        return GINConv(_build_mlp(width, width, width), train_eps=True)
    return EdgeTypeConv(_build_mlp(width, width, width), train_eps=True, edge_dim=config.encoding_width)


def _build_pool(config: NetworkConfig) -> nn.Module:
    if config.pooling == "attention":
        return AttentionalAggregation(_build_mlp(config.width, config.hidden, 1))
    return SumAggregation() if config.pooling == "sum" else MeanAggregation()
