"""Molecular features: scaled RDKit descriptors, a fingerprint, or both.

The only input of a baseline; in a predictor they are appended to the embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.chem import descriptors as properties
from core.chem import molecules as chem
from core.engine.report import SILENT_REPORT, Report

Columns = Literal["descriptors", "fingerprints", "both"]
CHUNK_MOLECULES = 200  # molecules between progress reports: descriptors take milliseconds each


@dataclass(frozen=True, eq=False)
class Features:
    """Computes features of molecules; the scaling is fitted on the training molecules."""

    columns: Columns
    scaling: properties.Scaling | None  # None without descriptors
    quick: bool = False  # without the slow descriptors
    counted: bool = False  # log(1 + count) of each pattern instead of bits

    @classmethod
    def fit_rows(
        cls,
        columns: Columns,
        train: Sequence[str],
        report: Report = SILENT_REPORT,
        quick: bool = False,
        counted: bool = False,
    ) -> "tuple[Features, np.ndarray]":
        """Fit on training molecules; also their rows (n, p). Raises `BadInput` if no descriptor varies."""
        values = None if columns == "fingerprints" else _compute_descriptors(train, quick, report)
        scaling = None if values is None else properties.Scaling.of(values, properties.descriptor_names(quick))
        features = cls(columns, scaling, quick, counted)
        return features, features._rows(train, values)

    def __call__(self, smiles: Sequence[str], report: Report = SILENT_REPORT) -> np.ndarray:
        """Rows float32 (n, p): scaled descriptors (0, the centre, where undefined), then the fingerprint."""
        return self._rows(smiles, None if self.scaling is None else _compute_descriptors(smiles, self.quick, report))

    def _rows(self, smiles: Sequence[str], values: np.ndarray | None) -> np.ndarray:
        blocks = []
        if self.scaling is not None and values is not None:
            blocks.append(np.nan_to_num(self.scaling(values, properties.descriptor_names(self.quick)), nan=0.0))
        if self.columns != "descriptors":
            patterns = chem.fingerprints(smiles, self.counted).astype(np.float32)
            blocks.append(np.log1p(patterns) if self.counted else patterns)
        return np.hstack(blocks)

    @property
    def width(self) -> int:
        """Number p of columns."""
        return self.descriptors + (chem.BITS if self.columns != "descriptors" else 0)

    @property
    def descriptors(self) -> int:
        """Number of descriptors among the columns."""
        return 0 if self.scaling is None else len(self.scaling.names)

    @property
    def words(self) -> str:
        """`209 descriptors and 2,048 fingerprint bits`."""
        texts = [f"{self.descriptors} descriptors"] if self.descriptors else []
        what = "counts" if self.counted else "bits"
        texts += [f"{chem.BITS:,} fingerprint {what}"] if self.columns != "descriptors" else []
        return " and ".join(texts)

    def to_json(self) -> dict[str, Any]:
        scaling = self.scaling.to_json() if self.scaling is not None else None
        return {"columns": self.columns, "scaling": scaling, "quick": self.quick, "counted": self.counted}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Features":
        scaling = record["scaling"]
        scaling = properties.Scaling.from_json(scaling) if scaling is not None else None
        return cls(record["columns"], scaling, record.get("quick", False), record.get("counted", False))


def _compute_descriptors(smiles: Sequence[str], quick: bool, report: Report) -> np.ndarray:
    blocks = [properties.compute_descriptors((), quick)]
    for start in range(0, len(smiles), CHUNK_MOLECULES):
        report(start / len(smiles), f"descriptors, {start:,} of {len(smiles):,} molecules")
        blocks.append(properties.compute_descriptors(smiles[start : start + CHUNK_MOLECULES], quick))
    return np.concatenate(blocks)
