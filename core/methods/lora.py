"""Low-rank changes beside frozen weight matrices."""

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from core.spec import settings

if TYPE_CHECKING:
    from torch import nn

PLACES = {  # of the matrices in a layer, each with its whole path: the suffix "output.dense" alone would match two
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention output": "attention.output.dense",
    "feed-forward in": "intermediate.dense",
    "feed-forward out": "output.dense",
}
Target = Literal["query", "key", "value", "attention output", "feed-forward in", "feed-forward out"]


@settings
class LoRA:
    """The backbone is frozen; beside each target matrix W a product of two thin ones is trained, W + (α/r)·B·A.

    Hu et al. 2021 (arXiv 2106.09685), by `peft`. B begins at 0, so that nothing changes before the first step.
    """

    kind: ClassVar[str] = "lora"
    name: ClassVar[str] = "LoRA"
    rate: ClassVar[float] = 1e-3  # advice for the learning rate at a width of 256

    rank: int = Field(default=8, ge=1, le=1024, description="rank r of a change")
    alpha: int = Field(default=16, ge=1, le=4096, description="α: a change counts α/r times")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout on what enters A")
    targets: tuple[Target, ...] = Field(
        default=("query", "key", "value", "attention output"), min_length=1, description="matrices of a layer"
    )

    def __call__(self, predictor: "nn.Module") -> None:
        from peft import LoraConfig, inject_adapter_in_model

        predictor.requires_grad_(False)
        paths = "|".join(re.escape(PLACES[target]) for target in self.targets)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=rf"encoder\.layer\.\d+\.({paths})",
        )
        inject_adapter_in_model(config, predictor.backbone.model)
        predictor.adapter = self
        predictor.head.requires_grad_(True)
