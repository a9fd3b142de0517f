"""The control for pre-training: random weights in the architecture of a pre-trained backbone."""

import dataclasses
from typing import Any

from core.engine.spec import BadInput, Spec
from core.models.backbones import SIZES, Gnn, MolformerConfig, Pretrained, Untrained
from core.models.backbones.molformer.config import read_config
from core.models.backbones.molformer.untrained import UntrainedMolformer

CORPUS_FIELDS = ("vocab_size", "pad_token_id", "max_position_embeddings")  # not part of the architecture


def check_pretrained(backbone: Any) -> None:
    """Raises `BadInput` where a backbone is not pre-trained, so that a control would make no difference."""
    if backbone is None or isinstance(backbone, (Untrained, UntrainedMolformer, Gnn)):
        start = "no backbone" if backbone is None else f"{backbone.kind} weights"
        raise BadInput(
            f"`control` compares pre-trained with random weights, but this model starts from {start}; leave `control` "
            "out, or use a model with a pre-trained backbone"
        )


def with_random_weights(backbone: Any, seed: int) -> Untrained:
    """Random weights in the architecture of a pre-trained backbone, given as a backbone or as a spec of a checkpoint.

    The architecture of a folder is read from its `config.json`. Raises `BadInput` where the backbone is not
    pre-trained, and where its architecture is none of the named sizes.
    """
    check_pretrained(backbone)
    shape = find_shape(backbone)
    for name, config in SIZES.items():
        theirs = {field: getattr(config, field) for field in CORPUS_FIELDS}
        if shape is not None and dataclasses.replace(shape, **theirs) == config:
            return Untrained(name, seed=seed)
    raise BadInput(
        f"`control` needs random weights in the architecture of {backbone.called!r}; only {', '.join(SIZES)} are "
        "available: leave `control` out"
    )


def find_shape(backbone: Any) -> MolformerConfig | None:
    """The architecture of a backbone; None where it is unknown."""
    while isinstance(backbone, Spec):  # the start of adaptation or pre-training
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
    """The embedding width of a backbone that is not built yet; None where it is unknown."""
    if isinstance(backbone, Gnn):
        return backbone.width
    shape = find_shape(backbone)
    return None if shape is None else shape.hidden_size
