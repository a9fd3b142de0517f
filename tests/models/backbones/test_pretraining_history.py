"""The pre-training corpus of a checkpoint: overlap, label columns and ancestors."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.corpus import molecule_key, read_keys, write_keys
from core.engine.spec import BadInput
from core.models.backbones import Pretrained, Untrained, pretrained, pretraining_history
from core.models.backbones.checkpoint import CARD_FILE, KEYS_FILE, Checkpoint
from core.models.backbones.pretraining_history import (
    checkpoint_folder,
    count_label_columns,
    count_read,
    list_ancestors,
    load_full_keys,
    overlap_note,
)

READ = ["CCO", "C[C@H](N)C(=O)O", "c1ccccc1", "CCN"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with a corpus of four molecules, without labels."""
    folder = tmp_path / "backbone"
    folder.mkdir()
    write_keys(map(molecule_key, READ), folder / KEYS_FILE)
    card = {"backbone": "nano", "steps": 7, "objective": {"masked": 1.0, "measured": 0.0}, "seconds": 5.0}
    card |= {"recipe": "r", "corpus": {"digest": "d", "molecules": 4, "labels": 3, "left_out": {"digest": "e"}}}
    (folder / CARD_FILE).write_text(json.dumps(card))
    return folder


def add_labels(folder: Path, **fields: object) -> None:
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | {"objective": {"measured": 0.1}} | fields))


def test_molecules_are_counted_without_stereochemistry(folder: Path) -> None:
    assert count_read(folder, ["OCC", "C[C@@H](N)C(=O)O", "CCCC"]) == 2
    assert count_read(folder, ["CCCC"]) == count_read(folder, []) == 0
    with pytest.raises(BadInput, match="no molecule"):
        count_read(folder, ["C1CC"])


def test_a_checkpoint_without_a_list_gives_none(tmp_path: Path, folder: Path) -> None:
    assert count_read(tmp_path, READ) is None and overlap_note(tmp_path, "test", READ) is None
    assert count_label_columns(tmp_path) == 0 and list_ancestors(tmp_path) == [] and len(load_full_keys(tmp_path)) == 0
    (folder / KEYS_FILE).write_bytes(b"noise")
    with pytest.raises(BadInput, match="copy the checkpoint again"):
        count_read(folder, READ)


def test_the_note_mentions_learned_labels(folder: Path) -> None:
    asked = ["OCC", "CCCC", "CCN"]
    assert overlap_note(folder, "test", ["CCCC"]) is None
    assert overlap_note(folder, "test", asked) == (
        "2 of 3 test molecules are in the pre-training corpus of this backbone, without labels"
    )
    add_labels(folder)
    assert count_label_columns(folder) == 3
    assert (
        "with 3 columns of measured labels" in (note := overlap_note(folder, "test", asked))
        and "too optimistic" in note
    )


def test_label_columns_of_ancestors_count(folder: Path) -> None:
    add_labels(
        folder, before=[{"objective": {"measured": 1.0}, "corpus": {"labels": 4}}, {"objective": {}, "corpus": {}}]
    )
    assert count_label_columns(folder) == 7


def test_a_repeated_corpus_counts_once(folder: Path) -> None:
    add_labels(folder)
    card = json.loads((folder / CARD_FILE).read_text())
    card["corpus"]["digest"] = "same"
    earlier = {"objective": {"measured": 1.0}, "corpus": {"labels": 3, "digest": "same"}}
    other = {"objective": {"measured": 1.0}, "corpus": {"labels": 3, "digest": "other"}}
    (folder / CARD_FILE).write_text(json.dumps(card | {"before": [earlier, other]}))
    assert count_label_columns(folder) == 6


def test_ancestors_are_listed_newest_first(folder: Path) -> None:
    add_labels(folder, before=[{"recipe": "older"}])
    newest, older = list_ancestors(folder)
    assert older == {"recipe": "older"} and "seconds" not in newest
    assert (newest["backbone"], newest["steps"], newest["recipe"]) == ("nano", 7, "r")
    assert newest["corpus"] == {"digest": "d", "molecules": 4, "left_out": {"digest": "e"}, "labels": 3, "recipe": None}


def test_keys_round_trip(folder: Path) -> None:
    write_keys(np.concatenate([load_full_keys(folder), np.array([molecule_key("CCCC")], np.uint64)]), folder / "more")
    assert count_read(folder, READ) == 4 and len(read_keys(folder / "more")) == 5
    (folder / "more").rename(folder / KEYS_FILE)
    assert count_read(folder, [*READ, "CCCC", "CCCCC"]) == 5


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_an_unreadable_card_is_empty(folder: Path, text: str) -> None:
    (folder / CARD_FILE).write_text(text)
    assert pretraining_history.read_card(folder) == {} and count_label_columns(folder) == 0


def test_checkpoint_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(pd.DataFrame(), {}, tmp_path)
    (folder / "config.json").write_text("{}")
    assert checkpoint_folder(checkpoint) == folder == checkpoint_folder(Pretrained(str(folder)))
    monkeypatch.setattr(pretrained, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr(pretrained, "SHIPPED", {})
    assert checkpoint_folder(Pretrained("backbone")) == folder
    assert checkpoint_folder(Pretrained("molsway-mini")) is checkpoint_folder(Untrained()) is None
    assert dataclasses.replace(checkpoint, folder=tmp_path / "a") and checkpoint_folder(Pretrained("nowhere")) is None
