"""A MoLFormer of any size with random weights, as the start of pre-training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from core.engine.spec import BadInput, settings
from core.models.backbones.molformer.config import SIZES, MolformerConfig
from core.models.backbones.spec import BackboneSpec

if TYPE_CHECKING:
    from core.models.backbones.molformer.backbone import Backbone

MINI_CONFIG = SIZES["molsway-mini"]


@settings
class UntrainedMolformer(BackboneSpec):
    """A MoLFormer of any size with random weights; its vocabulary comes from the corpus."""

    kind: ClassVar[str] = "untrained-molformer"
    kind_name: ClassVar[str] = "random weights of any size"
    repeatable: ClassVar[bool] = True

    name: str = Field(default="", max_length=60, description="name of the model; empty: named after its size")
    width: int = Field(default=MINI_CONFIG.hidden_size, ge=4, le=4096, description="length of the embedding")
    depth: int = Field(default=MINI_CONFIG.num_hidden_layers, ge=1, le=100, description="number of layers")
    heads: int = Field(default=MINI_CONFIG.num_attention_heads, ge=1, le=64, description="attention heads per layer")
    inner: int = Field(
        default=MINI_CONFIG.intermediate_size, ge=4, le=16_384, description="width of the feed-forward layers"
    )
    features: int = Field(
        default=MINI_CONFIG.num_random_features, ge=1, le=1024, description="random features of the linear attention"
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the weights")

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):  # checked before the corpus is built
            raise BadInput(
                f"a width of {self.width} does not divide into {self.heads} heads of an even width (rotary positions "
                "rotate pairs); change `width` or `heads`"
            )

    @property
    def called(self) -> str:
        return self.name or f"molformer-{self.depth}x{self.width}"

    def __call__(self, vocabulary: Sequence[str]) -> "Backbone":
        """The backbone with its masked-LM head, in evaluation mode; `vocabulary`: tokens in order of ids."""
        from core.models.backbones.molformer.backbone import Backbone
        from core.models.backbones.molformer.model import build_untrained
        from core.models.backbones.molformer.tokenizer import MolformerTokenizer

        config = MolformerConfig(
            vocab_size=len(vocabulary),
            hidden_size=self.width,
            num_hidden_layers=self.depth,
            num_attention_heads=self.heads,
            intermediate_size=self.inner,
            num_random_features=self.features,
        )
        return Backbone(build_untrained(config, self.seed), MolformerTokenizer.from_vocabulary(vocabulary), self.called)
