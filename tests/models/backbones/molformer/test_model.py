"""MoLFormer: outputs against the published code, derivatives, precision and invalid input."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.func import functional_call, grad, jvp, vjp
from torch.nn import functional

from core.engine.spec import BadInput
from core.models.backbones.molformer.config import MolformerConfig
from core.models.backbones.molformer.model import Molformer, build_untrained

SMALL = MolformerConfig(
    vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, num_random_features=6
)  # fmt: skip
DTYPES = pytest.mark.parametrize(("tag", "dtype", "near"), [("f32", torch.float32, 2e-5), ("f64", torch.float64, 1e-6)])


def max_difference(one: torch.Tensor, two: torch.Tensor) -> float:
    assert one.shape == two.shape and one.dtype == two.dtype
    return float((one - two).abs().max())


@DTYPES
@torch.no_grad()
def test_outputs_match_the_published_code(
    small_model, inputs, outputs, golden: Path, tag: str, dtype: torch.dtype, near: float
) -> None:
    model = small_model[0].to(dtype)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    hidden = model(ids, mask)
    pooled = model.pool(hidden, mask)
    corrupted = model.mlm_logits(inputs["mlm_input_ids"], mask)
    weights = {name: value.to(dtype) for name, value in load_file(golden / "head.safetensors").items()}
    head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 1)).to(dtype).eval()
    head.load_state_dict(weights)
    results = {
        "last_hidden_state": hidden,
        "pooled": pooled,
        "pooled_nomask": model.pool(model(ids, torch.ones_like(mask)), torch.ones_like(mask)),
        "mlm_logits": model.mlm_logits(ids, mask),
        "mlm_logits_corrupted": corrupted,
        "mlm_loss": functional.cross_entropy(corrupted.flatten(0, 1), inputs["mlm_labels"].flatten()).reshape(1),
        "head_pred": head(pooled)[:, 0],
        **{f"hidden_{k}": x for k, x in enumerate(model.hidden_states(ids, mask))},
    }
    assert len(results) == 11
    for name, value in results.items():
        assert max_difference(value, outputs[f"{name}.{tag}"]) < near, name
    assert max_difference(results["pooled"], results["pooled_nomask"]) > 0.1  # the mask matters


def make_weights(name: str, shape: torch.Size) -> torch.Tensor:
    """Weights from arithmetic alone, so that a large model needs no file (README of the golden numbers)."""
    if "LayerNorm.weight" in name:
        a, b = 0.4, 1.0
    elif name.endswith("bias"):
        a, b = 0.2, 0.0
    else:
        a, b = next((a for part, a in (("word_embeddings", 2.0), ("feature_map", 12**0.5)) if part in name), 0.125), 0.0
    z = np.arange(shape.numel(), dtype=np.uint64)
    z += np.uint64(zlib.crc32(name.encode()))
    z *= np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    z >>= np.uint64(40)
    return torch.from_numpy((b + a * (z / 2.0**24 - 0.5)).astype(np.float32)).reshape(shape)


@torch.no_grad()
def test_the_published_size_matches(golden: Path) -> None:
    with torch.device("meta"):
        model = Molformer(MolformerConfig()).eval()
    named = {name if name.startswith("lm_head") else f"molformer.{name}": name for name in model.state_dict()}
    assert len(named) == 212
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    model.load_state_dict({name: make_weights(full, shapes[name]) for full, name in named.items()}, assign=True)
    for full, (total, first, last) in json.loads((golden / "xl_meta.json").read_text())["checksums"].items():
        value = model.state_dict()[named[full]].double().flatten()
        assert [value.sum(), value[0], value[-1]] == pytest.approx([total, first, last], rel=1e-9), full
    wanted = load_file(golden / "xl_outputs.safetensors")
    ids, mask = wanted["input_ids"], wanted["attention_mask"]
    hidden = model(ids, mask)
    assert max_difference(hidden[:, :8], wanted["last_hidden_first8.f32"]) < 2e-5
    assert max_difference(model.pool(hidden, mask), wanted["pooled.f32"]) < 2e-5
    assert max_difference(model.lm_head(hidden[:, :4]), wanted["mlm_logits_first4.f32"]) < 2e-5


def test_parameter_counts_match_the_published_ones() -> None:
    with torch.device("meta"):
        model = build_untrained(MolformerConfig(), 0, mlm_head=False)
        head = nn.Sequential(nn.Linear(768, 384), nn.ReLU(), nn.Dropout(0.1), nn.Linear(384, 1))
    body = sum(weight.numel() for weight in model.parameters())
    assert body == 44_375_040 and body + sum(weight.numel() for weight in head.parameters()) == 44_670_721
    assert sum(value.numel() for value in model.buffers()) == 24_576 and len(model.state_dict()) == 207
    assert sum(weight.numel() for name, weight in model.named_parameters() if name.endswith("bias")) == 74_496


def example(padding: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(4, 40, (3, 9), generator=torch.Generator().manual_seed(5))
    mask = (torch.arange(9) < torch.tensor([[9], [5], [7]])).long()
    ids = ids.masked_fill(mask == 0, 2)
    return functional.pad(ids, (0, padding), value=2), functional.pad(mask, (0, padding))


@torch.no_grad()
def test_padding_has_no_effect() -> None:
    model = build_untrained(SMALL, 1)
    ids, mask = example()
    pooled = model.pool(model(ids, mask), mask)
    more, longer = example(padding=20)
    assert max_difference(model.pool(model(more, longer), longer), pooled) < 1e-6
    single = torch.cat(
        [
            model.pool(model(i[None, : m.sum()], m[None, : m.sum()]), m[None, : m.sum()])
            for i, m in zip(ids, mask, strict=True)
        ]
    )
    assert max_difference(single, pooled) < 1e-6
    other = ids.masked_fill(mask == 0, 17)
    assert torch.equal(model.pool(model(other, mask), mask), pooled)


@torch.no_grad()
def test_length_is_unlimited() -> None:
    model = build_untrained(SMALL, 1)
    ids = torch.full((1, 700), 5)
    assert SMALL.max_position_embeddings < 700 and model(ids, torch.ones_like(ids)).isfinite().all()


@torch.no_grad()
def test_random_features_are_redrawn_only_on_request_in_training() -> None:
    model, (ids, mask) = build_untrained(SMALL, 1), example()
    before = {name: value.clone() for name, value in model.named_buffers()}
    assert len(before) == 2 and torch.equal(model(ids, mask), model(ids, mask))
    model.train()(ids, mask)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    model.redraws_features = True
    model.eval()(ids, mask)
    assert all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    model.train()(ids, mask)
    assert not any(torch.equal(value, before[name]) for name, value in model.named_buffers())


def test_backward_works_after_a_redraw() -> None:
    model, (ids, mask) = build_untrained(SMALL, 1).train(), example()
    model.redraws_features = True
    first, _ = model(ids, mask).square().sum(), model(ids, mask)
    first.backward()
    assert all(value.is_contiguous() for value in model.buffers())


def test_initial_weights() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    model, again, other = build_untrained(SMALL, 1), build_untrained(SMALL, 1), build_untrained(SMALL, 2)
    assert torch.equal(torch.get_rng_state(), state), "a generator of one's own, not the global one"
    for (name, one), two in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
        if name.endswith("bias"):
            assert not one.any()
        elif "LayerNorm" in name:
            assert (one == 1).all()
        elif "feature_map" in name:
            product = one.T @ one
            assert max_difference(product, product.diag().diag()) < 1e-5 and product.diag().min() > 1, (
                "orthogonal, long as Gaussian rows"
            )
        else:
            assert 0.01 < one.std() < 0.03, name
    words = model.embeddings.word_embeddings.weight
    assert not words[2].any() and not torch.equal(words, other.embeddings.word_embeddings.weight)
    wide = build_untrained(
        MolformerConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8), 0
    )
    assert wide.feature_maps()[0].weight.shape == (4, 32), "eight blocks of four"


def test_forward_and_reverse_derivatives_agree() -> None:
    """⟨u, J v⟩ = ⟨Jᵀ u, v⟩ = the difference quotient; and H v forward over reverse = reverse over reverse."""
    model, (ids, mask) = build_untrained(SMALL, 1, mlm_head=False).double(), example()
    generator = torch.Generator().manual_seed(2)
    weights = {
        name: value.detach() + 0.1 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in model.named_parameters()
    }
    along = {
        name: torch.randn(value.shape, generator=generator, dtype=torch.float64) for name, value in weights.items()
    }

    def pooled(w: dict[str, torch.Tensor]) -> torch.Tensor:
        return model.pool(functional_call(model, w, (ids, mask)), mask)

    def inner(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> float:
        return float(sum((one[name] * two[name]).sum() for name in one))

    out, forward = jvp(pooled, (weights,), (along,))
    u = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    (back,) = vjp(pooled, weights)[1](u)
    step = 1e-6
    plus, minus = (pooled({name: w + sign * step * along[name] for name, w in weights.items()}) for sign in (1, -1))
    assert float((u * forward).sum()) == pytest.approx(inner(back, along), rel=1e-9)
    assert float((u * (plus - minus)).sum() / (2 * step)) == pytest.approx(inner(back, along), rel=1e-6)

    def loss(w: dict[str, torch.Tensor]) -> torch.Tensor:
        return pooled(w).square().sum()

    _, product = jvp(grad(loss), (weights,), (along,))
    twice = grad(lambda w: inner_tensor(grad(loss)(w), along))(weights)
    assert inner(product, product) > 0 and all(
        torch.allclose(product[name], twice[name], rtol=1e-7, atol=1e-9) for name in product
    )


def inner_tensor(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum((one[name] * two[name]).sum() for name in one)


def test_the_padding_row_gets_no_gradient() -> None:
    model, (ids, mask) = build_untrained(SMALL, 1), example()
    model.pool(model(ids, mask), mask).square().sum().backward()
    gradient = model.embeddings.word_embeddings.weight.grad
    assert not gradient[2].any() and gradient[ids[0]].any()
    body = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert all(name.startswith("lm_head.") for name in body)


@torch.no_grad()
def test_bfloat16_is_close(small_model, inputs, outputs) -> None:
    model, ids, mask = small_model[0], inputs["input_ids"], inputs["attention_mask"]
    with torch.autocast("cpu", torch.bfloat16):
        pooled = model.pool(model(ids, mask), mask)
    assert pooled.dtype == torch.float32 and 0 < max_difference(pooled, outputs["pooled.f32"]) < 0.05


@torch.no_grad()
def test_bfloat16_sums_over_a_thousand_keys() -> None:
    """A bfloat16 sum stops growing once a key is less than 1/256 of it."""
    model, ids = build_untrained(SMALL, 1), torch.randint(5, 20, (2, 1000), generator=torch.Generator().manual_seed(0))
    exact = model.pool(model(ids, torch.ones_like(ids)), torch.ones_like(ids))
    with torch.autocast("cpu", torch.bfloat16):
        near = model.pool(model(ids, torch.ones_like(ids)), torch.ones_like(ids))
    assert max_difference(near, exact) < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
@torch.no_grad()
def test_cuda_matches_the_cpu(small_model, inputs, outputs) -> None:
    model, ids, mask = small_model[0].cuda(), inputs["input_ids"].cuda(), inputs["attention_mask"].cuda()
    assert max_difference(model.pool(model(ids, mask), mask).cpu(), outputs["pooled.f32"]) < 1e-4
    with torch.autocast("cuda", torch.bfloat16):
        assert max_difference(model.pool(model(ids, mask), mask).cpu(), outputs["pooled.f32"]) < 0.05


@pytest.mark.parametrize(
    ("mask", "words"),
    [(None, "needs an `attention_mask`"), (torch.ones(3, 8, dtype=torch.long), r"\(3, 9\) and \(3, 8\)"), (torch.ones(3, 1, 9).long(), "the same shape"), (torch.zeros(3, 9), "needs integers")],
)  # fmt: skip
def test_an_invalid_mask_is_refused(mask: torch.Tensor | None, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        build_untrained(SMALL, 1)(example()[0], mask)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"feature_map_kernel": "exp"}, "`feature_map_kernel` 'exp' is not supported, only 'relu'"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
        ({"model_type": "bert"}, "model_type"),
        ({"num_attention_heads": 7}, "does not divide into 7 heads"),
        ({"hidden_size": "768"}, "whole number"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob"),
        ({"pad_token_id": 4000}, "outside the vocabulary"),
    ],
)
def test_an_unsupported_config_is_refused(change: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        MolformerConfig.from_json(change)


def test_a_config_round_trips_through_json() -> None:
    values = json.loads(json.dumps(SMALL.to_json() | {"auto_map": {"AutoModel": "x"}, "deterministic_eval": False}))
    assert MolformerConfig.from_json(values) == SMALL and SMALL.to_json()["deterministic_eval"] is True
