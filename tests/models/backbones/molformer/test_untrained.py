"""MoLFormer of any size with random weights."""

import pytest
import torch

from core.engine.spec import BadInput
from core.models.backbones import SIZES, Untrained
from core.models.backbones.molformer.untrained import UntrainedMolformer
from core.models.backbones.molformer.vocabulary import FIXED_VOCABULARY, build_vocabulary


def test_it_has_the_given_size_and_a_token_head() -> None:
    words = build_vocabulary(["CCO", "C[C@H](N)O"])
    body = UntrainedMolformer("nano", width=32, depth=2, heads=2, inner=64, features=8)(words)
    assert (body.name, body.width, body.depth, body.training) == ("nano", 32, 2, False)
    assert len(body.tokenizer) == body.model.config.vocab_size == len(words)
    assert (body.model.config.num_random_features, body.model.config.intermediate_size) == (8, 64)
    with torch.no_grad():
        assert body.model.mlm_logits(**body.batch(["CCO"])).shape == (1, 5, len(words))


def test_defaults_are_the_mini_and_the_seed_determines_the_weights() -> None:
    with torch.device("meta"):
        assert (
            UntrainedMolformer()(FIXED_VOCABULARY).name == UntrainedMolformer().called == "molformer-4x320"
            and UntrainedMolformer("mine")(FIXED_VOCABULARY).name == "mine"
        )
        assert UntrainedMolformer()(FIXED_VOCABULARY).model.config == SIZES["molsway-mini"]
        assert UntrainedMolformer()(FIXED_VOCABULARY).counts() == Untrained("molsway-mini")(mlm_head=True).counts()
    small = [
        UntrainedMolformer(width=8, depth=1, heads=1, inner=8, features=2, seed=seed)(FIXED_VOCABULARY).state_dict()
        for seed in (1, 1, 2)
    ]
    same, other = ([torch.equal(small[0][name], one[name]) for name in one] for one in small[1:])
    assert all(same) and not all(other)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"heads": 3}, "a width of 320 does not divide into 3 heads of an even width"),
        ({"width": 12, "heads": 4}, "change `width` or `heads`"),
        ({"depth": 0}, "depth"),
        ({"name": "m" * 61}, "name"),
    ],
)
def test_an_invalid_size_is_refused(fields: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        UntrainedMolformer(**fields)
