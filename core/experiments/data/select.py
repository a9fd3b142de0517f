"""Select: a pool, a sampler and perhaps scores → the rows of the pool that were kept."""

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings, to_json
from core.results.scores import Scores
from core.selection import SAMPLERS, Uniform


@settings
class Select(Spec[Dataset]):
    """Select some molecules of a pool by a sampler. The rows come in the order in which it selected them."""

    kind: ClassVar[str] = "select"
    page: ClassVar[str] = "sample"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 0.2

    pool: Spec[Dataset] = Field(description="candidate molecules")
    sampler: Annotated[Any, SAMPLERS] = Field(default=Uniform(), description="how molecules are selected")
    scores: Spec[Scores] | None = Field(default=None, description="influence scores of this pool, where it needs them")

    def __post_init__(self) -> None:
        if self.scores is None and "scores" in self.sampler.needs:
            raise BadInput(
                f"{self.sampler.title} ranks by influence and got no scores; give `scores` of this pool, or use uniform"
            )

    @property
    def title(self) -> str:
        return f"{self.sampler.count} of the pool by {self.sampler.title}"

    def make(self, report: Report, pool: Dataset, scores: Scores | None = None) -> Dataset:
        if scores is not None and scores.record["digests"]["pool"] != pool.digest:
            other = scores.record["digests"]["pool"]
            raise BadInput(f"the scores are of another pool (digest {other}, not {pool.digest}); score this pool")
        report(0, f"selecting by {self.sampler.title}")
        rows = self.sampler(pool, scores)
        about: dict[str, Any] = {
            "sampler": to_json(self.sampler),
            "scores": self.scores.key if self.scores else None,
            "pool": pool.digest,
            "kept": len(rows),
            "of": len(pool),
        }
        if scores is not None:
            delta = scores.table["delta_loss"].to_numpy(float)[rows]
            about["harmful_kept"] = int((delta > 0).sum())
            about["predicted_change"] = float(np.nansum(delta))  # first order: copies count in full
            report(0.5, "checking the selection on target molecules held out of it")
            if (found := self.sampler.cross_fit(pool, scores)) is not None:
                about["promise"] = {
                    "chosen_by": [float(found.selecting_half[0]), float(found.selecting_half[-1])],
                    "other": [float(found.other[0]), float(found.other[-1])],
                    "optimism": found.optimism,
                    "best_count": found.best,
                }
        return pool.take(rows, selection=about)
