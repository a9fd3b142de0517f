"""Masked-language modelling: masking of tokens, and the loss."""

import torch
from torch import Tensor
from torch.nn import functional

from core.models.devices import to_device

IGNORED = -100  # label of a token that is not masked


def hide_tokens(
    input_ids: Tensor,
    special: Tensor,
    mask_id: int,
    words: Tensor,
    share: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Mask `share` of the ordinary tokens (Devlin et al. 2019, arXiv 1810.04805): 80 % become `<mask>`, 10 % a random
    token, 10 % stay.

    `input_ids` (b, l); `special` (b, l), true where a token is never masked (bos, eos, padding); `words` (w,): ids of
    the random tokens. Padding must not be among them: its embedding is zero, and the gradient through the norm of a
    zero vector grows a millionfold, twice in each layer.

    Returns the corrupted ids and the labels, −100 where not masked. Every molecule has a masked token: where none is
    chosen, the one with the lowest random number is.
    """
    chance = to_device(torch.rand(input_ids.shape, generator=generator), input_ids.device)
    chance = chance.masked_fill(special, 2.0)
    hidden = chance < share
    first = chance.argmin(1, keepdim=True)
    needs_one = ~hidden.any(1, keepdim=True) & (chance.gather(1, first) < 2.0)
    hidden = hidden | torch.zeros_like(hidden).scatter(1, first, needs_one)
    labels = input_ids.masked_fill(~hidden, IGNORED)
    replacement = to_device(torch.rand(input_ids.shape, generator=generator), input_ids.device)
    random_ids = words[to_device(torch.randint(len(words), input_ids.shape, generator=generator), input_ids.device)]
    corrupted = torch.where(hidden & (replacement < 0.8), torch.full_like(input_ids, mask_id), input_ids)
    return torch.where(hidden & (replacement >= 0.9), random_ids, corrupted), labels


def masked_token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy (nats) over the masked tokens; logits (b, l, v), labels (b, l)."""
    return functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
