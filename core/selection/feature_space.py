"""Feature spaces for distances between molecules: fingerprints, descriptors, inputs of the last layer."""

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
    """Features (n, p) of the pool: bits, or columns scaled to mean 0 and standard deviation 1.

    Raises `BadInput` for the last layer if the scores have no features, or are of another pool.
    """
    if space == "fingerprints":
        return chem.fingerprints(list(pool.smiles)).astype(np.float32)
    if space == "descriptors":
        names = properties.descriptor_names(quick=True)
        values = properties.compute_descriptors(list(pool.smiles), quick=True)
        return np.nan_to_num(properties.Scaling.of(values, names)(values, names))
    if scores is None or "pool" not in scores.last_layer:
        raise BadInput("the last layer needs scores that keep features; give `scores`, or use fingerprints")
    values = np.asarray(scores.last_layer["pool"], float)
    if len(values) != len(pool):
        raise BadInput(f"the scores are of {len(values)} molecules, the pool has {len(pool)}; score this pool")
    return ((values - values.mean(0)) / np.maximum(values.std(0), 1e-9)).astype(np.float32)


def farthest_first(points: np.ndarray, count: int, first: int) -> list[int]:
    """Rows of `count` points (n, p), each next one the farthest from those selected; of equally far ones the first.

    Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5.
    """
    selected = [first]
    nearest = ((points - points[first]) ** 2).sum(1)
    while len(selected) < count:
        nearest[selected[-1]] = -1.0
        selected.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((points - points[selected[-1]]) ** 2).sum(1))
    return selected
