"""Plant: give some molecules the labels of others, to see whether that is found out."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings


@settings
class LabelNoise(Spec[Dataset]):
    """A table in which a known share of the labels is wrong.

    The labels of randomly chosen molecules are handed round among them, so that none keeps its own value where that is
    possible and the labels as a whole stay what they were. Column `planted` says which rows have a wrong label,
    `measured:<task>` keeps the true one.
    """

    kind: ClassVar[str] = "label-noise"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.05

    table: Spec[Dataset] = Field(description="the table that gets wrong labels")
    fraction: float = Field(0.2, gt=0, le=1, description="share of the labelled rows that get the label of another")
    seed: int = Field(0, ge=0, description="draws the rows and who gets whose label")

    @property
    def title(self) -> str:
        return f"{self.table.title}, {self.fraction:.0%} of its labels planted"

    def make(self, report: Report, table: Dataset) -> Dataset:
        report(0, "planting labels")
        random = np.random.default_rng(self.seed)
        labelled = np.flatnonzero((~np.isnan(table.targets)).any(axis=1))
        count = round(self.fraction * len(labelled))
        if count < 1:
            raise BadInput(
                f"{self.fraction:g} of {len(labelled)} labelled rows is none; raise `fraction` or take a larger table"
            )
        chosen = np.sort(random.choice(labelled, count, replace=False))
        targets = table.targets.copy()
        for column in range(len(table.tasks)):
            rows = chosen[~np.isnan(table.targets[chosen, column])]
            targets[rows, column] = _rotate_labels(table.targets[:, column], rows, random)
        truth = {f"measured:{task}": values for task, values in zip(table.tasks, table.targets.T, strict=True)}
        truth |= {name: values for name, values in table.columns.items() if name in truth}  # planted before
        true = np.column_stack([truth[f"measured:{task}"] for task in table.tasks])
        planted = ((targets != true) & ~np.isnan(targets)).any(axis=1)
        if not planted.any():
            raise BadInput("every label has the same value, so no other molecule's label is wrong; take another table")
        return Dataset(
            smiles=table.smiles,
            targets=targets,
            tasks=table.tasks,
            unit=table.unit,
            columns={**table.columns, **truth, "mislabelled": planted},
            dropped=table.dropped,
            provenance={
                **table.provenance,
                "kinds": list(table.kinds),
                "mislabelled": {"fraction": self.fraction, "seed": self.seed, "rows": int(planted.sum())},
            },
        )


def _rotate_labels(values: np.ndarray, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """New values for `rows`: a permutation of their own in which none keeps its value, where there is one.

    A fixed point is swapped with a row for which the swap mends it and spoils nothing. Where one value is too common
    for that, the rest get the label of any row of the table that has another one.
    """
    old = values[rows]
    new = random.permutation(old)
    for place in random.permutation(np.flatnonzero(new == old)):
        able = np.flatnonzero((new != old[place]) & (old != new[place]))
        if new[place] == old[place] and len(able):
            other = random.choice(able)
            new[place], new[other] = new[other], new[place]
    for place in np.flatnonzero(new == old):
        others = values[~np.isnan(values) & (values != old[place])]
        if len(others):
            new[place] = random.choice(others)
    return new
