"""Pre-training of a backbone on a corpus: masked tokens, descriptors and measured labels."""

from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Annotated, Any, ClassVar

from pydantic import Field

from core.data.corpus import Corpus
from core.engine.report import Report
from core.engine.spec import BadInput, Family, Spec, settings
from core.models.backbones import Pretrained
from core.models.backbones.checkpoint import Checkpoint
from core.models.backbones.molformer.untrained import UntrainedMolformer
from core.training.optimisation import BatchSize, LearningRate, Plan, ScheduledOptimisation, Steps, Warmup

INITIAL_BACKBONES = Family("initial backbone", UntrainedMolformer, Pretrained, product=Checkpoint, name="kind_name")


@settings
class Pretrain(ScheduledOptimisation, Spec[Checkpoint]):
    """Pre-train a backbone: predict masked tokens, and descriptors and measured labels from the embedding.

    Loss: `masked` × cross-entropy (nats per masked token; Devlin et al. 2019, arXiv 1810.04805) + `described` ×
    squared error of RDKit's quick descriptors (scaled to unit variance) + `measured` × loss of the labels, missing ones
    ignored (Beaini et al. 2023, arXiv 2310.04292). A weight of 0 turns a term off. Each epoch reads a random one of the
    SMILES of a molecule. Molecules that are held out are not trained on.
    """

    kind: ClassVar[str] = "pretrain"
    page: ClassVar[str] = "train"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 100.0
    repeatable: ClassVar[bool] = True

    corpus: Spec[Corpus] = Field(description="the corpus: molecules with descriptors and labels")
    backbone: Annotated[Any, INITIAL_BACKBONES] = Field(
        default=UntrainedMolformer(), description="an architecture with random weights, or a backbone to continue from"
    )
    masked: float = Field(default=1.0, ge=0, le=100, description="loss weight of masked-token prediction; 0: off")
    described: float = Field(default=2.0, ge=0, le=100, description="loss weight of descriptor prediction; 0: off")
    measured: float = Field(default=0.2, ge=0, le=100, description="loss weight of the measured labels; 0: off")
    share: float = Field(default=0.3, gt=0, lt=1, description="share of the tokens to mask")
    whole: float = Field(default=0.3, ge=0, lt=1, description="share of the molecules without masked tokens")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout during pre-training; few epochs need none")
    held_out: int = Field(
        default=4096, ge=8, le=1_000_000, description="number of molecules to validate with, not trained on"
    )
    half: bool = Field(default=True, description="store the weights in half precision")

    _: KW_ONLY
    steps: Steps = 8000
    evaluations: Annotated[
        int, Field(ge=1, le=1000, description="number of validations with the held-out molecules")
    ] = 40
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 1e-3
    warmup: Warmup = 0.05

    def __post_init__(self) -> None:
        if not self.masked + self.described + self.measured:
            raise BadInput("`masked`, `described` and `measured` are all 0, so there is no loss; raise one")

    @property
    def title(self) -> str:
        return f"pre-training of {self.called} on a {self.corpus.title}"

    @property
    def called(self) -> str:
        return self.backbone.called

    def make(self, report: Report, corpus: Corpus, backbone: Callable[..., Any] | None = None) -> Checkpoint:
        from core.training.pretraining import pretrain

        return pretrain(self, report, corpus, backbone or self.backbone)

    def build_plan(self, n: int, width: int, precision: str, **overrides: Any) -> Plan:
        """The plan, with no more evaluations than steps."""
        evaluations = min(self.evaluations, self.steps)
        return super().build_plan(n, width, precision, **({"evaluations": evaluations} | overrides))
