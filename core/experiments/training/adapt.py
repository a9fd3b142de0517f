"""Adaptation: continued pre-training of a backbone on your molecules, without labels."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import Spec, settings
from core.experiments.training.finetune import BACKBONES_OR_CHECKPOINTS
from core.models.backbones import Pretrained
from core.models.backbones.checkpoint import Checkpoint
from core.training.optimisation import Optimisation, Patience, Plan

ADVISED_RATE = 5e-4  # learning rate at a width of 256
OBJECTIVE_TITLES = {
    "masked tokens": "masked-language adaptation",
    "properties": "adaptation by properties",
    "both": "adaptation by masked tokens and properties",
}


@settings
class Adapt(Optimisation, Spec[Checkpoint]):
    """Continue the pre-training of a backbone on your molecules; labels are not used.

    Masked tokens: 15 % of the tokens are selected (80 % become `<mask>`, 10 % a random token, 10 % stay; Devlin et al.
    2019, arXiv 1810.04805) and predicted. Properties: one linear layer predicts RDKit's descriptors, scaled over the
    training molecules, from the pooled embedding; the layer is discarded afterwards. It is the better adaptation on
    tables of some thousand molecules (arXiv 2503.03360). Both: the sum of the two losses in one pass. A tenth of the
    molecules is held out to select the best evaluation: tokens under one fixed mask, properties of unmasked molecules.
    Molecules of `leave_out` and their stereoisomers are not read: give the test set.
    """

    kind: ClassVar[str] = "adapt"
    page: ClassVar[str] = "train"
    revision: ClassVar[int] = 3
    effort: ClassVar[float] = 10.0
    repeatable: ClassVar[bool] = True

    corpus: Spec[Dataset] = Field(description="molecules to pre-train on; labels are not used")
    leave_out: Spec[Dataset] | None = Field(
        default=None, description="molecules to exclude with their stereoisomers, usually the test set"
    )
    backbone: Annotated[Any, BACKBONES_OR_CHECKPOINTS] = Field(
        default=Pretrained(), description="the backbone to start from"
    )
    objective: Literal["masked tokens", "properties", "both"] = Field(
        default="both",
        description="pre-training task. masked tokens: predict masked tokens of the SMILES; properties: predict about "
        "200 RDKit descriptors; both: the sum of the two losses",
    )
    epochs: int = Field(default=10, ge=1, le=10_000, description="passes over the molecules")
    share: float = Field(
        default=0.15, gt=0, lt=1, description="share of the tokens to mask; unused for properties alone"
    )
    patience: Patience = 0

    @property
    def title(self) -> str:
        return f"{OBJECTIVE_TITLES[self.objective]} of {self.backbone.called} to {self.corpus.title}, seed {self.seed}"

    @property
    def called(self) -> str:
        return f"adapted {self.backbone.called}"

    def make(
        self,
        report: Report,
        corpus: Dataset,
        leave_out: Dataset | None = None,
        backbone: Callable[[], Any] | None = None,
    ) -> Checkpoint:
        from core.training.adaptation import adapt

        return adapt(self, report, corpus, leave_out, backbone or self.backbone)

    def build_plan(self, n: int, width: int, precision: str, **overrides: Any) -> Plan:
        """The plan; without a `learning_rate`, the advised one, scaled by 256 / `width`."""
        rate = self.learning_rate or ADVISED_RATE * 256 / width
        return super().build_plan(n, width, precision, **({"learning_rate": rate} | overrides))
