"""What a checkpoint has read: whether molecules were among it, and whether their labels may have been learned."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.data.corpus import KEY_BYTES, contains_molecules, molecule_key, read_keys, write_keys
from core.models.backbones.checkpoint import CARD_FILE, KEYS_FILE, Checkpoint
from core.models.backbones.pretrained import Pretrained

CARD_FIELDS = ("backbone", "recipe", "objective", "steps")  # of an earlier card, in the card of who went on from there
CORPUS_CARD_FIELDS = ("digest", "molecules", "left_out", "labels", "recipe")


def checkpoint_folder(start: Any) -> Path | None:
    """The folder of the weights that a `Pretrained` or a made `Checkpoint` stands for; None where there is none."""
    if isinstance(start, Checkpoint):
        return start.folder / "backbone"
    return start.local_folder if isinstance(start, Pretrained) else None


def read_card(folder: Path) -> dict[str, Any]:
    """What a pre-training wrote beside its weights; {} where it wrote nothing, or nothing that can be read."""
    try:
        found = json.loads((folder / CARD_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def load_short_keys(folder: Path) -> np.ndarray | None:
    """Shortened keys uint64 (n,), sorted, of the molecules a checkpoint has read; None where it lists none.

    Raises `BadInput` where the list is damaged.
    """
    return read_keys(folder / KEYS_FILE) if (folder / KEYS_FILE).is_file() else None


def load_full_keys(folder: Path) -> np.ndarray:
    """The same in the form that `write_keys` takes, uint64 (n,); none where there is no list."""
    keys = load_short_keys(folder)
    return np.empty(0, np.uint64) if keys is None else keys << np.uint64(8 * (8 - KEY_BYTES))


def list_ancestors(folder: Path) -> list[dict[str, Any]]:
    """What a checkpoint has read, newest first, in short: for the card of one that goes on from it."""
    found = read_card(folder)
    if not found:
        return []
    corpus = {name: found.get("corpus", {}).get(name) for name in CORPUS_CARD_FIELDS}
    return [{name: found.get(name) for name in CARD_FIELDS} | {"corpus": corpus}, *found.get("before", ())]


def write_history(
    folder: Path, recipe: str, name: str, smiles: Sequence[str], digest: str, start: Any, labels: int = 0
) -> None:
    """Write beside weights in `folder` that they have read `smiles`, and what `start` had read.

    `labels`: columns of measured labels that they learned with them.
    """
    origin = checkpoint_folder(start)
    corpus = {"digest": digest, "molecules": len(smiles), "labels": labels}
    told = {"backbone": name, "recipe": recipe, "objective": {"measured": 1.0} if labels else {}, "corpus": corpus}
    told["before"] = list_ancestors(origin) if origin else []
    (folder / CARD_FILE).write_text(json.dumps(told, indent=1))
    earlier = load_full_keys(origin) if origin else np.empty(0, np.uint64)
    write_keys(
        np.concatenate([np.array([molecule_key(one) for one in smiles], np.uint64), earlier]), folder / KEYS_FILE
    )


def count_read(folder: Path, smiles: Sequence[str]) -> int | None:
    """How many molecules, stereo marks aside, the checkpoint in `folder` has read; None where it lists none.

    One in two million molecules is counted by mistake. Raises `BadInput` for a SMILES that is none.
    """
    keys = load_short_keys(folder)
    return None if keys is None else int(contains_molecules(smiles, keys).sum())


def count_label_columns(folder: Path) -> int:
    """Columns of measured labels that the checkpoint in `folder` learned, as its card says; 0 where none is known.

    A corpus that was gone on with has the columns it had.
    """
    found = read_card(folder)
    columns: dict[str, int] = {}
    for number, one in enumerate((found, *found.get("before", ()))):
        corpus = str(one.get("corpus", {}).get("digest") or number)
        columns[corpus] = max(columns.get(corpus, 0), _card_labels(one))
    return sum(columns.values())


def _card_labels(found: dict[str, Any]) -> int:
    weighed = found.get("objective", {}).get("measured", 0)
    return int(found.get("corpus", {}).get("labels", 0)) if weighed else 0


def overlap_note(folder: Path, part: str, smiles: Sequence[str]) -> str | None:
    """A sentence where the checkpoint has read molecules of a `part` ("test", "validation"); None where it has not.

    Having read a SMILES gives no label away; having learned measured labels may, if they are of a kindred quantity.
    """
    count = count_read(folder, smiles)
    if not count:
        return None
    said = f"{count:,} of {len(smiles):,} {part} molecules were read when this backbone was pre-trained"
    labels = count_label_columns(folder)
    if labels:
        return (
            f"{said}, which learned {labels:,} columns of measured labels: if one of them is what is asked for here, "
            "the numbers flatter"
        )
    return f"{said}, without any label of theirs"
