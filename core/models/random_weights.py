"""The control of pre-training: random weights in the shape of a backbone that has read molecules."""

import dataclasses
from typing import Any

from core.engine.spec import BadInput, Spec
from core.models.backbones import SIZES, Gnn, MolformerConfig, Pretrained, Untrained
from core.models.backbones.molformer.config import read_config
from core.models.backbones.molformer.untrained import UntrainedMolformer

CORPUS_FIELDS = ("vocab_size", "pad_token_id", "max_position_embeddings")  # no part of the architecture


def check_pretrained(backbone: Any) -> None:
    """Raises `BadInput` where a backbone has not been pre-trained, so that nothing could be learned from a control."""
    if backbone is None or isinstance(backbone, (Untrained, UntrainedMolformer, Gnn)):
        begun = "no backbone" if backbone is None else f"{backbone.kind} weights"
        raise BadInput(
            f"`control` sets random weights against pre-trained ones, the fit begins from {begun}; leave `control` "
            "out, or give a fit of a pre-trained backbone"
        )


def with_random_weights(backbone: Any, seed: int) -> Untrained:
    """Random weights in the shape of a pre-trained backbone, a member of its family or a recipe that makes one.

    A folder's `config.json` is read for its shape. Raises `BadInput` where the backbone has not been pre-trained, and
    where `untrained` does not know its shape.
    """
    check_pretrained(backbone)
    shape = find_shape(backbone)
    for name, known in SIZES.items():
        theirs = {field: getattr(known, field) for field in CORPUS_FIELDS}
        if shape is not None and dataclasses.replace(shape, **theirs) == known:
            return Untrained(name, seed=seed)
    raise BadInput(
        f"`control` wants random weights in the shape of {backbone.called!r}, they come as "
        f"{', '.join(SIZES)} only; leave `control` out"
    )


def find_shape(backbone: Any) -> MolformerConfig | None:
    """The architecture of a backbone; None where it is not known."""
    while isinstance(backbone, Spec):  # what an adaptation or a pre-training began from
        backbone = backbone.backbone
    if isinstance(backbone, UntrainedMolformer):
        return MolformerConfig(
            hidden_size=backbone.width,
            num_hidden_layers=backbone.depth,
            num_attention_heads=backbone.heads,
            intermediate_size=backbone.inner,
            num_random_features=backbone.features,
        )
    if isinstance(backbone, Pretrained) and backbone.local_folder is not None:
        return MolformerConfig.from_json(read_config(backbone.local_folder))
    return SIZES.get(backbone.name) if isinstance(backbone, (Pretrained, Untrained)) else None


def find_width(backbone: Any) -> int | None:
    """Numbers of an embedding of a backbone that is not made yet; None where it is not known."""
    if isinstance(backbone, Gnn):
        return backbone.width
    shape = find_shape(backbone)
    return None if shape is None else shape.hidden_size
