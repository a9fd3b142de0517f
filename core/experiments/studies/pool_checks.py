"""The pool of a study, checked before any training."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.data.concat import check_same_tasks


@settings
class CheckedPool(Spec[Dataset]):
    """The pool of a study, checked against the training and test sets before any training."""

    kind: ClassVar[str] = "study-pool"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.05

    pool: Spec[Dataset] = Field(description="labelled candidate molecules")
    train: Spec[Dataset] = Field(description="training set that they would extend")
    test: Spec[Dataset] = Field(description="test set")
    count: int = Field(default=100, ge=1, description="molecules that a sampler selects")

    def make(self, report: Report, pool: Dataset, train: Dataset, test: Dataset) -> Dataset:
        """The unchanged pool. Raises `BadInput` if a study could not finish or its result would be meaningless."""
        check_same_tasks((train, pool))
        labelled = int((~np.isnan(pool.targets).all(1)).sum())
        if self.count > labelled:
            raise BadInput(
                f"an arm selects {self.count} molecules, the pool has {labelled} with a label; lower `count` or give "
                "a larger pool"
            )
        measured = int((~np.isnan(test.targets[:, 0])).sum()) if test.tasks else 0
        if measured < 2:
            raise BadInput(
                f"the test set has {measured} labels of {train.tasks[0]!r}, at least 2 are needed for a comparison"
            )
        tested = {chem.stereo_free_smiles(smiles) for smiles in test.smiles}
        shared = sum(chem.stereo_free_smiles(smiles) in tested for smiles in pool.smiles)
        if 2 * shared > len(pool):
            raise BadInput(
                f"{shared} of {len(pool)} pool molecules are test molecules (stereochemistry ignored), so the test "
                "error would be meaningless; remove them from the pool, or choose another test set"
            )
        return pool
