"""Select: rows of a pool, selected by a sampler."""

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
    """Molecules of a pool, selected by a sampler. Rows are in the order of selection."""

    kind: ClassVar[str] = "select"
    page: ClassVar[str] = "sample"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 0.2

    pool: Spec[Dataset] = Field(description="candidate molecules (pool)")
    sampler: Annotated[Any, SAMPLERS] = Field(default=Uniform(), description="selection strategy")
    scores: Spec[Scores] | None = Field(
        default=None, description="influence scores of this pool, for samplers that need them"
    )

    def __post_init__(self) -> None:
        if self.scores is None and "scores" in self.sampler.needs:
            raise BadInput(
                f"{self.sampler.title} needs influence scores and got none; give `scores` of this pool, or use uniform"
            )

    @property
    def title(self) -> str:
        return f"{self.sampler.count} of the pool by {self.sampler.title}"

    def make(self, report: Report, pool: Dataset, scores: Scores | None = None) -> Dataset:
        if scores is not None and scores.record["digests"]["pool"] != pool.digest:
            other = scores.record["digests"]["pool"]
            raise BadInput(
                f"the scores are of another pool (digest {other}, not {pool.digest}); compute scores of this pool"
            )
        report(0, f"selecting by {self.sampler.title}")
        rows = self.sampler(pool, scores)
        note: dict[str, Any] = {
            "sampler": to_json(self.sampler),
            "scores": self.scores.key if self.scores else None,
            "pool": pool.digest,
            "kept": len(rows),
            "of": len(pool),
        }
        if scores is not None:
            delta = scores.table["delta_loss"].to_numpy(float)[rows]
            note["harmful_kept"] = int((delta > 0).sum())
            note["predicted_change"] = float(np.nansum(delta))  # first order: duplicates add up in full
            report(0.5, "checking the selection on held-out target molecules")
            if (check := self.sampler.cross_fit(pool, scores)) is not None:
                note["promise"] = {
                    "chosen_by": [float(check.selecting_half[0]), float(check.selecting_half[-1])],
                    "other": [float(check.other[0]), float(check.other[-1])],
                    "optimism": check.optimism,
                    "best_count": check.best,
                }
        return pool.take(rows, selection=note)
