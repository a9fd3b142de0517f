"""Molecules one after another, each judged after those already kept."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from core import chem
from core.last_layer import greedy
from core.samplers.count import check_count, scored
from core.scores import Scores
from core.spec import BadInput, settings

if TYPE_CHECKING:
    from core.data import Dataset


@settings
class Greedy:
    """One molecule after another, each the one whose whole step leaves the least target loss.

    The step is that of a last layer in closed form over fixed features (`core.last_layer`): ridge regression on
    standardised features. It counts what copies share and how far a molecule really moves a model, which first-order
    scores do not. RDKit's descriptors served better than what enters the trained last layer in the case measured
    (`docs/LOG.md`); a likely reason is that the trained layer has already fitted the training labels. Labels of a
    binary task are fitted as numbers.
    """

    kind: ClassVar[str] = "greedy"

    count: int = Field(default=100, ge=1, description="molecules to keep")
    features: Literal["descriptors", "last layer"] = Field(
        default="descriptors", description="what stays fixed: RDKit's descriptors, or what enters the fit's last layer"
    )
    damping: float = Field(default=20.0, gt=0, description="ridge of the last layer, in molecules")
    stop_when_worse: bool = Field(default=False, description="keep fewer when none is left that lowers the target loss")

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        scores = scored(self.kind, pool, scores)
        arrays = dict(scores.last_layer)
        if not arrays:
            raise BadInput("these scores keep no features (the pool is very large); use top instead")
        if self.features == "descriptors":
            arrays |= described(scores.smiles["train"], {"target": scores.smiles["target"], "pool": pool.smiles})
        faulty = [name for name, value in arrays.items() if not np.isfinite(value).all() and "labels" not in name]
        if faulty:
            raise BadInput(f"features of {', '.join(faulty)} are not finite; train again with a lower learning rate")
        rows, _ = greedy(arrays, self.count, self.damping, self.stop_when_worse)
        if not len(rows):
            raise BadInput("no molecule of the pool lowers the target loss; turn `stop_when_worse` off")
        return rows


def described(train: np.ndarray, others: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """RDKit's descriptors of the training molecules and of others, (n, p) by part, held to the training part's range.

    Descriptors that some training molecule lacks are left out; where another molecule lacks one it gets the training
    part's median. Values beyond the training part's 1st and 99th percentiles are drawn in, so that no outlier leads.
    """
    known = chem.descriptors(train.tolist()).to_numpy()
    kept = np.isfinite(known).all(0)
    low, middle, high = np.quantile(known[:, kept], [0.01, 0.5, 0.99], axis=0)
    found = {"train": np.clip(known[:, kept], low, high)}
    for part, smiles in others.items():
        values = chem.descriptors(smiles.tolist()).to_numpy()[:, kept]
        found[part] = np.clip(np.where(np.isfinite(values), values, middle), low, high)
    return found
