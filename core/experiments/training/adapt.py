"""Adaptation: a backbone goes on learning from molecules of the user's own, before any label is seen."""

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
    """Teach a backbone the language and chemistry of your molecules; no labels needed.

    Masked tokens: 15 % of the tokens are hidden (80 % by `<mask>`, 10 % by a random token, 10 % kept; Devlin et al.
    2019, arXiv 1810.04805) and guessed. Properties: RDKit's descriptors, scaled over the molecules learned from, are
    read from the pooled embedding by one linear layer, which is not kept; on tables of some thousand molecules the
    better adaptation (arXiv 2503.03360). Both: the sum of the two losses, of one pass. A tenth of the molecules is held
    out and chooses the best evaluation: tokens hidden by one fixed mask, properties read from whole molecules.
    Molecules of `leave_out` (stereo marks aside) are not read: hand it the test part.
    """

    kind: ClassVar[str] = "adapt"
    page: ClassVar[str] = "train"
    revision: ClassVar[int] = 3
    effort: ClassVar[float] = 10.0
    repeatable: ClassVar[bool] = True

    corpus: Spec[Dataset] = Field(description="molecules to read; labels are not used")
    leave_out: Spec[Dataset] | None = Field(
        default=None, description="molecules never to read: the test part, unless you want its SMILES seen"
    )
    backbone: Annotated[Any, BACKBONES_OR_CHECKPOINTS] = Field(
        default=Pretrained(), description="the model to begin from"
    )
    objective: Literal["masked tokens", "properties", "both"] = Field(
        default="both",
        description="what is learned. masked tokens: guess hidden tokens of the SMILES; properties: predict some 200 "
        "properties that RDKit computes; both: the two losses added",
    )
    epochs: int = Field(default=10, ge=1, le=10_000, description="passes over the corpus")
    share: float = Field(
        default=0.15, gt=0, lt=1, description="share of the tokens that is hidden; not for properties alone"
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

    def build_plan(self, n: int, width: int, precision: str, **own: Any) -> Plan:
        """With a learning rate that follows the width, where none is asked for."""
        rate = self.learning_rate or ADVISED_RATE * 256 / width
        return super().build_plan(n, width, precision, **({"learning_rate": rate} | own))
