"""The product of adaptation and pre-training: a backbone's weights and their record. Needs no torch."""

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


CARD_FILE = "card.json"  # of pre-trained weights: corpus, settings and held-out losses
KEYS_FILE = "corpus_keys.safetensors"  # keys of the molecules in that corpus

HELD_OUT_LABELS = {"token_loss": "token loss", "property_error": "property error", "label_loss": "label loss"}
ADAPTATION_LABELS = {"perplexity": "perplexity", "property_error": "property error"}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights of a backbone under `folder / "backbone"`, with their learning curve and record.

    Calling it loads the backbone, as with any member of the backbone family.
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
        """The held-out losses of the objectives it was trained with."""
        if isinstance(losses := summary.get("held_out"), Mapping):  # pre-training; else adaptation
            return ", ".join(
                f"{word} {format_number(losses[name])}" for name, word in HELD_OUT_LABELS.items() if name in losses
            )
        values = {word: summary.get(name) for name, word in ADAPTATION_LABELS.items()}
        return ", ".join(f"{word} {format_number(value)}" for word, value in values.items() if value is not None)

    def save(self, folder: Path) -> None:
        self.curve.to_parquet(folder / "curve.parquet")
        (folder / "record.json").write_text(json.dumps(self.record, indent=1))
        shutil.copytree(self.folder / "backbone", folder / "backbone")

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint":
        curve = pd.read_parquet(folder / "curve.parquet")
        return cls(curve, json.loads((folder / "record.json").read_text()), folder)
