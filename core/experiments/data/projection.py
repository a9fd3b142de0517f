"""Projection: a two-dimensional map of a pool and the training set that it would join."""

from typing import ClassVar

from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import Spec, settings
from core.results.embedding_map import ProjectedMap
from core.selection.summary import ProjectionMethod, project


@settings
class Projection(Spec[ProjectedMap]):
    """A map of a pool and a training set by Morgan fingerprints, to see where selected molecules lie.

    Principal components take seconds and report the variance that two of them explain. t-SNE preserves neighbourhoods
    and takes a minute for thousands of molecules.
    """

    kind: ClassVar[str] = "projection"
    effort: ClassVar[float] = 0.3

    pool: Spec[Dataset] = Field(description="candidate molecules (pool)")
    train: Spec[Dataset] = Field(description="the training molecules that they would join")
    method: ProjectionMethod = Field(default="pca", description="projection method")
    seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="random seed of t-SNE, and of the sample of a large table"
    )

    @property
    def title(self) -> str:
        return f"map of {self.pool.title} and {self.train.title} by {self.method}"

    def make(self, report: Report, pool: Dataset, train: Dataset) -> ProjectedMap:
        report(0, f"projecting by {self.method}")
        table = project({"train": list(train.smiles), "pool": list(pool.smiles)}, self.method, self.seed)
        rows = {"train": len(train), "pool": len(pool)}
        counts = {part: int((table["part"] == part).sum()) for part in rows}
        record = {"way": self.method, "explained": table.attrs["explained"], "rows": rows, "drawn": counts}
        record["digests"] = {"train": train.digest, "pool": pool.digest}
        return ProjectedMap(table, record)
