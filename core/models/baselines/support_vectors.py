"""Support vectors: a smooth function held up by some of the training molecules."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from pydantic import Field

from core.chem.features import Columns
from core.engine.report import SILENT, Report
from core.engine.spec import BadInput, settings

FOLDS = 5  # of the calibration of probabilities


@settings
class SupportVectors:
    """A sum of bell curves around training molecules: the baseline to beat on small tables of descriptors.

    Support vector regression (Drucker et al., 1997) with the radial kernel, its width from the number of columns and
    their variance. Labels are scaled to centre 0 and spread 1 first, so `tube` is in spreads. A binary task gets the
    classifier, its margins made probabilities by a sigmoid fitted across folds (Platt, 1999). The cost grows with the
    square of the molecules: beyond `most` of them a draw is learned from. The seed draws them and deals the folds; else
    regression has no chance in it.
    """

    kind: ClassVar[str] = "support-vectors"
    name: ClassVar[str] = "support vectors"

    features: Columns = Field(default="descriptors", description="what it sees of a molecule")
    penalty: float = Field(default=10.0, gt=0, description="C: what an error costs beside smoothness")
    tube: float = Field(default=0.1, ge=0, description="ε: errors below this count for nothing, in label spreads")
    most: int = Field(default=10_000, ge=10, description="molecules to learn from at most; of more, a random draw")

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, kind: str, seed: int, report: Report = SILENT
    ) -> Callable[[np.ndarray], np.ndarray]:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.model_selection import StratifiedKFold
        from sklearn.svm import SVC, SVR

        report(0, f"solving for {min(len(labels), self.most):,} molecules")  # in one go: it stops before or after
        if len(labels) > self.most:
            drawn = np.random.default_rng(seed).permutation(len(labels))[: self.most]
            features, labels = features[drawn], labels[drawn]
        if kind == "binary":
            folds = min(FOLDS, int((labels == 0).sum()), int((labels == 1).sum()))
            if folds < 2:
                raise BadInput(
                    f"{self.kind} needs 2 molecules of either class to tell probabilities, got "
                    f"{int((labels == 0).sum())} with 0 and {int((labels == 1).sum())} with 1; use a larger table"
                )
            dealt = StratifiedKFold(folds, shuffle=True, random_state=seed)
            model = CalibratedClassifierCV(SVC(C=self.penalty), method="sigmoid", cv=dealt, ensemble=False)
            model.fit(features, labels.astype(int))
            return lambda rows: model.predict_proba(rows)[:, 1]
        centre, spread = labels.mean(), labels.std()
        model = SVR(C=self.penalty, epsilon=self.tube).fit(features, (labels - centre) / spread)
        return lambda rows: model.predict(rows) * spread + centre
