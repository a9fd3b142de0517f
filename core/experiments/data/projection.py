"""Landscape: a pool and the table it would join → a map of both."""

from typing import ClassVar

from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import Spec, settings
from core.results.embedding_map import ProjectedMap
from core.selection.summary import ProjectionMethod, project


@settings
class Projection(Spec[ProjectedMap]):
    """A map of a pool and a training part by Morgan fingerprints, on which choices can be seen.

    Principal components are quick and honest about how little two of them hold; t-SNE keeps neighbours together and
    takes a minute for thousands.
    """

    kind: ClassVar[str] = "projection"
    effort: ClassVar[float] = 0.3

    pool: Spec[Dataset] = Field(description="the molecules to choose among")
    train: Spec[Dataset] = Field(description="the molecules they would join")
    way: ProjectionMethod = Field(default="pca", description="how the map is drawn")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the sample of large tables, and of t-SNE")

    @property
    def title(self) -> str:
        return f"map of {self.pool.title} beside {self.train.title}, by {self.way}"

    def make(self, report: Report, pool: Dataset, train: Dataset) -> ProjectedMap:
        report(0, f"drawing a map by {self.way}")
        found = project({"train": list(train.smiles), "pool": list(pool.smiles)}, self.way, self.seed)
        rows = {"train": len(train), "pool": len(pool)}
        drawn = {part: int((found["part"] == part).sum()) for part in rows}
        record = {"way": self.way, "explained": found.attrs["explained"], "rows": rows, "drawn": drawn}
        record["digests"] = {"train": train.digest, "pool": pool.digest}
        return ProjectedMap(found, record)
