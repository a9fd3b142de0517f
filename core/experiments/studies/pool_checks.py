"""The pool of a study, and what is checked of it before hours of training."""

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
    """The pool of a study, looked at beside the fit's parts before anything is trained."""

    kind: ClassVar[str] = "study-pool"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.05

    pool: Spec[Dataset] = Field(description="labelled candidate molecules")
    train: Spec[Dataset] = Field(description="training part that they would join")
    test: Spec[Dataset] = Field(description="test part")
    count: int = Field(default=100, ge=1, description="molecules that a sampler selects")

    def make(self, report: Report, pool: Dataset, train: Dataset, test: Dataset) -> Dataset:
        """The pool as it is. Raises `BadInput` where a study of it could not end, or would prove nothing."""
        check_same_tasks((train, pool))
        labelled = int((~np.isnan(pool.targets).all(1)).sum())
        if self.count > labelled:
            raise BadInput(
                f"an arm is to keep {self.count} molecules, the pool has {labelled} with a label; lower `count` or "
                "give a larger pool"
            )
        measured = int((~np.isnan(test.targets[:, 0])).sum()) if test.tasks else 0
        if measured < 2:
            raise BadInput(
                f"the test part has {measured} labels of {train.tasks[0]!r}, at least 2 are needed to tell a difference"
            )
        tested = {chem.stereo_free_smiles(smiles) for smiles in test.smiles}
        shared = sum(chem.stereo_free_smiles(smiles) in tested for smiles in pool.smiles)
        if 2 * shared > len(pool):
            raise BadInput(
                f"{shared} of {len(pool)} pool molecules are test molecules (stereo marks aside): training on them "
                "proves nothing; take them out of the pool, or test on others"
            )
        return pool
