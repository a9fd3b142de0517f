"""The pre-training loss: tokens, properties and labels against numpy."""

import numpy as np
import pytest
import torch

from core.engine.spec import BadInput
from core.models.backbones import Untrained
from core.training.masking import IGNORED, masked_token_loss
from core.training.pretraining_loss import Batch, PretrainingLoss

SMILES = ["CCO", "c1ccccc1C(=O)N", "CC(C)CCl", "C#N", "OCC(N)C(=O)O", "CCCCCCCC", "c1ccncc1", "CS(=O)C"]
NAN = float("nan")


def new_generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build_objective(**settings) -> tuple[PretrainingLoss, torch.Tensor, torch.Tensor]:
    """A loss on molsway-tiny, and ids and mask of eight molecules."""
    body = Untrained("molsway-tiny")(mlm_head=True)
    batch = body.batch(SMILES)
    return PretrainingLoss(body.model, body.tokenizer, **settings).eval(), batch["input_ids"], batch["attention_mask"]


def targets(columns: int, seed: int = 0) -> torch.Tensor:
    """Random numbers (8, columns) with missing values."""
    values = torch.randn(len(SMILES), columns, generator=new_generator(seed))
    return values.masked_fill(torch.rand(values.shape, generator=new_generator(seed + 1)) < 0.3, NAN)


def test_token_loss_equals_that_of_all_logits() -> None:
    objective, ids, mask = build_objective()
    losses = objective(objective.hide_tokens(Batch(ids, mask, new_generator())))
    masked_ids, guesses = objective.hide_in_part(ids, new_generator())
    whole = masked_token_loss(objective.model.mlm_logits(masked_ids, mask), guesses)
    assert torch.allclose(losses.masked, whole, rtol=1e-6) and torch.equal(losses.total, losses.masked)
    gathered = torch.autograd.grad(losses.total, objective.model.LayerNorm.weight)[0]
    torch.testing.assert_close(gathered, torch.autograd.grad(whole, objective.model.LayerNorm.weight)[0])


def test_property_loss_matches_numpy() -> None:
    objective, ids, mask = build_objective(properties=5, masked=0.0, described=2.0)
    wanted = targets(5)
    losses = objective(objective.hide_tokens(Batch(ids, mask, new_generator(), wanted)))
    with torch.no_grad():
        pooled = objective.model.pool(objective.model(ids, mask), mask).numpy().astype(float)  # nothing is masked
    weight, bias = (value.detach().numpy().astype(float) for value in objective.property_head.parameters())
    expected = np.nanmean((pooled @ weight.T + bias - wanted.numpy()) ** 2)
    assert losses.described.item() == pytest.approx(expected, rel=1e-5) and losses.masked is None
    assert losses.total.item() == pytest.approx(2 * expected, rel=1e-5)


def test_heads_start_near_zero_and_depend_on_the_seed() -> None:
    (one, ids, mask), (two, *_), (three, *_) = (
        build_objective(properties=50),
        build_objective(properties=50),
        build_objective(properties=50, seed=1),
    )
    assert torch.equal(one.property_head.weight, two.property_head.weight)
    assert not torch.equal(one.property_head.weight, three.property_head.weight)
    assert one.property_head(one.model.pool(one.model(ids, mask), mask)).abs().max() < 0.5


def test_label_losses_match_numpy() -> None:
    objective, ids, mask = build_objective(labels=("binary", "regression", "binary"), masked=0.0, measured=1.0)
    wanted = targets(3)
    wanted[:, [0, 2]] = torch.where(wanted[:, [0, 2]].isnan(), NAN, (wanted[:, [0, 2]] > 0).float())
    losses = objective(objective.hide_tokens(Batch(ids, mask, new_generator(), labels=wanted)))
    with torch.no_grad():
        z = objective.label_head(objective.model.pool(objective.model(ids, mask), mask)).numpy().astype(float)
    y = wanted.numpy()
    chance = 1 / (1 + np.exp(-z))
    cells = -(y * np.log(chance) + (1 - y) * np.log(1 - chance))
    cells[:, 1] = (z[:, 1] - y[:, 1]) ** 2
    assert losses.measured.item() == pytest.approx(np.nanmean(cells), rel=1e-5)
    assert (
        objective(
            objective.hide_tokens(Batch(ids, mask, new_generator(), labels=torch.full_like(wanted, NAN)))
        ).total.item()
        == 0
    )


def test_missing_values_have_no_effect() -> None:
    objective, ids, mask = build_objective(properties=4, labels=("binary", "regression"), measured=1.0)
    wanted, labels = targets(4), targets(2, seed=5).clamp(0, 1)
    wanted[:, 1], labels[:, 0] = NAN, NAN
    first = objective(objective.hide_tokens(Batch(ids, mask, new_generator(), wanted, labels)))
    first.total.backward()
    gradients = {name: weight.grad.clone() for name, weight in objective.named_parameters()}
    assert all(grad.isfinite().all() for grad in gradients.values())
    assert not gradients["property_head.weight"][1].any() and not gradients["label_head.weight"][0].any()
    objective.zero_grad()
    with torch.no_grad():  # predictions of unknown cells do not matter
        objective.property_head.bias[1] += 1000
        objective.label_head.bias[0] -= 1000
    second = objective(objective.hide_tokens(Batch(ids, mask, new_generator(), wanted, labels)))
    second.total.backward()
    assert torch.equal(first.total, second.total)
    assert all(torch.equal(weight.grad, gradients[name]) for name, weight in objective.named_parameters())


def test_backbone_and_heads_get_gradients() -> None:
    objective, ids, mask = build_objective(properties=3, labels=("regression",), measured=0.5)
    objective.train()
    losses = objective(objective.hide_tokens(Batch(ids, mask, new_generator(), targets(3), targets(1))))
    losses.total.backward()
    untouched = [n for n, weight in objective.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not untouched
    expected = losses.masked + losses.described + 0.5 * losses.measured
    assert torch.allclose(losses.total, expected)


def test_a_share_of_the_molecules_is_not_masked() -> None:
    objective, ids, _ = build_objective(properties=2, share=0.5, whole=0.3)
    molecules = ids[[0, 1, 2, 4, 5, 6, 7]].repeat(30, 1)
    masked_ids, guesses = objective.hide_in_part(molecules, new_generator())
    is_whole = (guesses == IGNORED).all(1)
    assert is_whole.sum() in (62, 63, 64) and torch.equal(
        masked_ids[is_whole], molecules[is_whole]
    )  # 0.3 × 210, rounded at random
    every, all_guesses = objective.hide_in_part(molecules, new_generator(), whole=0.0)
    assert torch.equal(every[~is_whole], masked_ids[~is_whole]) and torch.equal(
        all_guesses[~is_whole], guesses[~is_whole]
    )
    assert (all_guesses != IGNORED).any(1).all()
    counts = [(objective.hide_in_part(ids[:1], new_generator(n))[1] == IGNORED).all().item() for n in range(400)]
    assert 0.2 < np.mean(counts) < 0.4  # the mean is right for batches of one


def test_all_molecules_are_masked_without_a_head() -> None:
    objective, ids, _ = build_objective(whole=0.9)
    assert (objective.hide_in_part(ids, new_generator())[1] != IGNORED).any(1).all()


def test_a_batch_without_masking_has_no_token_loss() -> None:
    objective, ids, mask = build_objective(properties=2, whole=1.0)
    losses = objective(objective.hide_tokens(Batch(ids, mask, new_generator(), targets(2))))
    assert losses.masked.item() == 0 and losses.total == losses.described
    losses.total.backward()


def test_held_out_losses_do_not_depend_on_other_objectives() -> None:
    (both, ids, mask), (tokens, *_), (properties, *_) = (
        build_objective(properties=4),
        build_objective(),
        build_objective(properties=4, masked=0.0),
    )
    wanted = targets(4)
    losses = both.held_out(Batch(ids, mask, new_generator(), wanted))
    assert torch.equal(losses.masked, tokens.held_out(Batch(ids, mask, new_generator())).masked)
    assert torch.equal(losses.described, properties.held_out(Batch(ids, mask, new_generator(), wanted)).described)
    assert torch.equal(losses.total, losses.masked + losses.described)


def test_losses_are_float32_under_autocast() -> None:
    objective, ids, mask = build_objective(properties=3, labels=("binary", "regression"), measured=1.0)
    wanted, labels = targets(3), targets(2).clamp(0, 1)
    exact = objective(objective.hide_tokens(Batch(ids, mask, new_generator(), wanted, labels)))
    with torch.autocast("cpu", torch.bfloat16):
        rough = objective(objective.hide_tokens(Batch(ids, mask, new_generator(), wanted, labels)))
    rough.total.backward()
    for one, other in zip(rough, exact, strict=True):
        assert one.dtype == torch.float32 and torch.allclose(one, other, rtol=0.03)


def test_an_empty_objective_is_refused() -> None:
    with pytest.raises(BadInput, match="nothing to learn: give `masked`"):
        build_objective(masked=0.0, properties=3, described=0.0)
    with pytest.raises(BadInput, match="binary or regression, got 'ordinal'"):
        build_objective(labels=("ordinal",))
    objective, ids, mask = build_objective(masked=0.0, properties=3)
    with pytest.raises(BadInput, match="give it `properties`"):
        objective(objective.hide_tokens(Batch(ids, mask, new_generator())))
    body = Untrained("molsway-tiny")(mlm_head=False)
    with pytest.raises(BadInput, match="no masked-LM head"):
        PretrainingLoss(body.model, body.tokenizer)
    PretrainingLoss(body.model, body.tokenizer, properties=3, masked=0.0)
