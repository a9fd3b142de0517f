"""Maximal marginal relevance: molecules that help and differ from each other."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from core.chem import molecules as chem
from core.engine.spec import settings
from core.results.scores import Scores, read_benefits
from core.selection.checks import check_count, order_by_smiles, require_scores
from core.selection.sampler import Need, Sampler

if TYPE_CHECKING:
    from core.data.dataset import Dataset


@settings
class MMR(Sampler):
    """Maximal marginal relevance: each next molecule balances predicted benefit and distance to those selected.

    Carbonell & Goldstein 1998 (doi:10.1145/290941.291025), with ranks of benefit from 0 to 1 and Tanimoto distance. At
    `weight` 1 it is `top`, at 0 nearly `maxmin`. `greedy` learns from the model that near-duplicates add little; this
    one infers it from structures.
    """

    kind: ClassVar[str] = "mmr"
    name: ClassVar[str] = "MMR"
    needs: ClassVar[frozenset[Need]] = frozenset({"scores"})

    count: int = Field(default=100, ge=1, description="molecules to select")
    weight: float = Field(
        default=0.5, ge=0, le=1, description="weight of benefit; the rest is distance to the selected molecules"
    )

    def __call__(self, pool: "Dataset", scores: Scores | None = None) -> np.ndarray:
        check_count(self.kind, self.count, pool)
        order = order_by_smiles(pool)
        benefit = read_benefits(require_scores(self.kind, pool, scores))[order]
        position = np.argsort(np.argsort(-benefit, kind="stable"), kind="stable")
        rank = 1 - position / max(len(order) - 1, 1)  # 1 for the most helpful; ties by SMILES
        bits = chem.fingerprints([pool.smiles[row] for row in order])
        novelty = np.ones(len(order), np.float32)
        free, selected = np.ones(len(order), bool), []
        while len(selected) < self.count:
            gain = np.where(free, self.weight * rank + (1 - self.weight) * novelty, -np.inf)
            best = int(gain.argmax())
            selected.append(best)
            free[best] = False
            novelty = np.minimum(novelty, 1 - chem.tanimoto(bits, bits[best][None])[:, 0])
        return order[np.array(selected, int)]
