"""A MoLFormer with its tokenizer: molecules in, embeddings out."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from core.engine.report import SILENT_REPORT, Report
from core.models.backbones import dropout
from core.models.backbones.molformer.model import Molformer, load_molformer
from core.models.backbones.molformer.tokenizer import MolformerTokenizer
from core.models.devices import LENGTH_MULTIPLE, to_device

LAYER = r"encoder\.layer\.\d+\."


class Backbone(nn.Module):
    """SMILES → `batch` (token ids and mask) → `embed` (b, h), the masked mean of the last hidden states.

    A backbone of another kind has the same name, width, depth, layers, after, places, adapted, spells, reads_atoms,
    steady, files, embedding, batch, embed, lengths, check, unread, thin and save; one that reads atoms, embed_atoms.
    """

    reads_smiles: ClassVar[bool] = True  # whether another spelling of a molecule is something else to read
    reads_atoms: ClassVar[bool] = False  # whether it can embed single atoms
    files: ClassVar[str] = (  # what `save` writes, and what an embedding is, for who reads an export
        "`config.json`, `model.safetensors` and `tokenizer.json`, under the names and shapes of the published MoLFormer"
    )
    embedding: ClassVar[str] = (
        "An embedding is the mean of the last hidden states over all tokens that are not padding."
    )

    target_patterns: ClassVar[
        dict[str, str]
    ] = {  # what a method can change, and the paths of these modules in the model
        "query": LAYER + r"attention\.self\.query",
        "key": LAYER + r"attention\.self\.key",
        "value": LAYER + r"attention\.self\.value",
        "attention output": LAYER + r"attention\.output\.dense",
        "feed-forward in": LAYER + r"intermediate\.dense",
        "feed-forward out": LAYER + r"output\.dense",
        "layer norm": rf"{LAYER}(?:attention\.)?output\.LayerNorm|LayerNorm",
    }
    default_targets: ClassVar[tuple[str, ...]] = ("query", "key", "value", "attention output")  # if nobody says which

    def __init__(self, model: Molformer, tokenizer: MolformerTokenizer, name: str) -> None:
        super().__init__()
        self.model, self.tokenizer, self.name = model, tokenizer, name
        self.train(model.training)

    @classmethod
    def load(cls, folder: Path, name: str, mlm_head: bool = False) -> "Backbone":
        model, tokenizer = load_molformer(folder, mlm_head)
        return cls(model, tokenizer, name)

    @property
    def width(self) -> int:
        """Length h of an embedding."""
        return self.model.config.hidden_size

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.model.config.num_hidden_layers

    @property
    def layers(self) -> nn.ModuleList:
        """The layers, bottom to top."""
        return self.model.encoder["layer"]

    @property
    def final_modules(self) -> nn.Module:
        """What the top layer's output goes through before it is pooled."""
        return self.model.LayerNorm

    @property
    def device(self) -> torch.device:
        return self.model.LayerNorm.weight.device

    @property
    def is_steady(self) -> bool:
        """Whether it does the same work for every batch of one shape (`core.training.cuda_graphs`)."""
        return not self.model.redraws_features

    def batch(self, smiles: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` (b, longest), int64, on the device of the weights; nothing is cut off.

        On CUDA more of it is padding: shapes are fewer, and come again.
        """
        device = self.device
        arrays = self.tokenizer.pad_batch(smiles, LENGTH_MULTIPLE if device.type == "cuda" else 1)
        return {name: to_device(torch.from_numpy(array), device) for name, array in arrays.items()}

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """Embeddings (b, h) of a batch; padding has no part in them."""
        mask = batch["attention_mask"]
        return self.model.pool(self.model(batch["input_ids"], mask), mask)

    forward = embed

    def embed_layers(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """What each layer makes of molecules (b, h), the mean over their tokens; what enters the first before it."""
        mask = batch["attention_mask"]
        return [self.model.pool(one, mask) for one in self.model.hidden_states(batch["input_ids"], mask)]

    def lengths(self, smiles: Sequence[str]) -> np.ndarray:
        """Tokens (n,) of each molecule, `<bos>` and `<eos>` counted."""
        return np.array([len(row) for row in self.tokenizer.ids(smiles)], dtype=np.int64)

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """(row, sentence) for characters that vanish, tokens that are unknown and molecules of great length."""
        longest = self.model.config.max_position_embeddings
        return [
            (row, fault)
            for row, one in enumerate(smiles)
            for fault in self.tokenizer.check_tokens(one).sentences(longest)
        ]

    def find_unreadable(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> list[tuple[int, str]]:
        """(row, reason) of molecules that it cannot read at all: none, every string has tokens."""
        return []

    def set_dropout(self, share: float) -> None:
        """Dropout of this share everywhere, whatever the configuration says (which stays as it is)."""
        dropout.set_dropout(self.model, share)

    def counts(self) -> dict[str, int]:
        """Numbers in the parameters, in those that are trained, and in the feature maps (which are never)."""
        return {
            "parameters": sum(weight.numel() for weight in self.parameters()),
            "trainable": sum(weight.numel() for weight in self.parameters() if weight.requires_grad),
            "buffers": sum(value.numel() for value in self.buffers()),
        }

    def save(self, folder: Path, half: bool = False) -> None:
        """config.json, model.safetensors (feature maps included) and tokenizer.json; the name is kept in the first.

        `half` stores the weights in half precision, half as large; they are read back as float32.
        """
        self.model.save(folder, half, name=self.name)
        self.tokenizer.save(folder)
