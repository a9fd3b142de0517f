"""Checks that a fine-tuning method trains the weights it declares, before and after training."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.models.predictor import Predictor

PROBE_MOLECULES = 8
PROBE_STEP = 0.02  # size of the random change of adapter weights, relative to their mean size or, at 0, absolute


class MethodCheckFailed(RuntimeError):
    """A method does not train what it declares: an error of the program, not of the input."""


@dataclass(frozen=True)
class MethodCheck:
    """The result of `apply_and_check`."""

    backbone_weights: int  # trainable weights of the backbone, by the method's formula
    trainable: int  # trainable weights in total
    tensors: int  # trainable tensors; each of them got a gradient
    frozen: dict[str, str]  # digests of the tensors that must not change

    def check(self, predictor: Predictor) -> dict[str, Any]:
        """After training: check that frozen tensors have not changed; counts for the record.

        Raises `MethodCheckFailed`.
        """
        now = dict(_digests(predictor))
        if moved := [name for name in self.frozen if now.get(name) != self.frozen[name]]:
            raise MethodCheckFailed(f"{len(moved)} frozen tensors have changed in training, the first is {moved[0]!r}")
        return {
            "formula": self.backbone_weights,
            "trainable": self.trainable,
            "tensors_with_gradient": self.tensors,
            "tensors_frozen": len(self.frozen),
        }


def apply_and_check(method: Any, predictor: Predictor, smiles: Sequence[str]) -> MethodCheck:
    """Apply a method to a predictor and check it on a few molecules. Raises `MethodCheckFailed`.

    The number of trainable weights must equal the method's formula, embeddings must be unchanged to the bit, and each
    trainable tensor must get a gradient. An adapter starts with zeros that block the gradient of its other half, so
    gradients are checked with slightly changed weights, which are restored.
    """
    probe = list(smiles[:: max(1, len(smiles) // PROBE_MOLECULES)][:PROBE_MOLECULES])
    backbone, expected = predictor.backbone, method.count_trainable(predictor.backbone)
    batch = predictor.encode(probe)
    with torch.no_grad():
        before = backbone.embed(batch)
    method(predictor)
    with torch.no_grad():
        after = backbone.embed(batch)
    moving = {name: weight for name, weight in predictor.named_parameters() if weight.requires_grad}
    count = sum(weight.numel() for name, weight in moving.items() if name.startswith("backbone."))
    if count != expected:
        raise MethodCheckFailed(
            f"{method.name}: {count:,} weights of the backbone are trainable, its formula says {expected:,}"
        )
    if not all(name in moving for name, _ in predictor.named_parameters() if name.startswith("head.")):
        raise MethodCheckFailed(f"{method.name}: the head is not fully trainable")
    if not torch.equal(before, after):
        size = float((before - after).abs().max())
        raise MethodCheckFailed(f"{method.name}: embeddings changed by up to {size:.3g} before the first step")
    if still := _without_gradient(predictor, batch, moving):
        raise MethodCheckFailed(
            f"{method.name}: {len(still)} trainable tensors get no gradient, the first is {still[0]!r}"
        )
    trainable = sum(weight.numel() for weight in moving.values())
    return MethodCheck(expected, trainable, len(moving), dict(_digests(predictor)))


def _without_gradient(predictor: Predictor, batch: dict[str, Tensor], moving: dict[str, Tensor]) -> list[str]:
    """Names of trainable tensors without gradient; the predictor is restored."""
    generator = torch.Generator().manual_seed(0)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator).to(like)

    originals = {name: weight.detach().clone() for name, weight in moving.items()}
    with torch.no_grad():
        for name, weight in moving.items() if predictor.adapter is not None else ():
            if name.startswith("backbone."):
                weight.add_(noise(weight) * PROBE_STEP * (float(weight.abs().mean()) or 1.0))
    outputs = predictor(batch)
    labels = (outputs.detach() + noise(outputs) + 1).where(~predictor.binary, torch.ones_like(outputs))
    predictor.loss(outputs, labels).backward()
    names = [name for name, weight in moving.items() if weight.grad is None or not bool(weight.grad.any())]
    with torch.no_grad():
        for name, weight in moving.items():
            weight.copy_(originals[name])
            weight.grad = None
    return names


def _digests(predictor: Predictor) -> Iterator[tuple[str, str]]:
    """Name and digest of every tensor that is not trained: frozen weights, feature maps, scalers."""
    for name, value in (*predictor.named_parameters(), *predictor.named_buffers()):
        if not value.requires_grad:
            data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            yield name, hashlib.blake2b(data, digest_size=16).hexdigest()
