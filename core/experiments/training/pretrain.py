"""Pre-training: a corpus → a backbone that has read it, by hidden tokens, by descriptors, by measured labels."""

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

INITIAL_BACKBONES = Family("beginning", UntrainedMolformer, Pretrained, product=Checkpoint, name="kind_name")


@settings
class Pretrain(ScheduledOptimisation, Spec[Checkpoint]):
    """Teach a backbone molecules: guess hidden tokens, and tell descriptors and measured labels from the embedding.

    One loss, `masked` × cross-entropy (nats a hidden token; Devlin et al. 2019, arXiv 1810.04805) + `described` ×
    squared error of RDKit's quick descriptors in units of their spread + `measured` × loss of the labels that are
    there, gaps left out (Beaini et al. 2023, arXiv 2310.04292). A weight of 0 switches a part off. Each time a
    molecule is read in one of its spellings, by chance; `held_out` molecules are never learned from.
    """

    kind: ClassVar[str] = "pretrain"
    page: ClassVar[str] = "train"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 100.0
    repeatable: ClassVar[bool] = True

    corpus: Spec[Corpus] = Field(description="molecules to read, with what is known of them")
    backbone: Annotated[Any, INITIAL_BACKBONES] = Field(
        default=UntrainedMolformer(), description="a shape, or a model to go on from"
    )
    masked: float = Field(default=1.0, ge=0, le=100, description="weight of guessing hidden tokens; 0: not asked")
    described: float = Field(default=2.0, ge=0, le=100, description="weight of telling descriptors; 0: not asked")
    measured: float = Field(default=0.2, ge=0, le=100, description="weight of telling measured labels; 0: not asked")
    share: float = Field(default=0.3, gt=0, lt=1, description="share of the tokens that is hidden")
    whole: float = Field(default=0.3, ge=0, lt=1, description="share of the molecules with nothing hidden")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout while pre-training; few epochs need none")
    held_out: int = Field(default=4096, ge=8, le=1_000_000, description="molecules that are only looked at")
    half: bool = Field(default=True, description="store the weights in half precision")

    _: KW_ONLY
    steps: Steps = 8000
    evaluations: Annotated[int, Field(ge=1, le=1000, description="looks at the molecules that are held out")] = 40
    batch_size: BatchSize = 128
    learning_rate: LearningRate = 1e-3
    warmup: Warmup = 0.05

    def __post_init__(self) -> None:
        if not self.masked + self.described + self.measured:
            raise BadInput("`masked`, `described` and `measured` are all 0: nothing would be learned; raise one")

    @property
    def title(self) -> str:
        return f"pre-training of {self.called} on a {self.corpus.title}"

    @property
    def called(self) -> str:
        return self.backbone.called

    def make(self, report: Report, corpus: Corpus, beginning: Callable[..., Any] | None = None) -> Checkpoint:
        from core.training.pretraining import pretrain

        return pretrain(self, report, corpus, beginning or self.backbone)

    def build_plan(self, n: int, width: int, precision: str, **own: Any) -> Plan:
        """With no more evaluations than steps."""
        evaluations = min(self.evaluations, self.steps)
        return super().build_plan(n, width, precision, **({"evaluations": evaluations} | own))
