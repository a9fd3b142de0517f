"""MoLFormer with its tokenizer: molecules in, embeddings out."""

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

    Every backbone has `name`, `width`, `depth`, `layers`, `final_modules`, `target_patterns`, `default_targets`,
    `reads_smiles`, `reads_atoms`, `is_steady`, `files`, `embedding`, `batch`, `embed`, `embed_layers`, `lengths`,
    `check`, `find_unreadable`, `set_dropout` and `save`; one that reads atoms also has `embed_atoms`.
    """

    reads_smiles: ClassVar[bool] = True  # whether the input is a SMILES string, which can be randomised
    reads_atoms: ClassVar[bool] = False  # whether it can embed single atoms
    files: ClassVar[str] = (  # the files of `save`, and what an embedding is: for the README of an export
        "`config.json`, `model.safetensors` and `tokenizer.json`, under the names and shapes of the published MoLFormer"
    )
    embedding: ClassVar[str] = (
        "An embedding is the mean of the last hidden states over all tokens that are not padding."
    )

    target_patterns: ClassVar[dict[str, str]] = {  # modules that a method can change → patterns of their paths
        "query": LAYER + r"attention\.self\.query",
        "key": LAYER + r"attention\.self\.key",
        "value": LAYER + r"attention\.self\.value",
        "attention output": LAYER + r"attention\.output\.dense",
        "feed-forward in": LAYER + r"intermediate\.dense",
        "feed-forward out": LAYER + r"output\.dense",
        "layer norm": rf"{LAYER}(?:attention\.)?output\.LayerNorm|LayerNorm",
    }
    default_targets: ClassVar[tuple[str, ...]] = (
        "query",
        "key",
        "value",
        "attention output",
    )  # for methods without `targets`

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
        """The layer norm between the top layer and pooling."""
        return self.model.LayerNorm

    @property
    def device(self) -> torch.device:
        return self.model.LayerNorm.weight.device

    @property
    def is_steady(self) -> bool:
        """Whether every batch of one shape runs the same operations (`core.training.cuda_graphs`)."""
        return not self.model.redraws_features

    def batch(self, smiles: Sequence[str]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` (b, longest), int64, on the device of the weights, without truncation.

        On CUDA the length is padded to a multiple of `LENGTH_MULTIPLE`, so that shapes repeat.
        """
        device = self.device
        arrays = self.tokenizer.pad_batch(smiles, LENGTH_MULTIPLE if device.type == "cuda" else 1)
        return {name: to_device(torch.from_numpy(array), device) for name, array in arrays.items()}

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """Embeddings (b, h) of a batch; padding does not change them."""
        mask = batch["attention_mask"]
        return self.model.pool(self.model(batch["input_ids"], mask), mask)

    forward = embed

    def embed_layers(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Mean token states (b, h) of each molecule before the first layer and after each layer."""
        mask = batch["attention_mask"]
        return [self.model.pool(states, mask) for states in self.model.hidden_states(batch["input_ids"], mask)]

    def lengths(self, smiles: Sequence[str]) -> np.ndarray:
        """Number of tokens (n,) of each molecule, with `<bos>` and `<eos>`."""
        return np.array([len(row) for row in self.tokenizer.ids(smiles)], dtype=np.int64)

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """(row, sentence) for dropped characters, unknown tokens and molecules longer than in pre-training."""
        longest = self.model.config.max_position_embeddings
        return [
            (row, fault)
            for row, one in enumerate(smiles)
            for fault in self.tokenizer.check_tokens(one).sentences(longest)
        ]

    def find_unreadable(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> list[tuple[int, str]]:
        """(row, reason) of molecules without an embedding: none, since every string has tokens."""
        return []

    def set_dropout(self, share: float) -> None:
        """Set the dropout probability of all modules; the configuration is not changed."""
        dropout.set_dropout(self.model, share)

    def counts(self) -> dict[str, int]:
        """Number of parameters, of trainable ones, and of feature-map values (which are never trained)."""
        return {
            "parameters": sum(weight.numel() for weight in self.parameters()),
            "trainable": sum(weight.numel() for weight in self.parameters() if weight.requires_grad),
            "buffers": sum(value.numel() for value in self.buffers()),
        }

    def save(self, folder: Path, half: bool = False) -> None:
        """Write config.json (with the name), model.safetensors (with feature maps) and tokenizer.json.

        `half` stores the weights in half precision; they are loaded as float32.
        """
        self.model.save(folder, half, name=self.name)
        self.tokenizer.save(folder)
