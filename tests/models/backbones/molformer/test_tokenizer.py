"""The tokenizer: tokens as published, vocabularies, and reports of lost tokens."""

import copy
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.engine.spec import BadInput
from core.models.backbones.molformer.tokenizer import MolformerTokenizer
from core.models.backbones.molformer.vocabulary import FIXED_VOCABULARY, SINGLE_TOKENS, TOKEN_REGEX, build_vocabulary


@pytest.fixture(scope="module")
def cases(golden: Path) -> dict:
    return json.loads((golden / "tokenizer_cases.json").read_text())


@pytest.mark.parametrize("origin", ["file", "vocabulary"])
def test_tokens_match_the_published_tokenizer(origin: str, cases: dict, golden: Path, tmp_path: Path) -> None:
    built = (
        MolformerTokenizer.read(golden / "tokenizer.json")
        if origin == "file"
        else MolformerTokenizer.from_vocabulary(cases["vocab"])
    )
    built.save(tmp_path)
    for tokenizer in (built, MolformerTokenizer.read(tmp_path / "tokenizer.json"), copy.deepcopy(built)):
        assert len(tokenizer) == 40 and tokenizer.unk_token_id == 39
        for case in cases["cases"]:
            encoding = tokenizer(case["smiles"])
            assert set(encoding) == {"input_ids", "attention_mask"} and encoding["input_ids"] == case["ids"], case[
                "smiles"
            ]
            assert tokenizer.convert_ids_to_tokens(encoding["input_ids"]) == case["tokens"]
        assert tokenizer.ids([case["smiles"] for case in cases["cases"]]) == [case["ids"] for case in cases["cases"]]
    smiles = "O=[N+]([O-])c1ccc(Cl)cc1Br"
    assert built.decode(built(smiles)["input_ids"], skip_special_tokens=True) == smiles


def test_padding_matches_transformers_and_keeps_no_state(cases: dict) -> None:
    tokenizer = MolformerTokenizer.from_vocabulary(cases["vocab"])
    smiles = ["CCO", "C", "", "c1ccccc1"]
    theirs = tokenizer(smiles, padding=True)
    assert tokenizer.ids(["C"]) == [[0, 4, 1]], "a call with padding changed the tokenizer"
    ours = tokenizer.pad_batch(smiles)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].dtype == np.int64 and ours[name].tolist() == theirs[name]
    tokenizer(smiles, padding="max_length", max_length=3, truncation=True)
    assert len(tokenizer.ids(["C" * 500])[0]) == 502
    assert tokenizer.pad_batch([])["input_ids"].shape == (0, 2)


@pytest.mark.parametrize(
    ("smiles", "dropped", "unknown"),
    [
        ("CCO", "", ()),
        ("CuC", "u", ()),
        ("RC", "R", ()),
        ("C%1C", "%", ()),
        ("{A}", "{A}", ()),
        ("C C", " ", ()),
        ("[Zz]C[Zz]", "", ("[Zz]", "[Zz]")),
        ("C>C", "", (">",)),
        ("C<pad>C", "<ad", ("p", ">")),
    ],
)
def test_dropped_and_unknown_tokens_are_listed(cases: dict, smiles: str, dropped: str, unknown: tuple) -> None:
    reading = MolformerTokenizer.from_vocabulary(cases["vocab"]).check_tokens(smiles)
    assert (reading.dropped, reading.unknown) == (dropped, unknown)
    assert len(reading.sentences(202)) == bool(dropped) + bool(unknown)


def test_length_includes_bos_and_eos(cases: dict) -> None:
    tokenizer = MolformerTokenizer.from_vocabulary(cases["vocab"])
    assert not tokenizer.check_tokens("C" * 200).sentences(202)
    (fault,) = tokenizer.check_tokens("C" * 201).sentences(202)
    assert "203 tokens" in fault and "not truncated" in fault


def test_smiles_that_are_not_text_are_refused(cases: dict) -> None:
    with pytest.raises(BadInput, match="got None"):
        MolformerTokenizer.from_vocabulary(cases["vocab"]).ids(["C", None])


def test_a_vocabulary_is_built_from_a_corpus() -> None:
    corpus = ["CCCO", "CC[C@H](N)O", "[nH]1cccc1", "[Zz]", "C%10C%10"]
    vocabulary = build_vocabulary(corpus)
    assert vocabulary[:6] == ("<bos>", "<eos>", "<pad>", "<mask>", "C", "c") and vocabulary[-1] == "<unk>"
    assert set(vocabulary) == {*SINGLE_TOKENS, "[C@H]", "[nH]", "[Zz]", "%10", *vocabulary[:4], "<unk>"}
    assert vocabulary == build_vocabulary(reversed(corpus)), "the order of the corpus does not matter"
    assert set(vocabulary) - set(build_vocabulary(corpus, least=2)) == {"[C@H]", "[nH]", "[Zz]"}
    assert len(build_vocabulary(corpus, most=48)) == 48 and "%10" in build_vocabulary(corpus, most=48)
    tokenizer = MolformerTokenizer.from_vocabulary(vocabulary)
    assert [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.mask_token_id] == [
        0,
        1,
        2,
        3,
    ]
    assert tokenizer.unk_token_id == len(vocabulary) - 1 == len(tokenizer) - 1
    with pytest.raises(BadInput, match="no SMILES token"):
        build_vocabulary([""])
    with pytest.raises(BadInput, match="raise it"):
        build_vocabulary(corpus, most=10)


def test_a_vocabulary_is_built_from_counts() -> None:
    corpus = ["CCCO", "CC[C@H](N)O", "[nH]1cccc1", "C[C@H](N)O", "C%10C%10"]
    counted = Counter(token for smiles in corpus for token in TOKEN_REGEX.findall(smiles))
    assert build_vocabulary([], counted=counted) == build_vocabulary(corpus)
    assert build_vocabulary(corpus[:2], counted=Counter(TOKEN_REGEX.findall("".join(corpus[2:])))) == build_vocabulary(
        corpus
    )
    assert build_vocabulary([], least=2, counted=counted) == build_vocabulary(corpus, least=2)
    assert "[C@H]" in build_vocabulary(corpus[:2], least=2, counted={"[C@H]": 1}), "both counts together"
    assert counted == Counter(token for smiles in corpus for token in TOKEN_REGEX.findall(smiles)), (
        "it is left as it was"
    )
    with pytest.raises(BadInput, match="no SMILES token"):
        build_vocabulary([], counted={})


def test_the_fixed_vocabulary_covers_chemistry() -> None:
    assert len(FIXED_VOCABULARY) == len(set(FIXED_VOCABULARY)) <= 310
    assert all(TOKEN_REGEX.fullmatch(token) for token in FIXED_VOCABULARY[4:-1])
    single = {chr(code) for code in range(32, 127) if TOKEN_REGEX.fullmatch(chr(code))} | {"Br", "Cl"}
    assert single == set(SINGLE_TOKENS)
    drugs = [
        "C[C@H]1CC[C@@]2(O)C[N+](C)(C)C2C1",
        "[Na+].[O-]c1cc[nH]c1",
        "C[S@@+]([O-])c1c[n+]([O-])ccc1",
        "CCC[Si](C)(C)C.[Cl-]",
        "[NH3+][C@@H](C)C(=O)[O-]",
        "OB(O)c1ccc%11cc%11[se]1",
    ]
    tokenizer = MolformerTokenizer.from_vocabulary(FIXED_VOCABULARY)
    assert [tokenizer.check_tokens(smiles).sentences(202) for smiles in drugs] == [[]] * len(drugs)


def test_cached_ids_are_the_same(cases: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.models.backbones.molformer.tokenizer.CACHED_MOLECULES", 3)
    smiles = ["CCO", "C", "CCO", "c1ccccc1"]
    tokenizer, fresh = (MolformerTokenizer.from_vocabulary(cases["vocab"]) for _ in range(2))
    wanted = fresh.ids(smiles)
    assert tokenizer.ids(smiles) == wanted
    assert tokenizer.ids([*smiles[::-1], "CN"]) == [*wanted[::-1], fresh.ids(["CN"])[0]], "the fourth clears the cache"
    molecules = ["C" * n for n in range(1, 9)]  # more than the cache takes
    assert (
        [len(row) for row in tokenizer.ids(molecules)]
        == [n + 2 for n in range(1, 9)]
        == [len(row) for row in tokenizer.ids(molecules)]
    )
    assert tokenizer.ids([]) == [] and copy.deepcopy(tokenizer).ids(smiles) == wanted


def test_padding_to_a_multiple_is_masked(cases: dict) -> None:
    tokenizer = MolformerTokenizer.from_vocabulary(cases["vocab"])
    plain, wider = tokenizer.pad_batch(["CCO", "C"]), tokenizer.pad_batch(["CCO", "C"], 8)
    assert wider["input_ids"].shape == (2, 8) and tokenizer.pad_batch(["C" * 6], 8)["input_ids"].shape == (1, 8)
    assert (wider["input_ids"][:, :5] == plain["input_ids"]).all() and not wider["attention_mask"][:, 5:].any()
    assert (wider["input_ids"][:, 5:] == tokenizer.pad_token_id).all()
