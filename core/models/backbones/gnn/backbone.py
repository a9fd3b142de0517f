"""A network over graphs with what turns molecules into its batches."""

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
    """SMILES → `batch` (rows of graphs) → `embed` (b, h). See `Backbone`."""

    reads_smiles: ClassVar[bool] = False  # every spelling of a molecule is the same graph
    reads_atoms: ClassVar[bool] = True
    is_steady: ClassVar[bool] = False  # how much there is to do depends on how many atoms and bonds are in a batch
    files: ClassVar[str] = "`config.json` and `model.safetensors`"
    embedding: ClassVar[str] = "An embedding is what the network makes of the graph of a molecule."
    target_patterns: ClassVar[dict[str, str]] = {
        "message in": LAYER + r"conv\.nn\.0",
        "message out": LAYER + r"conv\.nn\.2",
        "layer norm": LAYER + "norm",
    }
    default_targets: ClassVar[tuple[str, ...]] = ("message in", "message out")  # if nobody says which

    def __init__(self, model: Network, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    @classmethod
    def load(cls, folder: Path, about: dict[str, Any], name: str) -> "GraphBackbone":
        """A saved one, float32 on the CPU, in evaluation mode. Raises `BadInput` for anything that does not fit."""
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
        """What the top layer's atoms go through: the pool and one net more."""
        return nn.ModuleList([self.model.pool, self.model.out])

    @property
    def device(self) -> torch.device:
        return self.model.out.weight.device

    def batch(self, smiles: Sequence[str]) -> dict[str, Tensor]:
        """Rows of `graphs.padded` on the device of the weights, in their precision."""
        found, weight = pad_graphs(get_graphs(smiles, self.model.config.encodings)), self.model.out.weight
        given = {name: torch.from_numpy(array).to(weight.device) for name, array in found.items()}
        return {name: each.to(weight.dtype) if each.is_floating_point() else each for name, each in given.items()}

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """Embeddings (b, h) of a batch; padding has no part in them."""
        return self.model(batch)

    def embed_atoms(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings of molecules (b, h) and of their atoms (n, h), and the row (n,) of the molecule of each atom."""
        return self.model.embed_both(batch)

    def embed_layers(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """What each layer makes of molecules (b, h), the mean over their atoms; what enters the first before it."""
        given, count = self.model.flatten_batch(batch), len(batch["known"])
        atoms = batch["known"].sum(1, keepdim=True)
        return [
            one.new_zeros(count + 1, one.shape[1]).index_add(0, given["molecule"], one)[:count] / atoms
            for one in self.model.atom_states(given, count)
        ]

    forward = embed

    def lengths(self, smiles: Sequence[str]) -> np.ndarray:
        """Atoms (n,) of each molecule."""
        return np.array([len(atoms_and_bonds(one)[0]) for one in smiles], dtype=np.int64)

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """(row, sentence) for elements that have no column of their own."""
        found = []
        for row, one in enumerate(smiles):
            atoms = chem.parse(one).GetAtoms()
            if rare := sorted({atom.GetSymbol() for atom in atoms if atom.GetAtomicNum() not in ELEMENTS}):
                found.append((row, f"{', '.join(rare)}: not told from other rare elements"))
        return found

    def find_unreadable(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> list[tuple[int, str]]:
        """(row, reason) of molecules that have no graph; the graphs of the others are remembered. See `build_graphs`."""
        return build_graphs(smiles, self.model.config.encodings, report)[1]

    def set_dropout(self, share: float) -> None:
        """Dropout of this share everywhere, whatever the configuration says (which stays as it is)."""
        dropout.set_dropout(self.model, share)

    def save(self, folder: Path, half: bool = False) -> None:
        """config.json and model.safetensors; `half` stores half precision, read back as float32."""
        state = {name: value.half() if half else value for name, value in self.model.state_dict().items()}
        precision = {"torch_dtype": "float16"} if half else {}
        about = {"model_type": GRAPH_MODEL_TYPE, "name": self.name}
        weights.save_weights(folder, state, self.model.config.to_json() | about | precision)
