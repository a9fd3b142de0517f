"""A network over graphs of molecules: layers of `torch_geometric`, encodings of where an atom is, one pooled vector.

Shape and size are those of ToyMix's models (Beaini et al. 2023, arXiv 2310.04292): about a hundred thousand weights.
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
    """What a network over graphs is like; `config.json` of a checkpoint holds these fields."""

    layer: Literal["gcn", "gin", "gine"] = "gine"
    width: int = 96  # numbers of an atom, and of an embedding
    depth: int = 4  # layers
    pooling: Literal["sum", "mean", "attention"] = "sum"
    virtual_node: bool = False  # an atom beside every molecule that is bound to all of it
    walk: int = 16  # steps of the random walk
    eigenvectors: int = 8  # of the Laplacian
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name, known in (("layer", LAYERS), ("pooling", POOLINGS)):
            if getattr(self, name) not in known:
                raise BadInput(f"config: `{name}` is one of {', '.join(known)}, got {getattr(self, name)!r}")
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
        """Numbers that an encoding becomes: 32 of 96."""
        return max(4, self.width // 3)

    @property
    def hidden(self) -> int:
        """Of the nets that encode: 64."""
        return 2 * self.encoding_width

    @property
    def inner(self) -> int:
        """Of the net that reads atoms: 128."""
        return 4 * self.encoding_width

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Network(nn.Module):
    """Atoms, bonds and encodings of molecules, a row each (`graphs.padded`) → their embeddings (b, width).

    An atom's numbers and its two encodings become `width` numbers; every layer adds to them what it makes of the
    neighbours; those of a molecule are pooled and go through one net more.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        self.walks = _build_mlp(config.walk, config.hidden, config.encoding_width) if config.walk else None
        self.spectrum = _build_mlp(2, config.hidden, config.encoding_width) if config.eigenvectors else None
        encoded = config.encoding_width * bool(config.walk or config.eigenvectors)
        self.atoms = _build_mlp(ATOM_COLUMNS + encoded, config.inner, width)
        self.bonds = _build_mlp(BOND_COLUMNS, config.hidden, config.encoding_width) if config.layer == "gine" else None
        self.register_buffer(
            "every", torch.from_numpy(BOND_FEATURES), persistent=False
        )  # what is told of each kind of bond
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))
        self.pool = _build_pool(config)
        self.out = nn.Linear(width, width)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        given = self.flatten_batch(batch)
        return self.drop_padding(given, len(batch["known"]))

    def embed_both(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of the molecules (b, width) and of their atoms (n, width), and whose each atom is (n,)."""
        given, count = self.flatten_batch(batch), len(batch["known"])
        atoms, own = self.final_atoms(given, count), given["molecule"] < count
        return self.pool_atoms(atoms, given["molecule"], count), atoms[own], given["molecule"][own]

    def flatten_batch(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The rows of a batch, one below the other without their padding, as `drop_padding` takes them.

        Rows of zeros, of a molecule more, fill them up to a multiple of `ROW_MULTIPLE`.
        """
        known, kinds, there = batch["known"], batch["kinds"], batch["ends"][..., 0] >= 0
        counts, own = known.sum(1), torch.arange(len(known), device=known.device)
        values, vectors = batch["values"][:, None].expand(batch["vectors"].shape), batch["vectors"]
        if self.training and vectors.numel():  # an eigenvector's sign means nothing
            signs = torch.randint(0, 2, (len(known), 1, vectors.shape[2]), device=vectors.device)
            vectors = vectors * (2 * signs - 1).to(vectors)
        flat = {name: batch[name][known] for name in ("atoms", "walks")}
        flat |= {"vectors": vectors[known], "values": values[known]}
        first = (counts.cumsum(0) - counts)[:, None, None]  # atoms are numbered through the batch
        ends = (batch["ends"] + first)[there].T.contiguous()
        bonds = (batch["bonds"] + own[:, None] * kinds.shape[1])[there]  # and so are kinds of bonds
        molecule = own.repeat_interleave(counts)
        short = -len(molecule) % ROW_MULTIPLE
        flat = {name: nn.functional.pad(rows, (0, 0, 0, short)) for name, rows in flat.items()}
        molecule = nn.functional.pad(molecule, (0, short), value=len(known))
        return flat | {"ends": ends, "kinds": kinds, "bonds": bonds, "molecule": molecule}

    def drop_padding(self, given: dict[str, Tensor], count: int) -> Tensor:
        """Embeddings (count, width) of atoms and bonds that lie one below the other.

        `atoms`, `walks`, `vectors` and `values` have a row an atom, `bonds` (2e,) and `ends` (2, 2e) a place for each
        direction of a bond, `kinds` one for each kind of bond of a molecule; `molecule` (n,) says whose an atom is,
        `count` that it is nobody's.
        """
        return self.pool_atoms(self.final_atoms(given, count), given["molecule"], count)

    def pool_atoms(self, atoms: Tensor, molecule: Tensor, count: int) -> Tensor:
        """Embeddings (count, width) of molecules from those of their atoms."""
        return nn.functional.gelu(self.out(self.pool(atoms, molecule, dim_size=count + 1)[:count]))

    def final_atoms(self, given: dict[str, Tensor], count: int) -> Tensor:
        """Embeddings (n, width) of atoms after the last layer."""
        return self.atom_states(given, count)[-1]

    def atom_states(self, given: dict[str, Tensor], count: int) -> list[Tensor]:
        """Embeddings (n, width) of atoms before the first layer and after each."""
        molecule, width = given["molecule"], self.config.width
        atoms = self.atoms(torch.cat([given["atoms"], *self._encode(given)], 1))
        kinds = None if self.bonds is None else self.bonds(self.every[given["kinds"]])  # a handful a molecule
        virtual = atoms.new_zeros(count + 1, width) if self.config.virtual_node else None
        found = [atoms]
        for layer in self.layers:
            atoms, virtual = layer(atoms, given["ends"], kinds, given["bonds"], molecule, virtual)
            found.append(atoms)
        return found

    def _encode(self, given: dict[str, Tensor]) -> list[Tensor]:
        """The sum of what the encodings say of each atom (n, encoded), if there are any."""
        found = []
        if self.walks is not None:
            found.append(self.walks(given["walks"]))
        if self.spectrum is not None:
            into, bent, out = self.spectrum
            pairs = bent(into(torch.stack([given["vectors"], given["values"]], 2)))  # (n, k, hidden)
            found.append(out((pairs * (given["values"] > 0)[..., None]).sum(1)))  # a set of pairs, whatever their order
        return [torch.stack(found).sum(0)] if found else []


class Layer(nn.Module):
    """One layer of messages along the bonds: what it makes is normalised and added to what was there."""

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
        told = self.conv(atoms, ends) if kinds is None else self.conv(atoms, ends, kinds, bonds)
        atoms = atoms + self.drop(nn.functional.gelu(self.norm(told)))
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
