"""The architecture of a MoLFormer, as in its `config.json`, and the named sizes. Needs no torch."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.engine.spec import BadInput
from core.models.backbones.molformer.vocabulary import FIXED_VOCABULARY

GRAPH_MODEL_TYPE = "gnn"  # `model_type` of a graph network
REQUIRED_FIELDS = {
    "model_type": "molformer",
    "hidden_act": "gelu",
    "feature_map_kernel": "relu",
    "tie_word_embeddings": False,
}
WRITTEN_FIELDS = REQUIRED_FIELDS | {
    "architectures": ["MolformerForMaskedLM"],
    "deterministic_eval": True,
    "classifier_dropout_prob": None,
    "classifier_skip_connection": True,
    "torch_dtype": "float32",
}


@dataclass(frozen=True)
class MolformerConfig:
    """Widths, depths and constants under the hub's names; the defaults are those of `molformer-xl`.

    There is no field `deterministic_eval`: evaluation is always deterministic here.
    """

    vocab_size: int = 2362
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 768
    num_random_features: int = 32
    max_position_embeddings: int = 202  # tokens of the longest molecule in pre-training; not a limit of the model
    pad_token_id: int = 2
    hidden_dropout_prob: float = 0.1
    embedding_dropout_prob: float = 0.2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    linear_attention_eps: float = 1e-6

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, least = getattr(self, field.name), 0 if field.name == "pad_token_id" else 1
            if field.type is int and (type(value) is not int or value < least):
                raise BadInput(f"config: `{field.name}` wants a whole number of at least {least}, got {value!r}")
            if field.type is float and (type(value) not in (int, float) or not 0 <= value < 1):
                raise BadInput(f"config: `{field.name}` wants a number from 0 to below 1, got {value!r}")
        if self.hidden_size % self.num_attention_heads or self.head_size % 2:
            raise BadInput(
                f"config: `hidden_size` {self.hidden_size} does not divide into {self.num_attention_heads} heads of an "
                "even width (rotary positions turn pairs); change one of the two"
            )
        if self.pad_token_id >= self.vocab_size:
            raise BadInput(f"config: `pad_token_id` {self.pad_token_id} is outside the vocabulary of {self.vocab_size}")

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "MolformerConfig":
        """From a hub-style `config.json`; unused keys are ignored.

        Raises `BadInput` for a value that this implementation does not support.
        """
        for name, only in REQUIRED_FIELDS.items():
            if values.get(name, only) != only:
                raise BadInput(f"config: `{name}` {values[name]!r} is not supported, only {only!r} is")
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})

    def to_json(self) -> dict[str, Any]:
        """The content of `config.json`: our fields and those that the hub's code needs."""
        return dataclasses.asdict(self) | WRITTEN_FIELDS


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a backbone's folder. Raises `BadInput` when it is absent or unreadable."""
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"{folder} is no backbone: its config.json cannot be read ({error.strerror}); a backbone is a folder with "
            "config.json, model.safetensors and tokenizer.json"
        ) from None
    except ValueError as error:
        raise BadInput(f"{path} is no JSON ({error}); copy it again") from None
    if not isinstance(values, dict):
        raise BadInput(f"{path} holds a {type(values).__name__}, expected an object of settings; copy it again")
    return values


SIZES = {
    "molsway-mini": MolformerConfig(  # 4.2 million parameters
        vocab_size=len(FIXED_VOCABULARY),
        hidden_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=960,
    ),
    "molsway-tiny": MolformerConfig(  # 0.4 million parameters: demos and tests
        vocab_size=len(FIXED_VOCABULARY),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=256,
    ),
    "molformer-xl": MolformerConfig(),
}
