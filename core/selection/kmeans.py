"""Molecules from every cluster of the pool."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from core.engine.spec import BadInput, settings
from core.results.scores import Scores, read_benefits
from core.selection.checks import allocate, check_count, order_by_smiles, require_scores
from core.selection.feature_space import Space, farthest_first, feature_matrix, needs_of
from core.selection.sampler import Need, Sampler

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class KMeans(Sampler):
    """Molecules of every k-means cluster, in proportion to its size or equally.

    k-means of scikit-learn (Lloyd 1982, ten starts). Within a cluster: those nearest to its centroid, those far from
    each other, random ones, or those with the largest predicted benefit, which combines influence and diversity.
    """

    kind: ClassVar[str] = "kmeans"
    name: ClassVar[str] = "k-means"
    uses_seed: ClassVar[bool] = True

    count: int = Field(default=100, ge=1, description="molecules to select")
    clusters: int = Field(default=5, ge=1, le=10_000, description="number of clusters")
    space: Space = Field(default="fingerprints", description="feature space in which distances are measured")
    equal: bool = Field(
        default=False, description="the same number from each cluster, as far as it has them, instead of in proportion"
    )
    within: Literal["nearest", "spread", "random", "benefit"] = Field(
        default="nearest",
        description="which molecules of a cluster: nearest to its centroid, far apart, random, or most helpful",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the starts and the draw")

    @property
    def needs(self) -> frozenset[Need]:
        benefit = {"scores"} if self.within == "benefit" else set()
        return frozenset(benefit | needs_of(self.space))

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        from sklearn.cluster import KMeans as Lloyd

        check_count(self.kind, self.count, pool)
        if self.clusters > len(pool):
            raise BadInput(f"kmeans wants at most {len(pool)} clusters for {len(pool)} molecules, got {self.clusters}")
        order = order_by_smiles(pool)
        points = feature_matrix(pool, scores, self.space)[order]
        benefit = read_benefits(require_scores(self.kind, pool, scores))[order] if self.within == "benefit" else None
        clustering = Lloyd(min(self.clusters, len(np.unique(points, axis=0))), n_init=10, random_state=self.seed).fit(
            points
        )
        centroid_distances = ((points - clustering.cluster_centers_[clustering.labels_]) ** 2).sum(1)
        groups = [np.flatnonzero(clustering.labels_ == cluster) for cluster in range(clustering.n_clusters)]
        random = np.random.default_rng(self.seed)
        selected = []
        for rows, count in zip(groups, allocate([len(rows) for rows in groups], self.count, self.equal), strict=True):
            if not count:
                continue
            nearest = rows[np.argsort(centroid_distances[rows], kind="stable")]
            if self.within == "spread":
                candidates = rows[farthest_first(points[rows], count, int(np.flatnonzero(rows == nearest[0])[0]))]
            elif self.within == "random":
                candidates = random.permutation(rows)
            else:
                candidates = nearest if benefit is None else rows[np.argsort(-benefit[rows], kind="stable")]
            selected.append(order[candidates[:count]])
        return np.concatenate(selected)
