"""Retraining with random subsets of a pool: the measured losses that scores of the pool are checked against."""

import contextlib
import shutil
import time
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.data.concat import concatenate
from core.influence.lds import random_subsets
from core.influence.scope import check_gradient
from core.results.datamodel_check import SubsetLosses
from core.results.fit import Fit
from core.stats.metrics import CLIP
from core.stats.temperature import cross_entropies, fit_temperatures

MAX_TEST_ROWS = 8  # test molecules of a retraining, whose predictions are not used
SCRATCH_REVISION = 2  # raised when the scratch files of a training change


@settings
class SubsetRetraining(Spec[SubsetLosses]):
    """Retrain a model with random subsets of a pool added to its training set, with the same settings and seed.

    The base loss is of a training without the pool. Only the predictions for the target are stored, not the networks.
    """

    kind: ClassVar[str] = "subset-retraining"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 30.0

    fit: Spec[Fit] = Field(description="the fine-tuning to repeat")
    pool: Spec[Dataset] = Field(description="molecules; random subsets of them join the training set")
    target: Spec[Dataset] = Field(description="molecules whose loss is measured: the validation set")
    subsets: int = Field(default=32, ge=4, le=10_000, description="number of retrainings, each with another subset")
    share: float = Field(default=0.5, gt=0, lt=1, description="fraction of the pool in each subset")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="random seed of the subsets")

    def __post_init__(self) -> None:
        check_gradient(self.fit)

    @property
    def title(self) -> str:
        return f"{self.subsets} retrainings with random subsets of the {self.pool.title}"

    def parts(self) -> dict[str, Any]:
        fit_parts = {name: value for name, value in self.fit.parts().items() if isinstance(value, Spec)}
        return {"pool": self.pool, "target": self.target, **fit_parts}

    def make(self, report: Report, pool: Dataset, target: Dataset, train: Dataset, **parts: Any) -> SubsetLosses:
        import torch

        from core.models.predictor import Predictor
        from core.models.sealed_tensors import load_sealed, save_sealed

        if pool.tasks != train.tasks or target.tasks != train.tasks:
            raise BadInput(
                f"pool and target must have the tasks {list(train.tasks)} of the fit; choose the same target columns"
            )
        began, scratch = time.monotonic(), report.folder()
        if "test" in parts:  # its predictions are not used
            parts["test"] = parts["test"].take(np.flatnonzero(~np.isnan(parts["test"].targets).all(1))[:MAX_TEST_ROWS])
        members = np.concatenate(
            [np.zeros((1, len(pool)), bool), random_subsets(len(pool), self.subsets, self.share, self.seed)]
        )
        spread = np.nanstd(train.targets, axis=0)
        target_predictions, n_trained = [], 0
        for number, subset in enumerate(members):
            saved = scratch / f"predictions-{SCRATCH_REVISION}-{number}.safetensors"
            with contextlib.suppress(ValueError):  # missing, or changed: trained again
                target_predictions.append(load_sealed(saved)[0]["predictions"].numpy())
            if len(target_predictions) == number:
                message = f"retraining {number} of {self.subsets}"
                folder = scratch / "fit"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                part = report.part(number / len(members), (number + 1) / len(members), folder, retraining=number)
                part(0, message)
                table = concatenate((train, pool.take(np.flatnonzero(subset)))) if subset.any() else train
                fit = self.fit.make(part, train=table, **parts)
                predictions = Predictor.load(fit.folder / "predictor").predict(list(target.smiles))
                save_sealed(saved, {"predictions": torch.from_numpy(predictions)}, "")
                target_predictions.append(predictions)
                shutil.rmtree(folder, ignore_errors=True)
                n_trained += 1
        predictions = np.stack(target_predictions)
        losses = np.array(
            [target_loss(target.targets, subset_prediction, train.kinds, spread) for subset_prediction in predictions]
        )
        record = {
            "fit": self.fit.key,
            "base_loss": float(losses[0]),
            "subsets": self.subsets,
            "members": int(members[1].sum()),
            "spread": float(losses[1:].std(ddof=1)),
            "rows": {"train": len(train), "pool": len(pool), "target": len(target)},
            "digests": {"train": train.digest, "pool": pool.digest, "target": target.digest},
            "seconds": time.monotonic() - began,
            "trained_now": n_trained,
            "seed": self.seed,
        }
        return SubsetLosses(members[1:], losses[1:], predictions[1:], record)


def target_loss(labels: np.ndarray, predictions: np.ndarray, kinds: tuple[str, ...], spread: np.ndarray) -> float:
    """Mean loss over the measured values, in the unit of scores: label units² for a single regression task.

    With several tasks, regression errors are in units of the task's `spread` (t,). The cross-entropy of binary tasks is
    in nat, at the temperature that fits best. `labels` and `predictions` are (n, t), NaN where unmeasured.
    """
    binary = np.array([kind == "binary" for kind in kinds])
    unit = np.ones(len(kinds)) if tuple(kinds) == ("regression",) else np.where(binary, 1.0, spread)
    cells = ((predictions - labels) / unit) ** 2
    for task in np.flatnonzero(binary):
        measured = ~np.isnan(labels[:, task])
        chance = np.clip(predictions[measured, task], CLIP, 1 - CLIP)
        logits, flags = np.log(chance / (1 - chance)), labels[measured, task]
        cells[measured, task] = cross_entropies(logits / fit_temperatures(logits[None], flags), flags)
    return float(np.nanmean(np.where(np.isnan(labels), np.nan, cells)))
