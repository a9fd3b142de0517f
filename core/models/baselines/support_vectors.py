"""Support vector machines with a radial kernel."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from pydantic import Field

from core.chem.features import Columns
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput, settings

FOLDS = 5  # of the calibration of probabilities


@settings
class SupportVectors:
    """Support vector regression or classification: the baseline to beat on small tables of descriptors.

    Drucker et al. 1997, with a radial kernel; its width follows from the number of columns and their variance. Labels
    are standardised first, so `epsilon` is in standard deviations. A binary task uses the classifier; a sigmoid fitted
    across folds turns its margins into probabilities (Platt, 1999). The cost grows with the square of the number of
    molecules: beyond `most`, a random sample is used. The seed sets the sample and the folds; otherwise the regression
    is deterministic.
    """

    kind: ClassVar[str] = "support-vectors"
    name: ClassVar[str] = "support vectors"

    features: Columns = Field(default="descriptors", description="molecular features")
    penalty: float = Field(default=10.0, gt=0, description="C: penalty of an error, against smoothness")
    epsilon: float = Field(
        default=0.1, ge=0, description="ε: errors below this are ignored, in standard deviations of the labels"
    )
    most: int = Field(default=10_000, ge=10, description="training molecules, at most; of more, a random sample")

    def __call__(
        self, features: np.ndarray, labels: np.ndarray, kind: str, seed: int, report: Report = SILENT_REPORT
    ) -> Callable[[np.ndarray], np.ndarray]:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.model_selection import StratifiedKFold
        from sklearn.svm import SVC, SVR

        report(0, f"solving for {min(len(labels), self.most):,} molecules")  # one call, which cannot be cancelled
        if len(labels) > self.most:
            sample = np.random.default_rng(seed).permutation(len(labels))[: self.most]
            features, labels = features[sample], labels[sample]
        if kind == "binary":
            folds = min(FOLDS, int((labels == 0).sum()), int((labels == 1).sum()))
            if folds < 2:
                raise BadInput(
                    f"{self.kind} needs 2 molecules of each class to calibrate probabilities, got "
                    f"{int((labels == 0).sum())} with 0 and {int((labels == 1).sum())} with 1; use a larger table"
                )
            splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
            model = CalibratedClassifierCV(SVC(C=self.penalty), method="sigmoid", cv=splitter, ensemble=False)
            model.fit(features, labels.astype(int))
            return lambda rows: model.predict_proba(rows)[:, 1]
        centre, spread = labels.mean(), labels.std()
        model = SVR(C=self.penalty, epsilon=self.epsilon).fit(features, (labels - centre) / spread)
        return lambda rows: model.predict(rows) * spread + centre
