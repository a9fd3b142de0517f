"""Retrain: a recipe repeated with random subsets of a pool; what scores of that pool are put to the test with."""

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

MAX_TEST_ROWS = 8  # molecules of the test part that a retraining goes through the motions with
SCRATCH_REVISION = 1  # raised when what a training leaves in the scratch folder changes


@settings
class SubsetRetraining(Spec[SubsetLosses]):
    """Train again and again, each time with another random subset of a pool, by the very recipe and seed of a fit.

    Nothing is kept of the networks but what they predict for the target. Once without any of the pool.
    """

    kind: ClassVar[str] = "subset-retraining"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 30.0

    fit: Spec[Fit] = Field(description="the recipe of the fine-tuning")
    pool: Spec[Dataset] = Field(description="the molecules of which subsets join its training part")
    target: Spec[Dataset] = Field(description="the molecules whose loss is measured: the validation part")
    subsets: int = Field(default=32, ge=4, le=10_000, description="trainings, each with a subset of its own")
    share: float = Field(default=0.5, gt=0, lt=1, description="of the pool, in each subset")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the subsets")

    def __post_init__(self) -> None:
        check_gradient(self.fit)

    @property
    def title(self) -> str:
        return f"{self.subsets} retrainings with random subsets of the {self.pool.title}"

    def parts(self) -> dict[str, Any]:
        own = {name: value for name, value in self.fit.parts().items() if isinstance(value, Spec)}
        return {"pool": self.pool, "target": self.target, **own}

    def make(self, report: Report, pool: Dataset, target: Dataset, train: Dataset, **parts: Any) -> SubsetLosses:
        from core.models.predictor import Predictor

        if pool.tasks != train.tasks or target.tasks != train.tasks:
            raise BadInput(
                f"pool and target have to measure {list(train.tasks)} as the fit does; choose the same targets"
            )
        began, scratch = time.monotonic(), report.folder()
        if "test" in parts:  # whose predictions would be thrown away
            parts["test"] = parts["test"].take(np.flatnonzero(~np.isnan(parts["test"].targets).all(1))[:MAX_TEST_ROWS])
        members = np.concatenate(
            [np.zeros((1, len(pool)), bool), random_subsets(len(pool), self.subsets, self.share, self.seed)]
        )
        spread = np.nanstd(train.targets, axis=0)
        found, done = [], 0
        for number, mine in enumerate(members):
            kept = scratch / f"predictions-{SCRATCH_REVISION}-{number}.npy"
            if not kept.exists():
                words = f"retraining {number} of {self.subsets}"
                folder = scratch / "fit"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                part = report.part(number / len(members), (number + 1) / len(members), folder, retraining=number)
                part(0, words)
                table = concatenate((train, pool.take(np.flatnonzero(mine)))) if mine.any() else train
                fit = self.fit.make(part, train=table, **parts)
                predictions = Predictor.load(fit.folder / "predictor").predict(list(target.smiles))
                draft = kept.with_suffix(".draft.npy")
                np.save(draft, predictions)
                draft.replace(kept)
                shutil.rmtree(folder, ignore_errors=True)
                done += 1
            found.append(np.load(kept, allow_pickle=False))
        predictions = np.stack(found)
        losses = np.array([target_loss(target.targets, one, train.kinds, spread) for one in predictions])
        record = {
            "fit": self.fit.key,
            "base_loss": float(losses[0]),
            "subsets": self.subsets,
            "members": int(members[1].sum()),
            "spread": float(losses[1:].std(ddof=1)),
            "rows": {"train": len(train), "pool": len(pool), "target": len(target)},
            "digests": {"train": train.digest, "pool": pool.digest, "target": target.digest},
            "seconds": time.monotonic() - began,
            "trained_now": done,
            "seed": self.seed,
        }
        return SubsetLosses(members[1:], losses[1:], predictions[1:], record)


def target_loss(labels: np.ndarray, predictions: np.ndarray, kinds: tuple[str, ...], spread: np.ndarray) -> float:
    """Mean over the measured cells, in the unit of scores: label units² of a single regression task.

    Otherwise each regression task in units of its spread, each binary one in nat, at the temperature that fits it best.
    """
    binary = np.array([kind == "binary" for kind in kinds])
    unit = np.ones(len(kinds)) if tuple(kinds) == ("regression",) else np.where(binary, 1.0, spread)
    cells = ((predictions - labels) / unit) ** 2
    for task in np.flatnonzero(binary):
        known = ~np.isnan(labels[:, task])
        chance = np.clip(predictions[known, task], CLIP, 1 - CLIP)
        logits, flags = np.log(chance / (1 - chance)), labels[known, task]
        cells[known, task] = cross_entropies(logits / fit_temperatures(logits[None], flags), flags)
    return float(np.nanmean(np.where(np.isnan(labels), np.nan, cells)))
