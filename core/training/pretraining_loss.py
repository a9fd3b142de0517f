"""The pre-training loss: masked tokens, computed properties and, where known, measured labels."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.engine.spec import BadInput
from core.models.backbones.molformer.model import Molformer, without_autocast
from core.models.backbones.molformer.tokenizer import MolformerTokenizer
from core.models.devices import to_device
from core.training.masking import IGNORED, hide_tokens

LABEL_KINDS = ("binary", "regression")  # of a measured label
TOKEN_MULTIPLE = 64  # the masked tokens are padded to a multiple: bfloat16 products on CPUs compile for every shape


class Batch(NamedTuple):
    """Molecules of a corpus before masking, on the device of the weights; missing values are NaN."""

    ids: Tensor  # (b, l)
    mask: Tensor  # (b, l)
    generator: torch.Generator  # of the masking; always on the CPU
    properties: Tensor | None = None  # (b, p)
    labels: Tensor | None = None  # (b, t)


class Losses(NamedTuple):
    """Scalars in float32; a part that is not computed is None. `total` is the weighted sum of the others."""

    total: Tensor
    masked: Tensor | None  # nats per masked token
    described: Tensor | None  # squared error of a known property, in the units of the targets
    measured: Tensor | None  # squared error or cross-entropy of a label that is present


class PretrainingLoss(nn.Module):
    """`masked` × loss of masked tokens + `described` × loss of properties + `measured` × loss of measured labels.

    Properties and labels are each predicted by one linear layer from the pooled embedding (b, h), as in fine-tuning;
    properties adapt a backbone better than tokens (arXiv 2503.03360). A part of weight 0 is left out with its head. The
    heads are not saved, only `model` is.

    `labels`: "binary" (a logit, cross-entropy) or "regression" (squared error) for each column; `share`: of the tokens
    that are masked; `whole`: share of the molecules of a training batch without masking, if the embedding has a head;
    `seed`: of the heads. Raises `BadInput`.
    """

    def __init__(
        self,
        model: Molformer,
        tokenizer: MolformerTokenizer,
        properties: int = 0,
        labels: Sequence[str] = (),
        masked: float = 1.0,
        described: float = 1.0,
        measured: float = 0.0,
        share: float = 0.15,
        whole: float = 0.3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if wrong := [kind for kind in labels if kind not in LABEL_KINDS]:
            raise BadInput(f"a measured label is {' or '.join(LABEL_KINDS)}, got {wrong[0]!r}")
        if masked and model.lm_head is None:
            raise BadInput(
                "this backbone has no masked-LM head, so it cannot predict tokens; use properties only, load one "
                "whose file has `lm_head` tensors, with `mlm_head=True`, or start from `untrained`"
            )
        self.model, self.tokenizer = model, tokenizer
        self.masked, self.described, self.measured = masked, described, measured
        self.share, self.whole = share, whole
        # not `seed` itself: untrained weights may use the same seed, and the head would repeat their first values
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 1]).generate_state(1)[0]))
        self.property_head = self._build_head(properties if described else 0, generator)
        self.label_head = self._build_head(len(labels) if measured else 0, generator)
        if not (masked or self.property_head or self.label_head):
            raise BadInput("nothing to learn: give `masked`, or `described` with properties, or `measured` with labels")
        ordinary = torch.ones(len(tokenizer), dtype=torch.bool)
        ordinary[[tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id]] = False
        self.register_buffer("ordinary", ordinary, persistent=False)
        self.register_buffer("words", ordinary.nonzero()[:, 0], persistent=False)
        self.register_buffer("binary", torch.tensor([kind == "binary" for kind in labels]), persistent=False)
        self.to(model.LayerNorm.weight.device)

    def _build_head(self, outputs: int, generator: torch.Generator) -> nn.Linear | None:
        """A linear layer with initial outputs within about 0.1 of 0: the norm of an embedding is at most about √h."""
        if not outputs:
            return None
        width = self.model.config.hidden_size
        head = nn.Linear(width, outputs, dtype=_as_float32(self.model.LayerNorm.weight).dtype)
        with torch.no_grad():
            head.weight.normal_(0, 0.1 * width**-0.5, generator=generator)
            head.bias.zero_()
        return head

    def hide_tokens(self, batch: Batch, whole: float | None = None) -> dict[str, Tensor]:
        """The input of `forward` from a training batch, with random masking by the generator of the batch.

        `whole`: share of molecules without masking, in place of the setting. Returns `ids` with masked tokens,
        `positions` (k,) of the masked tokens among all b·l and their true ids `wanted` (k,), −100 for padding to a
        multiple of `TOKEN_MULTIPLE`; the rest as in the batch.
        """
        tensors = {"ids": batch.ids, "mask": batch.mask, "properties": batch.properties, "labels": batch.labels}
        if self.masked:
            tensors["ids"], guesses = self.hide_in_part(batch.ids, batch.generator, whole)
            positions = (guesses.flatten() != IGNORED).nonzero()[:, 0]  # (masked tokens,)
            padding = -len(positions) % TOKEN_MULTIPLE
            tensors["wanted"] = functional.pad(guesses.flatten()[positions], (0, padding), value=IGNORED)
            tensors["positions"] = functional.pad(positions, (0, padding))
        return {name: value for name, value in tensors.items() if value is not None}

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        """The losses of a batch from `hide_tokens`, in one pass."""
        states = self.model(batch["ids"], batch["mask"])
        masked = self._token_loss(states, batch) if "positions" in batch else None
        return self._sum_losses(
            masked, *self._embedding_losses(states, batch["mask"], batch.get("properties"), batch.get("labels"))
        )

    def held_out(self, batch: Batch) -> Losses:
        """The same losses for evaluation: tokens are masked in every molecule, the rest uses unmasked molecules.

        Two passes make each loss comparable between objectives: in one pass, the other parts would decide which
        molecules count for the tokens, and how many tokens are masked for the properties.
        """
        masked = None
        if self.masked:
            hidden = self.hide_tokens(batch, whole=0.0)
            masked = self._token_loss(self.model(hidden["ids"], batch.mask), hidden)
        if not self._reads_embedding(batch.properties, batch.labels):
            return self._sum_losses(masked, None, None)
        states = self.model(batch.ids, batch.mask)
        return self._sum_losses(masked, *self._embedding_losses(states, batch.mask, batch.properties, batch.labels))

    def hide_in_part(
        self, ids: Tensor, generator: torch.Generator, whole: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Ids (b, l) with masked tokens, and their labels, except for the molecules without masking.

        Fine-tuning uses unmasked molecules only, so pre-training should include some. Their number is `whole` × b,
        randomly rounded so that the mean is right for any b. They are chosen after the tokens, so that the masking of
        the others does not depend on `whole`.
        """
        whole = self.whole if whole is None else whole
        special = ~self.ordinary[ids]
        masked_ids, guesses = hide_tokens(ids, special, self.tokenizer.mask_token_id, self.words, self.share, generator)
        if not whole or not (self.property_head or self.label_head):
            return masked_ids, guesses
        count = int(whole * len(ids) + torch.rand((), generator=generator).item())
        is_whole = torch.zeros(len(ids), dtype=torch.bool)
        is_whole[torch.randperm(len(ids), generator=generator)[:count]] = True
        is_whole = to_device(is_whole, ids.device)[:, None]  # (b, 1)
        return torch.where(is_whole, ids, masked_ids), guesses.masked_fill(is_whole, IGNORED)

    def _token_loss(self, states: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """`masking.masked_token_loss` with logits of the masked tokens only, which saves most of the head's cost.

        0 where no token is masked.
        """
        rows, targets = states.flatten(0, 1).index_select(0, batch["positions"]), batch["wanted"]
        loss = functional.cross_entropy(
            _as_float32(self.model.lm_head(rows)), targets, ignore_index=IGNORED, reduction="sum"
        )
        return loss / (targets != IGNORED).sum().clamp(min=1)

    def _reads_embedding(self, properties: Tensor | None, labels: Tensor | None) -> bool:
        wants_properties = self.property_head is not None and properties is not None
        return wants_properties or (self.label_head is not None and labels is not None)

    def _embedding_losses(
        self, hidden: Tensor, mask: Tensor, properties: Tensor | None, labels: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Losses of properties and of labels from hidden states (b, l, h); float32 also under autocast."""
        property_loss = label_loss = None
        if not self._reads_embedding(properties, labels):
            return property_loss, label_loss
        with without_autocast(hidden.device):
            pooled = _as_float32(self.model.pool(hidden, mask))  # (b, h)
            if self.property_head is not None and properties is not None:
                property_loss = _mean_known((self.property_head(pooled) - _fill_gaps(properties)) ** 2, properties)
            if self.label_head is not None and labels is not None:
                outputs, targets = self.label_head(pooled), _fill_gaps(labels)  # (b, t)
                entropy = functional.binary_cross_entropy_with_logits(outputs, targets.clamp(0, 1), reduction="none")
                label_loss = _mean_known(torch.where(self.binary, entropy, (outputs - targets) ** 2), labels)
        return property_loss, label_loss

    def _sum_losses(self, masked: Tensor | None, described: Tensor | None, measured: Tensor | None) -> Losses:
        weights = (self.masked, self.described, self.measured)
        parts = [
            weight * part
            for weight, part in zip(weights, (masked, described, measured), strict=True)
            if part is not None
        ]
        if not parts:
            raise BadInput("this batch has no loss: no token is masked; give it `properties` or `labels`")
        return Losses(torch.stack(parts).sum(), masked, described, measured)


def unfreeze(backbone: nn.Module, tokens: bool) -> None:
    """Make all weights of a backbone trainable; without `tokens`, all but the masked-LM head.

    That head would get no gradient; it is saved unchanged.
    """
    backbone.requires_grad_(True)
    if not tokens and backbone.model.lm_head is not None:
        backbone.model.lm_head.requires_grad_(False)


@torch.no_grad()
def average_held_out(objective: PretrainingLoss, batches: Iterable[Batch]) -> tuple[float, dict[str, float]]:
    """The weighted sum of the held-out losses, and each of them: mean over molecules (tokens) or known cells (rest)."""
    losses: dict[str, list[float]] = {}
    counts: dict[str, list[int]] = {}
    for batch in batches:
        cells = {
            "masked": len(batch.ids),
            "described": _count_known(batch.properties),
            "measured": _count_known(batch.labels),
        }
        for name, loss in objective.held_out(batch)._asdict().items():
            if name in cells and loss is not None:
                losses.setdefault(name, []).append(float(loss))
                counts.setdefault(name, []).append(cells[name])
    means = {name: float(np.average(losses[name], weights=counts[name])) for name in losses if sum(counts[name])}
    weights = {"masked": objective.masked, "described": objective.described, "measured": objective.measured}
    return sum(weights[name] * mean for name, mean in means.items()), means


def _count_known(targets: Tensor | None) -> int:
    """Number of known cells of a target (b, columns); 0 without target."""
    return 0 if targets is None else int((~targets.isnan()).sum())


def _as_float32(values: Tensor) -> Tensor:
    """`values` in float32, or float64 if they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _fill_gaps(targets: Tensor) -> Tensor:
    """`targets` with 0 for NaN, which would make the gradient NaN even with weight 0."""
    return torch.where(torch.isnan(targets), torch.zeros_like(targets), targets)


def _mean_known(cells: Tensor, targets: Tensor) -> Tensor:
    """Mean of `cells` (b, columns) where the target is known; 0 where no cell is."""
    is_known = ~torch.isnan(targets)
    return torch.where(is_known, cells, torch.zeros_like(cells)).sum() / is_known.sum().clamp(min=1)
