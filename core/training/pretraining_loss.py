"""What a backbone learns from before any fit: hidden tokens, computed properties and, where known, measured labels."""

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
TOKEN_MULTIPLE = (
    64  # hidden tokens are filled up to a multiple: a CPU's products in bfloat16 are compiled anew for every shape
)


class Batch(NamedTuple):
    """Molecules as a corpus has them, nothing hidden yet, on the device of the weights; gaps are NaN."""

    ids: Tensor  # (b, l)
    mask: Tensor  # (b, l)
    generator: torch.Generator  # of what is hidden; a CPU one whatever the device
    properties: Tensor | None = None  # (b, p)
    labels: Tensor | None = None  # (b, t)


class Losses(NamedTuple):
    """Scalars in float32; a part that was not asked for is None. `total` is their weighted sum."""

    total: Tensor
    masked: Tensor | None  # nats a hidden token
    described: Tensor | None  # squared error of a known property, in the units of the targets
    measured: Tensor | None  # squared error or cross-entropy of a label that is present


class PretrainingLoss(nn.Module):
    """`masked` × loss of guessing hidden tokens + `described` × of properties + `measured` × of measured labels.

    Properties and labels are each read by one linear layer from the pooled embedding (b, h), the one a fit reads; that
    properties adapt a backbone better than tokens: arXiv 2503.03360. A part of weight 0 is left out, and its head is
    not made. The heads belong to the objective; the backbone that is kept is `model` alone.

    `labels`: "binary" (a logit, cross-entropy) or "regression" (squared error) for each column. `share` of the tokens
    is hidden; `whole`: share of the molecules of a training batch that go in with nothing hidden, where anything is
    read from their embedding. `seed` is of the heads.
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
                "this backbone has no masked-LM head, so it cannot guess tokens; learn properties alone, load one "
                "whose file has `lm_head` tensors, with `mlm_head=True`, or begin from `untrained`"
            )
        self.model, self.tokenizer = model, tokenizer
        self.masked, self.described, self.measured = masked, described, measured
        self.share, self.whole = share, whole
        # not `seed` itself: untrained weights are drawn from theirs, and the first of them would be the head's again
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
        """A linear layer whose outputs begin within about 0.1 of 0: an embedding's length is at most about √h."""
        if not outputs:
            return None
        width = self.model.config.hidden_size
        head = nn.Linear(width, outputs, dtype=_as_float32(self.model.LayerNorm.weight).dtype)
        with torch.no_grad():
            head.weight.normal_(0, 0.1 * width**-0.5, generator=generator)
            head.bias.zero_()
        return head

    def hide_tokens(self, batch: Batch, whole: float | None = None) -> dict[str, Tensor]:
        """What `forward` reads of a training batch: the part that is drawn by chance.

        The generator of the batch hides tokens and chooses the molecules that stay whole, `whole` of them if given. The
        answer has `ids` with tokens hidden, `places` (k,) of tokens to guess among all b·l and what is `wanted` there
        (k,), −100 for those that fill them up to a multiple of `TOKEN_MULTIPLE`; the rest as given.
        """
        tensors = {"ids": batch.ids, "mask": batch.mask, "properties": batch.properties, "labels": batch.labels}
        if self.masked:
            tensors["ids"], guesses = self.hide_in_some(batch.ids, batch.generator, whole)
            places = (guesses.flatten() != IGNORED).nonzero()[:, 0]  # (hidden tokens,)
            more = -len(places) % TOKEN_MULTIPLE
            tensors["wanted"] = functional.pad(guesses.flatten()[places], (0, more), value=IGNORED)
            tensors["places"] = functional.pad(places, (0, more))
        return {name: value for name, value in tensors.items() if value is not None}

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        """The losses of what `hide_tokens` made of a batch, all from one pass."""
        states = self.model(batch["ids"], batch["mask"])
        masked = self._token_loss(states, batch) if "places" in batch else None
        return self._sum_losses(
            masked, *self._embedding_losses(states, batch["mask"], batch.get("properties"), batch.get("labels"))
        )

    def held_out(self, batch: Batch) -> Losses:
        """The same losses for judging: tokens are hidden in every molecule, the rest is read from whole molecules.

        Two passes, so that each number can be compared between objectives: with one, what else is learned would decide
        which molecules count for the tokens, and how many tokens the properties are read without.
        """
        masked = None
        if self.masked:
            hidden = self.hide_tokens(batch, whole=0.0)
            masked = self._token_loss(self.model(hidden["ids"], batch.mask), hidden)
        if not self._reads_embedding(batch.properties, batch.labels):
            return self._sum_losses(masked, None, None)
        states = self.model(batch.ids, batch.mask)
        return self._sum_losses(masked, *self._embedding_losses(states, batch.mask, batch.properties, batch.labels))

    def hide_in_some(
        self, ids: Tensor, generator: torch.Generator, whole: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Ids (b, l) with tokens hidden, and the labels to guess, but for the molecules that stay whole.

        A fine-tuning sees whole molecules only; a backbone that never did would read embeddings of another kind there.
        Their number is `whole` × b, rounded up or down by chance so that it is right on average for any b. They are
        drawn after the tokens: what is hidden in the others does not depend on `whole`.
        """
        whole = self.whole if whole is None else whole
        special = ~self.ordinary[ids]
        seen, guesses = hide_tokens(ids, special, self.tokenizer.mask_token_id, self.words, self.share, generator)
        if not whole or not (self.property_head or self.label_head):
            return seen, guesses
        count = int(whole * len(ids) + torch.rand((), generator=generator).item())
        spared = torch.zeros(len(ids), dtype=torch.bool)
        spared[torch.randperm(len(ids), generator=generator)[:count]] = True
        spared = to_device(spared, ids.device)[:, None]  # (b, 1)
        return torch.where(spared, ids, seen), guesses.masked_fill(spared, IGNORED)

    def _token_loss(self, states: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """`masking.guess_loss` without the logits of the tokens that nobody asks for, which cost most of the head.

        0 where nothing is hidden, a batch of whole molecules.
        """
        rows, wanted = states.flatten(0, 1).index_select(0, batch["places"]), batch["wanted"]
        loss = functional.cross_entropy(
            _as_float32(self.model.lm_head(rows)), wanted, ignore_index=IGNORED, reduction="sum"
        )
        return loss / (wanted != IGNORED).sum().clamp(min=1)

    def _reads_embedding(self, properties: Tensor | None, labels: Tensor | None) -> bool:
        wants_properties = self.property_head is not None and properties is not None
        return wants_properties or (self.label_head is not None and labels is not None)

    def _embedding_losses(
        self, hidden: Tensor, mask: Tensor, properties: Tensor | None, labels: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Losses of properties and of labels, read from hidden states (b, l, h); float32 also under autocast."""
        described = measured = None
        if not self._reads_embedding(properties, labels):
            return described, measured
        with without_autocast(hidden.device):
            pooled = _as_float32(self.model.pool(hidden, mask))  # (b, h)
            if self.property_head is not None and properties is not None:
                described = _mean_known((self.property_head(pooled) - _fill_gaps(properties)) ** 2, properties)
            if self.label_head is not None and labels is not None:
                outputs, wanted = self.label_head(pooled), _fill_gaps(labels)  # (b, t)
                entropy = functional.binary_cross_entropy_with_logits(outputs, wanted.clamp(0, 1), reduction="none")
                measured = _mean_known(torch.where(self.binary, entropy, (outputs - wanted) ** 2), labels)
        return described, measured

    def _sum_losses(self, masked: Tensor | None, described: Tensor | None, measured: Tensor | None) -> Losses:
        weights = (self.masked, self.described, self.measured)
        parts = [
            weight * part
            for weight, part in zip(weights, (masked, described, measured), strict=True)
            if part is not None
        ]
        if not parts:
            raise BadInput("nothing to learn from this batch: no token is hidden; give it `properties` or `labels`")
        return Losses(torch.stack(parts).sum(), masked, described, measured)


def unfreeze(backbone: nn.Module, tokens: bool) -> None:
    """Let all of a backbone move; where no `tokens` are guessed, not the head that guesses them.

    That head would get no gradient; it is kept as it is for who begins from here.
    """
    backbone.requires_grad_(True)
    if not tokens and backbone.model.lm_head is not None:
        backbone.model.lm_head.requires_grad_(False)


@torch.no_grad()
def average_held_out(objective: PretrainingLoss, batches: Iterable[Batch]) -> tuple[float, dict[str, float]]:
    """The weighted sum of the parts, and each of them: tokens over all molecules, the rest over all known cells."""
    losses: dict[str, list[float]] = {}
    counts: dict[str, list[int]] = {}
    for batch in batches:
        known = {
            "masked": len(batch.ids),
            "described": _count_known(batch.properties),
            "measured": _count_known(batch.labels),
        }
        for name, loss in objective.held_out(batch)._asdict().items():
            if name in known and loss is not None:
                losses.setdefault(name, []).append(float(loss))
                counts.setdefault(name, []).append(known[name])
    means = {name: float(np.average(losses[name], weights=counts[name])) for name in losses if sum(counts[name])}
    weights = {"masked": objective.masked, "described": objective.described, "measured": objective.measured}
    return sum(weights[name] * mean for name, mean in means.items()), means


def _count_known(targets: Tensor | None) -> int:
    """How many cells of a target (b, columns) are no gap; 0 where there is no target."""
    return 0 if targets is None else int((~targets.isnan()).sum())


def _as_float32(values: Tensor) -> Tensor:
    """In float32 at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _fill_gaps(targets: Tensor) -> Tensor:
    """0 in the gaps: a NaN would come back through the gradient, even times 0."""
    return torch.where(torch.isnan(targets), torch.zeros_like(targets), targets)


def _mean_known(cells: Tensor, targets: Tensor) -> Tensor:
    """Mean of `cells` (b, columns) where the target is known; 0 where none is."""
    known = ~torch.isnan(targets)
    return torch.where(known, cells, torch.zeros_like(cells)).sum() / known.sum().clamp(min=1)
