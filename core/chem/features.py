"""Columns of a molecule without a network: RDKit's descriptors, scaled, its fingerprint, or both.

A learner sees nothing else; in a predictor they stand beside the embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.chem import descriptors as properties
from core.chem import molecules as chem
from core.engine.report import SILENT_REPORT, Report

Columns = Literal["descriptors", "fingerprints", "both"]
CHUNK_MOLECULES = 200  # molecules between two looks at whether someone cancelled: descriptors take milliseconds each


@dataclass(frozen=True, eq=False)
class Features:
    """Turns molecules into rows of numbers; the scaling is that of the training molecules, whoever comes later."""

    columns: Columns
    scaling: properties.Scaling | None  # None where no descriptors are wanted
    quick: bool = False  # without the descriptors that take a third of the time
    counted: bool = False  # log(1 + how often a pattern occurs), not whether it does

    @classmethod
    def fit_rows(
        cls,
        columns: Columns,
        train: Sequence[str],
        report: Report = SILENT_REPORT,
        quick: bool = False,
        counted: bool = False,
    ) -> "tuple[Features, np.ndarray]":
        """From training molecules alone, and their own rows. Raises `BadInput` where no descriptor varies over them."""
        values = None if columns == "fingerprints" else _compute_descriptors(train, quick, report)
        scaling = None if values is None else properties.Scaling.of(values, properties.descriptor_names(quick))
        made = cls(columns, scaling, quick, counted)
        return made, made._rows(train, values)

    def __call__(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> np.ndarray:
        """Rows float32 (n, p): scaled descriptors (what is undefined stands at the centre, 0), then the fingerprint."""
        return self._rows(smiles, None if self.scaling is None else _compute_descriptors(smiles, self.quick, report))

    def _rows(self, smiles: Sequence[str], values: np.ndarray | None) -> np.ndarray:
        found = []
        if self.scaling is not None and values is not None:
            found.append(np.nan_to_num(self.scaling(values, properties.descriptor_names(self.quick)), nan=0.0))
        if self.columns != "descriptors":
            patterns = chem.fingerprints(smiles, self.counted).astype(np.float32)
            found.append(np.log1p(patterns) if self.counted else patterns)
        return np.hstack(found)

    @property
    def width(self) -> int:
        """Number p of columns."""
        return self.descriptors + (chem.BITS if self.columns != "descriptors" else 0)

    @property
    def descriptors(self) -> int:
        """How many descriptors are among the columns."""
        return 0 if self.scaling is None else len(self.scaling.names)

    @property
    def words(self) -> str:
        """`209 descriptors and 2,048 fingerprint bits`."""
        named = [f"{self.descriptors} descriptors"] if self.descriptors else []
        what = "counts" if self.counted else "bits"
        named += [f"{chem.BITS:,} fingerprint {what}"] if self.columns != "descriptors" else []
        return " and ".join(named)

    def to_json(self) -> dict[str, Any]:
        scaling = self.scaling.to_json() if self.scaling is not None else None
        return {"columns": self.columns, "scaling": scaling, "quick": self.quick, "counted": self.counted}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Features":
        scaling = found["scaling"]
        scaling = properties.Scaling.from_json(scaling) if scaling is not None else None
        return cls(found["columns"], scaling, found.get("quick", False), found.get("counted", False))


def _compute_descriptors(smiles: Sequence[str], quick: bool, report: Report) -> np.ndarray:
    found = [properties.compute_descriptors((), quick)]
    for start in range(0, len(smiles), CHUNK_MOLECULES):
        report(start / len(smiles), f"descriptors, {start:,} of {len(smiles):,} molecules")
        found.append(properties.compute_descriptors(smiles[start : start + CHUNK_MOLECULES], quick))
    return np.concatenate(found)
