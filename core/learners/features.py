"""What a learner sees of a molecule: RDKit's descriptors, scaled, the bits of its fingerprint, or both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core import chem, properties
from core.report import SILENT, Report

Columns = Literal["descriptors", "fingerprints", "both"]
CHUNK = 200  # molecules between two looks at whether someone cancelled: descriptors take milliseconds each


@dataclass(frozen=True, eq=False)
class Features:
    """Turns molecules into rows of numbers; the scaling is that of the training molecules, whoever comes later."""

    columns: Columns
    scaling: properties.Scaling | None  # None where no descriptors are wanted

    @classmethod
    def fitted(cls, columns: Columns, train: Sequence[str], report: Report = SILENT) -> "tuple[Features, np.ndarray]":
        """From training molecules alone, and their own rows. Raises `BadInput` where no descriptor varies over them."""
        values = None if columns == "fingerprints" else _measured(train, report)
        made = cls(columns, None if values is None else properties.Scaling.of(values, properties.names()))
        return made, made._rows(train, values)

    def __call__(self, smiles: Sequence[str], report: Report = SILENT) -> np.ndarray:
        """Rows float32 (n, p): scaled descriptors, then 2,048 bits. What is undefined stands at the centre, 0."""
        return self._rows(smiles, None if self.scaling is None else _measured(smiles, report))

    def _rows(self, smiles: Sequence[str], values: np.ndarray | None) -> np.ndarray:
        found = []
        if self.scaling is not None:
            found.append(np.nan_to_num(self.scaling(values, properties.names()), nan=0.0))
        if self.columns != "descriptors":
            found.append(chem.fingerprints(smiles).astype(np.float32))
        return np.hstack(found)

    @property
    def descriptors(self) -> int:
        """How many descriptors are among the columns."""
        return 0 if self.scaling is None else len(self.scaling.names)

    @property
    def words(self) -> str:
        """`209 descriptors and 2,048 fingerprint bits`."""
        named = [f"{self.descriptors} descriptors"] if self.descriptors else []
        named += [f"{chem.BITS:,} fingerprint bits"] if self.columns != "descriptors" else []
        return " and ".join(named)

    def to_json(self) -> dict[str, Any]:
        return {"columns": self.columns, "scaling": self.scaling.to_json() if self.scaling is not None else None}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Features":
        scaling = found["scaling"]
        return cls(found["columns"], properties.Scaling.from_json(scaling) if scaling is not None else None)


def _measured(smiles: Sequence[str], report: Report) -> np.ndarray:
    found = [properties.measured(())]
    for start in range(0, len(smiles), CHUNK):
        report(start / len(smiles), f"descriptors, {start:,} of {len(smiles):,} molecules")
        found.append(properties.measured(smiles[start : start + CHUNK]))
    return np.concatenate(found)
