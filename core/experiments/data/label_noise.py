"""LabelNoise: swap labels among some molecules on purpose, to test whether a method detects them."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings


@settings
class LabelNoise(Spec[Dataset]):
    """A table in which a known share of the rows is mislabelled.

    The labels of randomly selected molecules are permuted among them. No molecule keeps its own value where that is
    possible, and the distribution of the labels stays the same. Column `mislabelled` marks the rows with a wrong label;
    `measured:<task>` has the true label.
    """

    kind: ClassVar[str] = "label-noise"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.05

    table: Spec[Dataset] = Field(description="the table to mislabel")
    fraction: float = Field(0.2, gt=0, le=1, description="share of the labelled rows that get the label of another row")
    seed: int = Field(0, ge=0, description="random seed of the rows and of the permutation")

    @property
    def title(self) -> str:
        return f"{self.table.title}, {self.fraction:.0%} mislabelled"

    def make(self, report: Report, table: Dataset) -> Dataset:
        report(0, "swapping labels")
        random = np.random.default_rng(self.seed)
        labelled = np.flatnonzero((~np.isnan(table.targets)).any(axis=1))
        count = round(self.fraction * len(labelled))
        if count < 1:
            raise BadInput(
                f"{self.fraction:g} of {len(labelled)} labelled rows is none; raise `fraction` or use a larger table"
            )
        selected = np.sort(random.choice(labelled, count, replace=False))
        targets = table.targets.copy()
        for column in range(len(table.tasks)):
            rows = selected[~np.isnan(table.targets[selected, column])]
            targets[rows, column] = _rotate_labels(table.targets[:, column], rows, random)
        truth = {f"measured:{task}": values for task, values in zip(table.tasks, table.targets.T, strict=True)}
        truth |= {name: values for name, values in table.columns.items() if name in truth}  # of an earlier label noise
        true = np.column_stack([truth[f"measured:{task}"] for task in table.tasks])
        mislabelled = ((targets != true) & ~np.isnan(targets)).any(axis=1)
        if not mislabelled.any():
            raise BadInput("every label has the same value, so no swapped label is wrong; use another table")
        return Dataset(
            smiles=table.smiles,
            targets=targets,
            tasks=table.tasks,
            unit=table.unit,
            columns={**table.columns, **truth, "mislabelled": mislabelled},
            dropped=table.dropped,
            provenance={
                **table.provenance,
                "kinds": list(table.kinds),
                "mislabelled": {"fraction": self.fraction, "seed": self.seed, "rows": int(mislabelled.sum())},
            },
        )


def _rotate_labels(values: np.ndarray, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """New values for `rows`: a permutation of their values in which no row keeps its value, where there is one.

    A fixed point is swapped with a row so that neither keeps its value. Where one value is too common for that, the
    remaining rows get the different label of a random row of the table.
    """
    old = values[rows]
    new = random.permutation(old)
    for position in random.permutation(np.flatnonzero(new == old)):
        candidates = np.flatnonzero((new != old[position]) & (old != new[position]))
        if new[position] == old[position] and len(candidates):
            other = random.choice(candidates)
            new[position], new[other] = new[other], new[position]
    for position in np.flatnonzero(new == old):
        others = values[~np.isnan(values) & (values != old[position])]
        if len(others):
            new[position] = random.choice(others)
    return new
