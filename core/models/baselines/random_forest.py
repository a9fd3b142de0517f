"""Random forest: the mean of many deep trees, each grown on a bootstrap sample."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from pydantic import Field

from core.chem.features import Columns
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import settings
from core.models.baselines.forest_growth import fit_in_slices


@settings
class RandomForest:
    """The mean of deep trees, each grown on a bootstrap sample of the molecules (Breiman, 2001).

    Robust and easy to set; its predictions never leave the range of the training labels.
    """

    kind: ClassVar[str] = "random-forest"
    name: ClassVar[str] = "random forest"
    most: ClassVar[int | None] = None  # largest number of training molecules

    features: Columns = Field(default="descriptors", description="molecular features")
    trees: int = Field(default=100, ge=1, le=10_000, description="number of trees")
    share: float = Field(default=0.3, gt=0, le=1, description="share of the columns that each split considers")

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, kind: str, seed: int, report: Report = SILENT_REPORT
    ) -> Callable[[np.ndarray], np.ndarray]:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        estimator = RandomForestClassifier if kind == "binary" else RandomForestRegressor
        model = estimator(max_features=self.share, random_state=seed)
        fit_in_slices(
            model, "n_estimators", self.trees, features, labels.astype(int) if kind == "binary" else labels, report
        )
        return lambda rows: model.predict_proba(rows)[:, 1] if kind == "binary" else model.predict(rows)
