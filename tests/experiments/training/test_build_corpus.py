"""Building a corpus: molecules and excluded ones, tokens and descriptors, and resuming."""

import dataclasses
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.chem import descriptors
from core.chem import molecules as chem
from core.chem.descriptors import Scaling
from core.data.corpus import ARRAYS, Corpus, molecule_key
from core.engine.make import make
from core.engine.report import SILENT_REPORT, Cancelled, Report
from core.engine.spec import BadInput, read_spec_json
from core.engine.store import Store
from core.experiments import BuildCorpus, Load, import_files
from core.experiments.training import build_corpus
from core.models.backbones.molformer.vocabulary import TOKEN_REGEX

FIRST = ["CCO ethanol", "OCC again", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "c1ccccc1", "rubbish", "C" * 40, "C1CC"]
SECOND = [
    "C1=CC=CC=C1",
    "CCN",
    "[13CH4]",
    "[Zz]",
    "CC(N)C(O)=O",
    "CC(=O)Nc1ccc(O)cc1",
    "C[n+]1ccccc1.[Cl-]",
    "[nH]1cccc1",
]
DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    for name, lines in (("first.smi", FIRST), ("second.txt", [*SECOND, *DRUGS])):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    return tuple(str(tmp_path / name) for name in ("first.smi", "second.txt"))


@pytest.fixture
def spec(files: tuple[str, ...]) -> BuildCorpus:
    return BuildCorpus(files=files, longest=30, least=2)


def table(folder: Path, name: str, text: str) -> Load:
    (folder / name).write_text(text)
    return Load(f"file:{folder / name}")


@pytest.fixture
def build(tmp_path: Path) -> Any:
    store = Store(tmp_path / "cache")
    return lambda spec: make(import_files(spec, store.files), store, Report())


def read_smiles(corpus: Corpus) -> list[list[str]]:
    """The SMILES of each molecule, joined from its tokens."""
    starts, tokens = corpus.arrays["starts"], corpus.arrays["tokens"]
    texts = ["".join(corpus.vocabulary[t] for t in tokens[a:b]) for a, b in itertools.pairwise(starts)]
    return [texts[k : k + corpus.n_randomised_smiles] for k in range(0, len(texts), corpus.n_randomised_smiles)]


def test_molecules_are_unique_and_every_line_is_counted(spec: BuildCorpus, build: Any) -> None:
    corpus = build(spec)
    names = dict.fromkeys(
        ["CCO", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "c1ccccc1", "CCN", "[13CH4]", "CC(N)C(=O)O"]
        + [chem.canonical_smiles(one) for one in (*SECOND[5:], *DRUGS)]
    )
    assert corpus.molecules["smiles"].tolist() == list(names), "in the order of the files"
    assert corpus.record["lines"] == {"taken": 13, "repeated": 2, "no molecule": 3, "too long": 1}
    assert sum(corpus.record["lines"].values()) == len(FIRST) + len(SECOND) + len(DRUGS)
    assert corpus.molecules["key"].tolist() == [molecule_key(smiles) for smiles in names]
    assert len(corpus) == corpus.record["molecules"] == 13


def test_without_stereo_isomers_are_one_molecule(spec: BuildCorpus, build: Any) -> None:
    corpus = build(dataclasses.replace(spec, stereo=False))
    smiles = corpus.molecules["smiles"].tolist()
    assert (
        smiles.count("CC(N)C(=O)O") == 1 and "C" in smiles and not any(mark in one for one in smiles for mark in "@/")
    )
    assert corpus.record["lines"]["repeated"] == 4


def test_left_out_molecules_and_isomers_are_excluded(spec: BuildCorpus, build: Any, tmp_path: Path) -> None:
    out = table(tmp_path, "test.csv", "smiles,y\nC[C@H](N)C(O)=O,1\nOCC,2\nO=C(C)Oc1ccccc1C(=O)O,3\n")
    corpus = build(dataclasses.replace(spec, leave_out=(out,)))
    excluded = {"CCO", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O", "CC(=O)Oc1ccccc1C(=O)O"}
    assert not excluded & set(corpus.molecules["smiles"]) and len(corpus) == 13 - 5
    assert corpus.record["lines"]["left out"] == 6
    assert corpus.record["left_out"]["molecules"] == 3 and len(corpus.record["left_out"]["digest"]) == 64
    assert corpus.record["digest"] != build(spec).record["digest"]


def test_unlabelled_molecules_are_excluded_too(spec: BuildCorpus, build: Any, tmp_path: Path) -> None:
    text = "smiles,y\nOCC,\nO=C(C)Oc1ccccc1C(=O)O,none\nnot a molecule,5\nCCCCCCCCCN,3\nCCCCCCCCCO,1\n"
    out = table(tmp_path, "test.csv", text)
    corpus = build(dataclasses.replace(spec, leave_out=(out,)))
    assert not {"CCO", "CC(=O)Oc1ccccc1C(=O)O"} & set(corpus.molecules["smiles"])
    assert corpus.record["left_out"]["molecules"] == 4


def test_randomised_smiles_are_the_same_molecule(spec: BuildCorpus, build: Any) -> None:
    corpus = build(dataclasses.replace(spec, n_randomised_smiles=4, least=1))
    for name, texts in zip(corpus.molecules["smiles"], read_smiles(corpus), strict=True):
        assert texts[0] == name and len(texts) == 4
        assert {chem.canonical_smiles(text) for text in texts} == {name}
    assert sum(len(set(texts)) > 1 for texts in read_smiles(corpus)) > 6
    assert corpus.lengths()[:, 0].tolist() == [len(TOKEN_REGEX.findall(one)) + 2 for one in corpus.molecules["smiles"]]
    assert corpus.record["unknown_tokens"] == 0


def test_only_rare_bracket_atoms_are_unknown_tokens(spec: BuildCorpus, build: Any) -> None:
    corpus = build(dataclasses.replace(spec, n_randomised_smiles=1))
    counts = Counter(token for name in corpus.molecules["smiles"] for token in TOKEN_REGEX.findall(name))
    rare = {token for token, n in counts.items() if len(token) > 2 and n < 2}
    assert rare and not rare & set(corpus.vocabulary) and {"[C@H]", "[C@@H]"} <= set(corpus.vocabulary)
    lost = 0
    for name, (text,) in zip(corpus.molecules["smiles"], read_smiles(corpus), strict=True):
        wanted = "".join("<unk>" if token in rare else token for token in TOKEN_REGEX.findall(name))
        assert text == wanted
        lost += wanted.count("<unk>")
    assert corpus.record["unknown_tokens"] == lost > 0


def test_descriptors_are_scaled(spec: BuildCorpus, build: Any) -> None:
    corpus = build(spec)
    names, scaled = descriptors.descriptor_names(quick=True), corpus.arrays["properties"]
    values = descriptors.compute_descriptors(corpus.molecules["smiles"].tolist(), quick=True)
    scaling = Scaling.of(values, names)
    assert corpus.scaling.names == scaling.names and scaled.dtype == np.float16
    np.testing.assert_array_equal(scaled, scaling(values, names).astype(np.float16))


def test_labels_are_scaled_and_assigned_to_molecules(spec: BuildCorpus, build: Any, tmp_path: Path) -> None:
    one = table(tmp_path, "one.csv", "smiles,exp,active\nCCN,1,0\nOCC,3,1\nCCCO,5,\nc1ccccc1,,1\n")
    one = dataclasses.replace(one, targets=("exp", "active"))
    two = table(tmp_path, "two.csv", "smiles,exp\nc1ccccc1,7\nCCCCN,9\n[nH]1cccc1,7\n")
    out = table(tmp_path, "out.csv", "smiles,y\nCCCCN,1\n")
    corpus = build(dataclasses.replace(spec, labelled=(one, two), leave_out=(out,)))
    assert corpus.record["tasks"] == ["exp", "active"], "a column with one value is no task"
    assert corpus.kinds == ("regression", "binary")
    row_of = {name: row for row, name in enumerate(corpus.molecules["smiles"])}
    assert "CCCO" in row_of and "CCCCN" not in row_of
    rows = np.array([row_of[name] for name in ("CCN", "CCO", "CCCO", "c1ccccc1", "c1cc[nH]c1", "[13CH4]")])
    nan, side = np.nan, np.float16((5 - 3) / np.std([1, 3, 5]))
    wanted = [[-side, 0], [0, 1], [side, nan], [nan, 1], [nan, nan], [nan, nan]]
    np.testing.assert_allclose(corpus.labels(rows), wanted, atol=0.02)
    assert [(t["molecules"], t["in corpus"]) for t in corpus.record["labelled"]] == [(4, 4), (3, 2)]
    assert corpus.record["lines"]["left out"] == 1 and sum(corpus.record["lines"].values()) == 19 + 7


def test_labels_without_stereo(build: Any, tmp_path: Path) -> None:
    one = table(tmp_path, "one.csv", "smiles,exp\nC[C@H](N)C(=O)O,1\nCCO,3\n")
    corpus = build(BuildCorpus(labelled=(one,), stereo=False, least=1))
    assert corpus.molecules["smiles"].tolist() == ["CC(N)C(=O)O", "CCO"]
    np.testing.assert_allclose(corpus.labels(np.arange(2)), [[-1], [1]], atol=0.02)


def test_limit_applies_to_each_file(spec: BuildCorpus, build: Any) -> None:
    corpus = build(dataclasses.replace(spec, limit=2))
    assert corpus.molecules["smiles"].tolist() == ["CCO", "c1ccccc1", "CCN"]


def same(one: Corpus, other: Corpus) -> None:
    assert one.record == other.record and one.vocabulary == other.vocabulary
    assert one.molecules.equals(other.molecules)
    for name in ARRAYS:
        np.testing.assert_array_equal(one.arrays[name], other.arrays[name], err_msg=name)


def test_seed_changes_only_the_randomised_smiles(spec: BuildCorpus) -> None:
    one, two, other = (dataclasses.replace(spec, seed=seed).make(SILENT_REPORT) for seed in (0, 0, 1))
    same(one, two)
    assert not np.array_equal(one.arrays["tokens"], other.arrays["tokens"])
    assert one.record["digest"] == other.record["digest"] and one.molecules.equals(other.molecules)


def test_key_follows_the_content_of_the_files(spec: BuildCorpus, build: Any, files: tuple[str, ...]) -> None:
    identified = spec.with_digests()
    assert [len(digest) for digest in identified.digests] == [64, 64] and identified.with_digests() == identified
    assert (
        read_spec_json(identified.text) == identified
        and build(spec).record["files"][1]["sha256"] == identified.digests[1]
    )
    Path(files[1]).write_text("CCO\n")
    assert spec.with_digests().key != identified.key
    with pytest.raises(BadInput, match=r"second.txt has changed .*leave `digests` empty"):
        identified.make(SILENT_REPORT)


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_resumed_corpus_equals_an_uninterrupted_one(
    spec: BuildCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(build_corpus, "BLOCK_LINES", 4)
    undisturbed, interrupted = tmp_path / "whole", tmp_path / "torn"
    undisturbed.mkdir()
    interrupted.mkdir()
    expected = spec.make(Report(scratch=undisturbed))
    messages: list[str] = []
    with pytest.raises(Cancelled):
        spec.make(
            Report(
                tell=lambda *arguments: messages.append(arguments[1]),
                cancelled=lambda: len(messages) == stop,
                scratch=interrupted,
            )
        )
    blocks = sorted(path.name for path in (interrupted / "blocks").glob("*.json"))
    assert len(blocks) < 5
    described = []
    real = build_corpus.describe_molecules
    monkeypatch.setattr(
        build_corpus, "describe_molecules", lambda names, *rest: described.extend(names) or real(names, *rest)
    )
    resumed = spec.make(Report(scratch=interrupted))
    same(resumed, expected)
    assert len(blocks) == 0 or len(described) < len(expected), "finished blocks are not computed again"


def test_chunk_size_does_not_change_the_corpus(spec: BuildCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = spec.make(SILENT_REPORT)
    monkeypatch.setattr(build_corpus, "CHUNK_MOLECULES", 3)
    same(spec.make(SILENT_REPORT), expected)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "at least one file in `files` or one table in `labelled`"),
        ({"files": ("a.smi", "b.sdf")}, "b.sdf: a corpus file ends in .smi"),
        ({"files": ("a.smi",), "digests": ("a", "b")}, "2 digests for 1 files"),
        ({"files": ("a.smi",), "n_randomised_smiles": 0}, "n_randomised_smiles"),
    ],
)
def test_bad_fields_are_refused(fields: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        BuildCorpus(**fields)


def test_title() -> None:
    assert BuildCorpus(files=("a.smi",)).title == "corpus of 1 file"
    assert BuildCorpus(files=("a.smi", "b.smi"), labelled=(Load(),)).title == "corpus of 2 files and 1 labelled table"


def test_empty_and_missing_files_are_refused(build: Any, tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("rubbish\n" * 3)
    with pytest.raises(BadInput, match=r"no molecule is left of 3 lines .*give another file"):
        build(BuildCorpus(files=(str(tmp_path / "a.smi"),)))
    with pytest.raises(BadInput, match="cannot be read"):
        build(BuildCorpus(files=(str(tmp_path / "b.smi"),)))
