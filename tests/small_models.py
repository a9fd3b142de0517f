"""A backbone small enough for its dense curvature: the mean of character embeddings after one layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.models.predictor import Predictor

LETTERS = "CNOSFcnos()=#123[]@H+-lBr"


class CharacterBackbone(nn.Module):
    """Embeds characters and averages them over the molecule; one weight is unused by every prediction."""

    name, depth = "letters", 1

    def __init__(self, width: int = 8, seed: int = 0) -> None:
        super().__init__()
        self.width = width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.table = nn.Embedding(len(LETTERS) + 1, width, padding_idx=0)
            self.mix = nn.Linear(width, width)
            self.idle = nn.Parameter(torch.randn(5))

    def batch(self, smiles: Sequence[str]) -> dict[str, Tensor]:
        longest = max(map(len, smiles))
        ids = [[LETTERS.find(letter) + 1 for letter in text] + [0] * (longest - len(text)) for text in smiles]
        return {"ids": torch.tensor(ids, device=self.idle.device)}

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        mask = (batch["ids"] > 0).to(self.mix.weight)[..., None]
        hidden = torch.tanh(self.mix(self.table(batch["ids"]))) * mask
        return hidden.sum(1) / mask.sum(1)

    def lengths(self, smiles: Sequence[str]) -> np.ndarray:
        return np.array([len(text) for text in smiles])

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        return []

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True)
        save_file(self.state_dict(), folder / "letters.safetensors")


def load_letters(folder: Path) -> CharacterBackbone:
    from safetensors.torch import load_file

    state = load_file(folder / "letters.safetensors")
    backbone = CharacterBackbone(state["mix.weight"].shape[0])
    backbone.load_state_dict(state)
    return backbone


class IdentityBackbone(nn.Module):
    """A backbone whose batches are embeddings already."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.name, self.depth = width, "given", 0

    def embed(self, batch: Tensor) -> Tensor:
        return batch


def small_predictor(kinds: Sequence[str] = ("regression",), double: bool = False, seed: int = 0) -> Predictor:
    """A predictor with `len(kinds)` tasks and width 8; about 350 weights."""
    predictor = Predictor(CharacterBackbone(seed=seed), [f"task {k}" for k in range(len(kinds))], kinds, seed=seed)
    return predictor.double() if double else predictor


def train_predictor(predictor: Predictor, smiles: Sequence[str], targets: np.ndarray, steps: int = 300) -> Predictor:
    """Train with Adam on all rows, then switch to evaluation mode."""
    predictor.fit_scaler(targets)
    scaled, batch = predictor.scale_labels(targets), predictor.encode(smiles)
    optimiser = torch.optim.Adam(predictor.parameters(), 1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        predictor.loss(predictor(batch), scaled).backward()
        optimiser.step()
    return predictor.eval()


def dense_matrix(curvature: Any) -> Tensor:
    """The dense matrix of a curvature (d, d), column by column."""
    eye = torch.eye(curvature.view.d, dtype=torch.float64)
    return torch.stack([curvature @ column for column in eye])
