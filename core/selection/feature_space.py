"""Spaces in which distances between molecules are measured: fingerprints, descriptors, inputs of the last layer."""

from typing import TYPE_CHECKING, Literal

import numpy as np

from core.chem import descriptors as properties
from core.chem import molecules as chem
from core.engine.spec import BadInput
from core.results.scores import Scores
from core.selection.sampler import Need

if TYPE_CHECKING:
    from core.data.dataset import Dataset

Space = Literal["fingerprints", "descriptors", "last layer"]


def needs_of(space: Space) -> frozenset[Need]:
    """What a sampler that measures distances in this space needs."""
    return frozenset({"scores", "features"} if space == "last layer" else ())


def feature_matrix(pool: "Dataset", scores: Scores | None, space: Space) -> np.ndarray:
    """(n, p) of the pool's molecules: bits, or columns of centre 0 and spread 1. Raises `BadInput`."""
    if space == "fingerprints":
        return chem.fingerprints(list(pool.smiles)).astype(np.float32)
    if space == "descriptors":
        names = properties.descriptor_names(quick=True)
        values = properties.compute_descriptors(list(pool.smiles), quick=True)
        return np.nan_to_num(properties.Scaling.of(values, names)(values, names))
    if scores is None or "pool" not in scores.last_layer:
        raise BadInput("the last layer is known from scores that keep features; give `scores`, or use fingerprints")
    values = np.asarray(scores.last_layer["pool"], float)
    if len(values) != len(pool):
        raise BadInput(f"the scores are of {len(values)} molecules, the pool has {len(pool)}; score this pool")
    return ((values - values.mean(0)) / np.maximum(values.std(0), 1e-9)).astype(np.float32)


def farthest_first(points: np.ndarray, count: int, first: int) -> list[int]:
    """Rows of points (n, p), each next one the farthest from those kept; of equally far ones the earlier.

    Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5.
    """
    kept = [first]
    nearest = ((points - points[first]) ** 2).sum(1)
    while len(kept) < count:
        nearest[kept[-1]] = -1.0
        kept.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((points - points[kept[-1]]) ** 2).sum(1))
    return kept
