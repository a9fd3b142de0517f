"""A corpus in memory and on disk: batches, missing labels, and the keys of its molecules."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from core.data.corpus import (
    ARRAYS,
    KEY_BYTES,
    Corpus,
    contains_molecules,
    hash_name,
    molecule_key,
    read_keys,
    write_keys,
)
from core.engine.spec import BadInput

NAN = np.nan


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Three molecules in two spellings of different lengths; labels of the first and the last."""
    spellings = [[5, 5, 6], [6, 5, 5], [5], [5], [7, 5, 5, 5, 6], [6, 5, 7, 5, 5, 5]]
    return Corpus(
        molecules=pd.DataFrame({"smiles": ["CCO", "C", "NCCCO"], "key": np.array([3, 2**63 + 1, 7], np.uint64)}),
        vocabulary=("<bos>", "<eos>", "<pad>", "<mask>", "x", "C", "O", "N", "<unk>"),
        arrays={
            "tokens": np.concatenate(spellings).astype(np.uint16),
            "starts": np.cumsum([0, *map(len, spellings)]),
            "properties": np.array([[0.5, NAN], [1.0, 2.0], [-6.0, 6.0]], np.float16),
            "labels": np.array([[1.0, NAN, 0.5], [NAN, 0.0, NAN]], np.float16),
            "label_rows": np.array([0, -1, 1], np.int32),
        },
        record={
            "molecules": 3,
            "spellings": 2,
            "kinds": ["binary", "binary", "regression"],
            "tasks": ["a", "b", "c"],
            "scaling": {"names": ["MolWt", "TPSA"], "centre": [1.0, 2.0], "spread": [3.0, 4.0]},
            "digest": "d",
        },
        folder=tmp_path / "made",
    )


def test_batch_is_padded_with_bos_and_eos(corpus: Corpus) -> None:
    ids, mask = corpus.pad_batch(np.array([2, 1, 0]), np.array([0, 1, 1]), (0, 1, 2))
    assert ids.dtype == mask.dtype == np.int64
    assert ids.tolist() == [[0, 7, 5, 5, 5, 6, 1, 2], [0, 5, 1, 2, 2, 2, 2, 2], [0, 6, 5, 5, 1, 2, 2, 2]]
    assert mask.tolist() == [[1] * 7 + [0], [1] * 3 + [0] * 5, [1] * 5 + [0] * 3]
    assert corpus.pad_batch(np.array([1]), np.array([0]), (8, 9, 10))[0].tolist() == [[8, 5, 9, 10]]


def test_lengths_count_bos_and_eos(corpus: Corpus) -> None:
    assert len(corpus) == 3 and corpus.n_randomised_smiles == 2
    assert corpus.lengths().tolist() == [[5, 5], [3, 3], [7, 8]]


def test_missing_labels_are_nan(corpus: Corpus) -> None:
    values = corpus.labels(np.array([2, 1, 0, 2]))
    assert values.dtype == np.float32 and corpus.kinds == ("binary", "binary", "regression")
    np.testing.assert_array_equal(values, [[NAN, 0, NAN], [NAN] * 3, [1, NAN, 0.5], [NAN, 0, NAN]])


def test_corpus_without_labels(corpus: Corpus) -> None:
    corpus.arrays["labels"], corpus.arrays["label_rows"] = np.empty((0, 0), np.float16), np.full(3, -1, np.int32)
    assert corpus.labels(np.array([0, 2])).shape == (2, 0)


def test_summary_has_no_long_lists(corpus: Corpus) -> None:
    assert corpus.summary() == {"molecules": 3, "spellings": 2, "digest": "d", "descriptors": 2, "labels": 3}


def test_save_and_load(corpus: Corpus, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, source in ((first, corpus), (second, None)):
        folder.mkdir()
        (source or Corpus.load(first)).save(folder)
        loaded = Corpus.load(folder)
        assert loaded.vocabulary == corpus.vocabulary and loaded.record == corpus.record
        pd.testing.assert_frame_equal(loaded.molecules, corpus.molecules)
        for name in ARRAYS:
            np.testing.assert_array_equal(loaded.arrays[name], corpus.arrays[name])
            assert loaded.arrays[name].dtype == corpus.arrays[name].dtype and isinstance(loaded.arrays[name], np.memmap)
    assert loaded.scaling.names == ("MolWt", "TPSA")
    np.testing.assert_array_equal(loaded.scaling.spread, [3.0, 4.0])


def test_molecule_key_ignores_stereo() -> None:
    assert molecule_key("C[C@H](N)O") == molecule_key("C[C@@H](N)O") == molecule_key("OC(C)N") != molecule_key("OCCN")
    assert molecule_key("CCO") == hash_name("CCO") < 2**64


def test_keys_are_written_sorted_unique_and_shortened(tmp_path: Path) -> None:
    path = tmp_path / "keys.safetensors"
    numbers = [2**64 - 1, 5 << 40, 5 << 40, 1, (5 << 40) + 1]
    write_keys(numbers, path)
    assert read_keys(path).tolist() == [0, 5 << 16, 2 ** (8 * KEY_BYTES) - 1]
    assert path.stat().st_size < 200


def test_contains_molecules_ignores_stereo(tmp_path: Path) -> None:
    path = tmp_path / "keys.safetensors"
    write_keys(map(molecule_key, ["CCO", "C[C@H](N)C(=O)O", "c1ccccc1"]), path)
    keys = read_keys(path)
    molecules = ["OCC", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O", "C", "C1=CC=CC=C1", "CCN"]
    assert contains_molecules(molecules, keys).tolist() == [True, True, True, False, True, False]
    assert contains_molecules([], keys).shape == (0,)
    write_keys([], path)
    assert contains_molecules(molecules, read_keys(path)).tolist() == [False] * 6
    with pytest.raises(BadInput, match="no molecule"):
        contains_molecules(["C1CC"], keys)


@pytest.mark.parametrize("content", ["absent", "noise", "other", "wide", "flat", "floats"])
def test_unreadable_keys_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.safetensors"
    if content == "noise":
        path.write_bytes(b"\xff" * 100)
    elif content == "other":
        save_file({"more": np.zeros((2, KEY_BYTES), np.uint8)}, path)
    elif content != "absent":
        shape, kind = {"wide": ((2, 8), np.uint8), "flat": ((10,), np.uint8), "floats": ((2, KEY_BYTES), float)}[
            content
        ]
        save_file({"keys": np.zeros(shape, kind)}, path)
    with pytest.raises(BadInput, match="holds no readable list of molecules") as caught:
        read_keys(path)
    assert "copy the checkpoint again" in str(caught.value)
