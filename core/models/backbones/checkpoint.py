"""A backbone's weights as a product: what adapting or pre-training leaves. Read without torch."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from core.stats.formatting import format_number

if TYPE_CHECKING:
    from torch import nn


CARD_FILE = "card.json"  # beside pre-trained weights: what they have read, how, and how well
KEYS_FILE = "corpus_keys.safetensors"  # and which molecules that were

HELD_OUT_LABELS = {"token_loss": "token loss", "property_error": "property error", "label_loss": "label loss"}
ADAPTATION_LABELS = {"perplexity": "perplexity", "property_error": "property error"}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights of a backbone under `folder / "backbone"`, the curve of what made them, and a record of it.

    Called, it gives the live backbone, as a member of the backbone family does.
    """

    headline_keys: ClassVar[tuple[str, ...]] = ()

    curve: pd.DataFrame
    record: dict[str, Any]
    folder: Path

    def __call__(self, mlm_head: bool = False) -> "nn.Module":
        from core.models.backbones import load_backbone

        return load_backbone(self.folder / "backbone", mlm_head)

    def summary(self) -> dict[str, Any]:
        return self.record

    @staticmethod
    def headline(summary: Mapping[str, Any]) -> str:
        """The losses on what was held out: those of the objectives that it was trained by."""
        if isinstance(losses := summary.get("held_out"), Mapping):  # of a pre-training
            return ", ".join(
                f"{word} {format_number(losses[name])}" for name, word in HELD_OUT_LABELS.items() if name in losses
            )
        found = {word: summary.get(name) for name, word in ADAPTATION_LABELS.items()}
        return ", ".join(f"{word} {format_number(value)}" for word, value in found.items() if value is not None)

    def save(self, folder: Path) -> None:
        self.curve.to_parquet(folder / "curve.parquet")
        (folder / "record.json").write_text(json.dumps(self.record, indent=1))
        shutil.copytree(self.folder / "backbone", folder / "backbone")

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        curve = pd.read_parquet(folder / "curve.parquet")
        return cls(curve, json.loads((folder / "record.json").read_text()), folder)
