"""The pre-training corpus of a checkpoint: which molecules it contained, and with how many label columns."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.data.corpus import KEY_BYTES, contains_molecules, molecule_key, read_keys, write_keys
from core.models.backbones.checkpoint import CARD_FILE, KEYS_FILE, Checkpoint
from core.models.backbones.pretrained import Pretrained

CARD_FIELDS = ("backbone", "recipe", "objective", "steps")  # of a card, copied into the cards of its descendants
CORPUS_CARD_FIELDS = ("digest", "molecules", "left_out", "labels", "recipe")


def checkpoint_folder(start: Any) -> Path | None:
    """The folder with the weights of a `Pretrained` or a `Checkpoint`; None where there is none.

    Raises `BadInput` for a damaged bundled checkpoint.
    """
    if isinstance(start, Checkpoint):
        return start.folder / "backbone"
    if not isinstance(start, Pretrained):
        return None
    start.check_shipped()
    return start.local_folder


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a pre-trained backbone; {} where there is none or it cannot be read."""
    try:
        card = json.loads((folder / CARD_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def load_short_keys(folder: Path) -> np.ndarray | None:
    """Shortened keys uint64 (n,), sorted, of the molecules in a checkpoint's corpus; None where it has no list.

    Raises `BadInput` where the list is damaged.
    """
    return read_keys(folder / KEYS_FILE) if (folder / KEYS_FILE).is_file() else None


def load_full_keys(folder: Path) -> np.ndarray:
    """The same keys in the form that `write_keys` takes, uint64 (n,); empty where there is no list."""
    keys = load_short_keys(folder)
    return np.empty(0, np.uint64) if keys is None else keys << np.uint64(8 * (8 - KEY_BYTES))


def list_ancestors(folder: Path) -> list[dict[str, Any]]:
    """Short cards of a checkpoint and its ancestors, newest first: for the card of one trained from it."""
    card = read_card(folder)
    if not card:
        return []
    corpus = {name: card.get("corpus", {}).get(name) for name in CORPUS_CARD_FIELDS}
    return [{name: card.get(name) for name in CARD_FIELDS} | {"corpus": corpus}, *card.get("before", ())]


def write_history(
    folder: Path, spec_key: str, name: str, smiles: Sequence[str], digest: str, start: Any, labels: int = 0
) -> None:
    """Write the card and the keys of weights in `folder` that were trained on `smiles`, starting from `start`.

    `labels`: number of columns of measured labels that were learned.
    """
    start_folder = checkpoint_folder(start)
    corpus = {"digest": digest, "molecules": len(smiles), "labels": labels}
    card = {"backbone": name, "recipe": spec_key, "objective": {"measured": 1.0} if labels else {}, "corpus": corpus}
    card["before"] = list_ancestors(start_folder) if start_folder else []
    (folder / CARD_FILE).write_text(json.dumps(card, indent=1))
    earlier = load_full_keys(start_folder) if start_folder else np.empty(0, np.uint64)
    write_keys(
        np.concatenate([np.array([molecule_key(molecule) for molecule in smiles], np.uint64), earlier]),
        folder / KEYS_FILE,
    )


def count_read(folder: Path, smiles: Sequence[str]) -> int | None:
    """Number of molecules, without stereochemistry, in the corpus of the checkpoint in `folder`; None without a list.

    Keys are shortened: one in two million molecules is counted by mistake. Raises `BadInput` for an invalid SMILES.
    """
    keys = load_short_keys(folder)
    return None if keys is None else int(contains_molecules(smiles, keys).sum())


def count_label_columns(folder: Path) -> int:
    """Number of columns of measured labels that the checkpoint in `folder` was trained on, 0 without a card.

    A corpus that was used in several trainings counts once.
    """
    card = read_card(folder)
    columns: dict[str, int] = {}
    for number, entry in enumerate((card, *card.get("before", ()))):
        corpus = str(entry.get("corpus", {}).get("digest") or number)
        columns[corpus] = max(columns.get(corpus, 0), _card_labels(entry))
    return sum(columns.values())


def _card_labels(card: dict[str, Any]) -> int:
    weight = card.get("objective", {}).get("measured", 0)
    return int(card.get("corpus", {}).get("labels", 0)) if weight else 0


def overlap_note(folder: Path, part: str, smiles: Sequence[str]) -> str | None:
    """A sentence about molecules of a `part` ("test", "validation") that are in the checkpoint's corpus; None if none.

    A SMILES in the corpus does not leak its label; measured labels of a related property may.
    """
    count = count_read(folder, smiles)
    if not count:
        return None
    sentence = f"{count:,} of {len(smiles):,} {part} molecules are in the pre-training corpus of this backbone"
    labels = count_label_columns(folder)
    if labels:
        return (
            f"{sentence}, with {labels:,} columns of measured labels: if one of them is the property to predict, the "
            f"{part} metrics are too optimistic"
        )
    return f"{sentence}, without labels"
