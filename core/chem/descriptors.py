"""RDKit's 2D descriptors as features or labels: a fixed list, robustly scaled."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.chem import molecules as chem
from core.engine.spec import BadInput

# 11 of the 217 take a third of the time; qed is a function of the others
SLOW_DESCRIPTORS = ("qed", "SPS", "Ipc", "BCUT2D_")
CLIP_SPREADS = 6.0  # scaled values are clipped to this many spreads
TAIL_SHARE = 0.005  # share at either end that is clipped for centre and spread


def descriptor_names(quick: bool = False) -> tuple[str, ...]:
    """RDKit's 217 descriptors in its own order; `quick`: without the slow ones (a third of the time)."""
    from rdkit.Chem import Descriptors

    every = (name for name, _ in Descriptors.descList)
    return tuple(name for name in every if not (quick and name.startswith(SLOW_DESCRIPTORS)))


def compute_descriptors(smiles: Sequence[str], quick: bool = False) -> np.ndarray:
    """Descriptors, float32 (n, p), one row per molecule; NaN where undefined or infinite. Raises `BadInput`.

    3 to 5 ms per molecule; the last 50,000 are cached.
    """
    values = (
        np.stack([_row(text, quick) for text in smiles]) if len(smiles) else np.empty((0, len(descriptor_names(quick))))
    )
    return values.astype(np.float32)


def compute_named_descriptors(smiles: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Only these descriptors, float64 (n, p); NaN where undefined. Some tens of µs each. Raises `BadInput`."""
    from rdkit.Chem import Descriptors

    functions = dict(Descriptors.descList)
    molecules = [chem.parse(text) for text in smiles]
    values = np.array([[functions[name](molecule) for name in wanted] for molecule in molecules], float)
    return np.where(np.isfinite(values), values, np.nan).reshape(len(smiles), len(wanted))


@functools.lru_cache(maxsize=50_000)
def _row(smiles: str, quick: bool) -> np.ndarray:
    return descriptor_row(chem.parse(smiles), quick)


def descriptor_row(molecule: Any, quick: bool = False) -> np.ndarray:
    """The descriptors of one RDKit molecule, float32 (p,)."""
    values = []
    for function in _functions(quick):
        try:
            values.append(function(molecule))
        except (ValueError, ZeroDivisionError, RuntimeError, OverflowError):  # as in RDKit's CalcMolDescriptors
            values.append(np.nan)
    with np.errstate(over="ignore"):
        row = np.array(values, float).astype(np.float32)
    row[~np.isfinite(row)] = np.nan
    return row


@functools.cache
def _functions(quick: bool) -> tuple[Any, ...]:
    from rdkit.Chem import Descriptors

    functions = dict(Descriptors.descList)
    return tuple(functions[name] for name in descriptor_names(quick))


@dataclass(frozen=True, eq=False)
class Scaling:
    """Scales columns (p,) to centre 0 and spread 1 and clips them to ± `CLIP_SPREADS`.

    Centre and spread are the winsorised mean and standard deviation (`TAIL_SHARE` at either end). A column whose only
    variation is rarer than that, such as a rare group, uses all its values.
    """

    names: tuple[str, ...]
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, names: Sequence[str]) -> "Scaling":
        """From values (n, p) with gaps; constant and empty columns are left out. Raises `BadInput` if none is left."""
        varying, centres, spreads = [], [], []
        for column, name in enumerate(names):
            defined = values[~np.isnan(values[:, column]), column].astype(float)
            if not len(defined) or np.ptp(defined) == 0:
                continue
            clipped = np.clip(defined, *np.quantile(defined, (TAIL_SHARE, 1 - TAIL_SHARE)))
            if clipped.std() < 1e-6 * max(1.0, abs(clipped.mean())):
                clipped = defined
            varying.append(name)
            centres.append(clipped.mean())
            spreads.append(clipped.std())
        if not varying:
            raise BadInput("no descriptor varies over these molecules; give different molecules")
        return cls(tuple(varying), np.array(centres), np.array(spreads))

    def __call__(self, values: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Scaled values float32 (n, p of the scaling) of values (n, columns `descriptor_names`); gaps stay NaN."""
        index = {name: column for column, name in enumerate(names)}
        scaled = (values[:, [index[name] for name in self.names]].astype(float) - self.centre) / self.spread
        return np.clip(scaled, -CLIP_SPREADS, CLIP_SPREADS).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        return {"names": list(self.names), "centre": self.centre.tolist(), "spread": self.spread.tolist()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Scaling":
        return cls(tuple(record["names"]), np.array(record["centre"]), np.array(record["spread"]))
