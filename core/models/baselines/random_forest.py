"""A random forest: many deep trees, each of a draw of the molecules, and their mean."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from pydantic import Field

from core.chem.features import Columns
from core.engine.report import SILENT, Report
from core.engine.spec import settings
from core.models.baselines.forest_growth import grown


@settings
class RandomForest:
    """The mean of deep trees, each grown on molecules drawn with replacement (Breiman, 2001).

    Robust and hard to set wrongly; it never says more than the largest training label, nor less than the smallest.
    """

    kind: ClassVar[str] = "random-forest"
    name: ClassVar[str] = "random forest"

    features: Columns = Field(default="descriptors", description="what it sees of a molecule")
    trees: int = Field(default=100, ge=1, le=10_000, description="trees, each by itself")
    share: float = Field(default=0.3, gt=0, le=1, description="share of the columns that a split may choose among")

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, kind: str, seed: int, report: Report = SILENT
    ) -> Callable[[np.ndarray], np.ndarray]:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        chosen = RandomForestClassifier if kind == "binary" else RandomForestRegressor
        model = chosen(max_features=self.share, random_state=seed)
        grown(model, "n_estimators", self.trees, features, labels.astype(int) if kind == "binary" else labels, report)
        return lambda rows: model.predict_proba(rows)[:, 1] if kind == "binary" else model.predict(rows)
