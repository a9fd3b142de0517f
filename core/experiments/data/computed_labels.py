"""ComputedLabels: the molecules of a table with RDKit descriptors as labels, marked as computed."""

from typing import ClassVar

import numpy as np
from pydantic import Field
from rdkit.Chem import Descriptors

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings

DESCRIPTORS = dict(Descriptors.descList)


@settings
class ComputedLabels(Spec[Dataset]):
    """The molecules of a table with computed properties in place of measured labels."""

    kind: ClassVar[str] = "computed-labels"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.1

    table: Spec[Dataset] = Field(description="the table with the molecules")
    properties: tuple[str, ...] = Field(
        default=("MolLogP", "TPSA", "MolMR"), description="names of RDKit descriptors; each becomes a task"
    )

    def __post_init__(self) -> None:
        unknown = [name for name in self.properties if name not in DESCRIPTORS]
        if unknown or not self.properties:
            raise BadInput(
                f"`properties` wants names of RDKit's descriptors such as MolLogP or TPSA; got {unknown or 'none'}"
            )

    @property
    def title(self) -> str:
        return f"computed properties of {self.table.title.removeprefix('load ')}"

    def make(self, report: Report, table: Dataset) -> Dataset:
        values = np.empty((len(table), len(self.properties)))
        for row, smiles in enumerate(table.smiles):
            if row % 200 == 0:
                report(row / len(table), f"computed properties of {row:,} of {len(table):,} molecules")
            molecule = chem.parse(smiles)
            values[row] = [DESCRIPTORS[name](molecule) for name in self.properties]
        values[~np.isfinite(values)] = np.nan
        return Dataset(
            smiles=table.smiles,
            targets=values,
            tasks=self.properties,
            provenance={
                **table.provenance,
                "kinds": ["regression"] * len(self.properties),
                "computed": "by RDKit",
            },
        )
