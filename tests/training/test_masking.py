"""Masking of tokens."""

import torch

from core.training.masking import IGNORED, hide_tokens, masked_token_loss

WORDS = torch.arange(4, 40)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(4, 40, (200, 30), generator=torch.Generator().manual_seed(1))
    ids[:, 0], ids[:, 20], ids[:, 21:] = 0, 1, 2
    return ids, ids < 3


def test_masking_shares_and_special_tokens() -> None:
    ids, special = batch()
    corrupted, labels = hide_tokens(ids, special, 3, WORDS, 0.15, torch.Generator().manual_seed(0))
    hidden = labels != IGNORED
    assert not (hidden & special).any() and torch.equal(corrupted[~hidden], ids[~hidden])
    assert torch.equal(labels[hidden], ids[hidden])
    share = hidden.sum() / (~special).sum()
    assert 0.13 < share < 0.18
    masked = (corrupted[hidden] == 3).float().mean()
    share_kept = (corrupted[hidden] == ids[hidden]).float().mean()
    assert not torch.isin(corrupted[hidden], torch.tensor([0, 1, 2])).any(), "an end or padding never stands in"
    assert 0.74 < masked < 0.86 and 0.06 < share_kept < 0.17


def test_every_molecule_has_a_masked_token() -> None:
    ids, special = batch()
    _, labels = hide_tokens(ids, special, 3, WORDS, 0.001, torch.Generator().manual_seed(0))
    assert ((labels != IGNORED).sum(1) >= 1).all()


def test_masking_depends_on_the_generator() -> None:
    ids, special = batch()
    one, two = (hide_tokens(ids, special, 3, WORDS, 0.15, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])


def test_the_loss_counts_masked_tokens_only() -> None:
    logits, labels = torch.zeros(1, 4, 5), torch.tensor([[IGNORED, 2, IGNORED, IGNORED]])
    assert torch.isclose(masked_token_loss(logits, labels), torch.log(torch.tensor(5.0)))
