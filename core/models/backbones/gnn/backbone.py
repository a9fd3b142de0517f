"""A graph network with its featurisation: molecules in, embeddings out."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from core.chem import molecules as chem
from core.engine.report import SILENT_REPORT, Report
from core.models.backbones import dropout, weights
from core.models.backbones.gnn.elements import ELEMENTS
from core.models.backbones.gnn.featurize import atoms_and_bonds, build_graphs, get_graphs, pad_graphs
from core.models.backbones.gnn.model import Network, NetworkConfig
from core.models.backbones.molformer.config import GRAPH_MODEL_TYPE

LAYER = r"layers\.\d+\."


class GraphBackbone(nn.Module):
    """SMILES → `batch` (padded graphs) → `embed` (b, h). See `Backbone`."""

    reads_smiles: ClassVar[bool] = False  # all SMILES of a molecule give the same graph
    reads_atoms: ClassVar[bool] = True
    is_steady: ClassVar[bool] = False  # the work depends on the numbers of atoms and bonds in a batch
    files: ClassVar[str] = "`config.json` and `model.safetensors`"
    embedding: ClassVar[str] = "An embedding is the output of the network for the graph of a molecule."
    target_patterns: ClassVar[dict[str, str]] = {
        "message in": LAYER + r"conv\.nn\.0",
        "message out": LAYER + r"conv\.nn\.2",
        "layer norm": LAYER + "norm",
    }
    default_targets: ClassVar[tuple[str, ...]] = ("message in", "message out")  # for methods without `targets`

    def __init__(self, model: Network, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    @classmethod
    def load(cls, folder: Path, about: dict[str, Any], name: str) -> "GraphBackbone":
        """A saved one, float32 on the CPU, in evaluation mode. Raises `BadInput` where weights and config differ."""
        fields = {field.name for field in dataclasses.fields(NetworkConfig)}
        model = Network(NetworkConfig(**{key: about[key] for key in fields & set(about)}))
        model.load_state_dict(weights.match_weights(weights.load_weights(folder), model.state_dict(), folder))
        return cls(model, name).eval()

    @property
    def width(self) -> int:
        """Length h of an embedding."""
        return self.model.config.width

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.model.config.depth

    @property
    def layers(self) -> nn.ModuleList:
        """The layers, bottom to top."""
        return self.model.layers

    @property
    def final_modules(self) -> nn.Module:
        """The modules after the top layer: pooling and the output layer."""
        return nn.ModuleList([self.model.pool, self.model.out])

    @property
    def device(self) -> torch.device:
        return self.model.out.weight.device

    def batch(self, smiles: Sequence[str]) -> dict[str, Tensor]:
        """The arrays of `pad_graphs` on the device of the weights, in their precision."""
        arrays, weight = pad_graphs(get_graphs(smiles, self.model.config.encodings)), self.model.out.weight
        tensors = {name: torch.from_numpy(array).to(weight.device) for name, array in arrays.items()}
        return {
            name: tensor.to(weight.dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
        }

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """Embeddings (b, h) of a batch; padding does not change them."""
        return self.model(batch)

    def embed_atoms(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of molecules (b, h), of their atoms (n, h), and the row (n,) of each atom's molecule."""
        return self.model.embed_both(batch)

    def embed_layers(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Mean atom states (b, h) of each molecule before the first layer and after each layer."""
        flat, count = self.model.flatten_batch(batch), len(batch["known"])
        atom_counts = batch["known"].sum(1, keepdim=True)
        return [
            states.new_zeros(count + 1, states.shape[1]).index_add(0, flat["molecule"], states)[:count] / atom_counts
            for states in self.model.atom_states(flat, count)
        ]

    forward = embed

    def lengths(self, smiles: Sequence[str]) -> np.ndarray:
        """Atoms (n,) of each molecule."""
        return np.array([len(atoms_and_bonds(one)[0]) for one in smiles], dtype=np.int64)

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """(row, sentence) for molecules with elements that share one column."""
        faults = []
        for row, one in enumerate(smiles):
            atoms = chem.parse(one).GetAtoms()
            if rare := sorted({atom.GetSymbol() for atom in atoms if atom.GetAtomicNum() not in ELEMENTS}):
                faults.append((row, f"{', '.join(rare)}: not distinguished from other rare elements"))
        return faults

    def find_unreadable(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> list[tuple[int, str]]:
        """(row, reason) of molecules without a graph; the other graphs are cached. See `build_graphs`."""
        return build_graphs(smiles, self.model.config.encodings, report)[1]

    def set_dropout(self, share: float) -> None:
        """Set the dropout probability of all modules; the configuration is not changed."""
        dropout.set_dropout(self.model, share)

    def save(self, folder: Path, half: bool = False) -> None:
        """Write config.json and model.safetensors; `half` stores half precision, which is loaded as float32."""
        state = {name: value.half() if half else value for name, value in self.model.state_dict().items()}
        precision = {"torch_dtype": "float16"} if half else {}
        about = {"model_type": GRAPH_MODEL_TYPE, "name": self.name}
        weights.save_weights(folder, state, self.model.config.to_json() | about | precision)
