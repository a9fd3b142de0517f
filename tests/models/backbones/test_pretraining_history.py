"""What a checkpoint says of the molecules it has read."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.corpus import key, read_keys, write_keys
from core.engine.spec import BadInput
from core.models.backbones import Pretrained, Untrained, pretrained, pretraining_history
from core.models.backbones.checkpoint import CARD, KEYS, Checkpoint
from core.models.backbones.pretraining_history import full_keys, labels_learned, lineage, place, read_before, told

READ = ["CCO", "C[C@H](N)C(=O)O", "c1ccccc1", "CCN"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint that has read four molecules, without labels."""
    folder = tmp_path / "backbone"
    folder.mkdir()
    write_keys(map(key, READ), folder / KEYS)
    card = {"backbone": "nano", "steps": 7, "objective": {"masked": 1.0, "measured": 0.0}, "seconds": 5.0}
    card |= {"recipe": "r", "corpus": {"digest": "d", "molecules": 4, "labels": 3, "left_out": {"digest": "e"}}}
    (folder / CARD).write_text(json.dumps(card))
    return folder


def learned(folder: Path, **more: object) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | {"objective": {"measured": 0.1}} | more))


def test_molecules_are_counted_stereo_marks_aside(folder: Path) -> None:
    assert read_before(folder, ["OCC", "C[C@@H](N)C(=O)O", "CCCC"]) == 2
    assert read_before(folder, ["CCCC"]) == read_before(folder, []) == 0
    with pytest.raises(BadInput, match="no molecule"):
        read_before(folder, ["C1CC"])


def test_a_checkpoint_without_a_list_says_nothing(tmp_path: Path, folder: Path) -> None:
    assert read_before(tmp_path, READ) is None and told(tmp_path, "test", READ) is None
    assert labels_learned(tmp_path) == 0 and lineage(tmp_path) == [] and len(full_keys(tmp_path)) == 0
    (folder / KEYS).write_bytes(b"noise")
    with pytest.raises(BadInput, match="copy the checkpoint again"):
        read_before(folder, READ)


def test_the_sentence_tells_reading_from_learning_labels(folder: Path) -> None:
    asked = ["OCC", "CCCC", "CCN"]
    assert told(folder, "test", ["CCCC"]) is None
    assert told(folder, "test", asked) == (
        "2 of 3 test molecules were read when this backbone was pre-trained, without any label of theirs"
    )
    learned(folder)
    assert labels_learned(folder) == 3
    assert "which learned 3 columns of measured labels" in (said := told(folder, "test", asked)) and "flatter" in said


def test_labels_of_an_earlier_training_count_too(folder: Path) -> None:
    learned(folder, before=[{"objective": {"measured": 1.0}, "corpus": {"labels": 4}}, {"objective": {}, "corpus": {}}])
    assert labels_learned(folder) == 7


def test_labels_of_a_corpus_that_was_gone_on_with_count_once(folder: Path) -> None:
    learned(folder)
    card = json.loads((folder / CARD).read_text())
    card["corpus"]["digest"] = "same"
    earlier = {"objective": {"measured": 1.0}, "corpus": {"labels": 3, "digest": "same"}}
    other = {"objective": {"measured": 1.0}, "corpus": {"labels": 3, "digest": "other"}}
    (folder / CARD).write_text(json.dumps(card | {"before": [earlier, other]}))
    assert labels_learned(folder) == 6


def test_the_lineage_is_short_and_newest_first(folder: Path) -> None:
    learned(folder, before=[{"recipe": "older"}])
    newest, older = lineage(folder)
    assert older == {"recipe": "older"} and "seconds" not in newest
    assert (newest["backbone"], newest["steps"], newest["recipe"]) == ("nano", 7, "r")
    assert newest["corpus"] == {"digest": "d", "molecules": 4, "left_out": {"digest": "e"}, "labels": 3, "recipe": None}


def test_keys_can_be_written_again(folder: Path) -> None:
    write_keys(np.concatenate([full_keys(folder), np.array([key("CCCC")], np.uint64)]), folder / "more")
    assert read_before(folder, READ) == 4 and len(read_keys(folder / "more")) == 5
    (folder / "more").rename(folder / KEYS)
    assert read_before(folder, [*READ, "CCCC", "CCCCC"]) == 5


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_card_that_cannot_be_read_is_none(folder: Path, text: str) -> None:
    (folder / CARD).write_text(text)
    assert pretraining_history.card(folder) == {} and labels_learned(folder) == 0


def test_where_weights_lie(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Checkpoint(pd.DataFrame(), {}, tmp_path)
    (folder / "config.json").write_text("{}")
    assert place(made) == folder == place(Pretrained(str(folder)))
    monkeypatch.setattr(pretrained, "CHECKPOINTS", tmp_path)
    assert place(Pretrained("backbone")) == folder
    assert place(Pretrained("molsway-mini")) is place(Untrained()) is None
    assert dataclasses.replace(made, folder=tmp_path / "a") and place(Pretrained("nowhere")) is None
