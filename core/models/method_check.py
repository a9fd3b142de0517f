"""That a method does what it says: shown on a few molecules when a fit begins, and looked at again when it ends."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.models.predictor import Predictor

PROBE_MOLECULES = 8  # that are looked at
PROBE_STEP = 0.02  # size of a random change of what an adapter begins with, relative to it or, at 0, absolute


class MethodCheckFailed(RuntimeError):
    """A method does not do what it says; nothing that a user gave is at fault."""


@dataclass(frozen=True)
class MethodCheck:
    """What was found when a method was put to work; `frozen`: digests of the tensors that must not move."""

    backbone_weights: int  # of the backbone's that move, as the method's formula says
    trainable: int  # in all
    tensors: int  # that move; each of them got a gradient
    frozen: dict[str, str]

    def check(self, predictor: Predictor) -> dict[str, Any]:
        """After training: nothing that is frozen has moved. What to keep of the proof. Raises `MethodCheckFailed`."""
        now = dict(_digests(predictor))
        if moved := [name for name in self.frozen if now.get(name) != self.frozen[name]]:
            raise MethodCheckFailed(f"{len(moved)} frozen tensors have moved in training, {moved[0]!r} first")
        return {
            "formula": self.backbone_weights,
            "trainable": self.trainable,
            "tensors_with_gradient": self.tensors,
            "tensors_frozen": len(self.frozen),
        }


def apply_and_check(method: Any, predictor: Predictor, smiles: Sequence[str]) -> MethodCheck:
    """Apply a method to a predictor and show on a few molecules that it is done as said. Raises `MethodCheckFailed`.

    As many weights move as the formula says; not a bit of an embedding has changed; and each tensor that moves gets a
    gradient. An adapter begins with zeros that keep the gradient from its other half, so this is looked at with
    its weights slightly changed; they are put back.
    """
    some = list(smiles[:: max(1, len(smiles) // PROBE_MOLECULES)][:PROBE_MOLECULES])
    backbone, expected = predictor.backbone, method.count_trainable(predictor.backbone)
    batch = predictor.encode(some)
    with torch.no_grad():
        before = backbone.embed(batch)
    method(predictor)
    with torch.no_grad():
        after = backbone.embed(batch)
    moving = {name: weight for name, weight in predictor.named_parameters() if weight.requires_grad}
    found = sum(weight.numel() for name, weight in moving.items() if name.startswith("backbone."))
    if found != expected:
        raise MethodCheckFailed(f"{method.name}: {found:,} weights of the backbone move, its formula says {expected:,}")
    if not all(name in moving for name, _ in predictor.named_parameters() if name.startswith("head.")):
        raise MethodCheckFailed(f"{method.name}: not all of the head moves, so the predictor could not learn")
    if not torch.equal(before, after):
        size = float((before - after).abs().max())
        raise MethodCheckFailed(f"{method.name}: embeddings have changed by up to {size:.3g} before the first step")
    if still := _without_gradient(predictor, batch, moving):
        raise MethodCheckFailed(
            f"{method.name}: {len(still)} tensors that should move get no gradient, {still[0]!r} first"
        )
    trainable = sum(weight.numel() for weight in moving.values())
    return MethodCheck(expected, trainable, len(moving), dict(_digests(predictor)))


def _without_gradient(predictor: Predictor, batch: dict[str, Tensor], moving: dict[str, Tensor]) -> list[str]:
    """Names of what should move and gets no gradient; the predictor is left as it was."""
    generator = torch.Generator().manual_seed(0)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator).to(like)

    kept = {name: weight.detach().clone() for name, weight in moving.items()}
    with torch.no_grad():
        for name, weight in moving.items() if predictor.adapter is not None else ():
            if name.startswith("backbone."):
                weight.add_(noise(weight) * PROBE_STEP * (float(weight.abs().mean()) or 1.0))
    outputs = predictor(batch)
    labels = (outputs.detach() + noise(outputs) + 1).where(~predictor.binary, torch.ones_like(outputs))
    predictor.loss(outputs, labels).backward()
    still = [name for name, weight in moving.items() if weight.grad is None or not bool(weight.grad.any())]
    with torch.no_grad():
        for name, weight in moving.items():
            weight.copy_(kept[name])
            weight.grad = None
    return still


def _digests(predictor: Predictor) -> Iterator[tuple[str, str]]:
    """Of every tensor that does not move: frozen weights, feature maps, scalers."""
    for name, value in (*predictor.named_parameters(), *predictor.named_buffers()):
        if not value.requires_grad:
            data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            yield name, hashlib.blake2b(data, digest_size=16).hexdigest()
