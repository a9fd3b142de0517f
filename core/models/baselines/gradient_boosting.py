"""Gradient boosting: small trees one after another, each fitted to the remaining errors."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from pydantic import Field

from core.chem.features import Columns
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import settings
from core.models.baselines.forest_growth import fit_in_slices


@settings
class GradientBoosting:
    """Shallow trees one after another, each fitted to the errors of those before it, over binned columns.

    Friedman (2001, doi:10.1214/aos/1013203451), with the histograms of LightGBM (Ke et al., 2017). Every split
    considers a random share of the columns, which is faster and decorrelates the trees. All `trees` are grown: no early
    stopping.
    """

    kind: ClassVar[str] = "gradient-boosting"
    name: ClassVar[str] = "gradient boosting"
    most: ClassVar[int | None] = None  # largest number of training molecules

    features: Columns = Field(default="descriptors", description="molecular features")
    trees: int = Field(default=300, ge=1, le=10_000, description="number of trees")
    learning_rate: float = Field(default=0.05, gt=0, le=1, description="learning rate: the weight of each tree")
    share: float = Field(default=0.3, gt=0, le=1, description="share of the columns that each split considers")

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, kind: str, seed: int, report: Report = SILENT_REPORT
    ) -> Callable[[np.ndarray], np.ndarray]:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        estimator = HistGradientBoostingClassifier if kind == "binary" else HistGradientBoostingRegressor
        model = estimator(
            learning_rate=self.learning_rate,
            max_features=self.share,
            early_stopping=False,
            random_state=seed,
        )
        fit_in_slices(
            model, "max_iter", self.trees, features, labels.astype(int) if kind == "binary" else labels, report
        )
        return lambda rows: model.predict_proba(rows)[:, 1] if kind == "binary" else model.predict(rows)
