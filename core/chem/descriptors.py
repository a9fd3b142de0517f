"""RDKit's 2D descriptors as numbers to learn from, or to learn: a fixed list, scaled so that outliers do no harm."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.chem import molecules as chem
from core.engine.spec import BadInput

SLOW_DESCRIPTORS = (
    "qed",
    "SPS",
    "Ipc",
    "BCUT2D_",
)  # a third of the time for 11 of the 217, qed being a function of the others
CLIP_SPREADS = 6.0  # scaled values are held within this many spreads of the centre
TAIL_SHARE = 0.005  # share at either end that has no say in centre and spread


def descriptor_names(quick: bool = False) -> tuple[str, ...]:
    """RDKit's 217 descriptors in its own order; `quick`: without those that take a third of the time."""
    from rdkit.Chem import Descriptors

    every = (name for name, _ in Descriptors.descList)
    return tuple(name for name in every if not (quick and name.startswith(SLOW_DESCRIPTORS)))


def compute_descriptors(smiles: Sequence[str], quick: bool = False) -> np.ndarray:
    """Descriptors, float32 (n, p), a row a molecule; NaN where one is undefined or infinite. Raises `BadInput`.

    3 to 5 ms a molecule the first time; the last 50,000 are remembered.
    """
    found = (
        np.stack([_row(text, quick) for text in smiles]) if len(smiles) else np.empty((0, len(descriptor_names(quick))))
    )
    return found.astype(np.float32)


def compute_named_descriptors(smiles: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Only these descriptors, float64 (n, p); NaN where one is undefined. Some tens of µs each. Raises `BadInput`."""
    from rdkit.Chem import Descriptors

    known = dict(Descriptors.descList)
    molecules = [chem.parse(text) for text in smiles]
    values = np.array([[known[name](molecule) for name in wanted] for molecule in molecules], float)
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
        except (ValueError, ZeroDivisionError, RuntimeError, OverflowError):  # as RDKit's own loop over them does
            values.append(np.nan)
    with np.errstate(over="ignore"):
        found = np.array(values, float).astype(np.float32)
    found[~np.isfinite(found)] = np.nan
    return found


@functools.cache
def _functions(quick: bool) -> tuple[Any, ...]:
    from rdkit.Chem import Descriptors

    known = dict(Descriptors.descList)
    return tuple(known[name] for name in descriptor_names(quick))


@dataclass(frozen=True, eq=False)
class Scaling:
    """Columns brought to centre 0 and spread 1 (p,), and held within `CLIP_SPREADS` spreads of the centre.

    Centre and spread are mean and standard deviation after the outermost `TAIL_SHARE` at either end are drawn in; a column
    that is constant but for rarer values than that (a seldom group) is measured with all of them.
    """

    names: tuple[str, ...]
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, names: Sequence[str]) -> "Scaling":
        """From values (n, p) with gaps; columns that never vary, or are never known, are left out.

        Raises `BadInput` where none is left.
        """
        kept, centres, spreads = [], [], []
        for column, name in enumerate(names):
            known = values[~np.isnan(values[:, column]), column].astype(float)
            if not len(known) or np.ptp(known) == 0:
                continue
            drawn_in = np.clip(known, *np.quantile(known, (TAIL_SHARE, 1 - TAIL_SHARE)))
            if drawn_in.std() < 1e-6 * max(1.0, abs(drawn_in.mean())):
                drawn_in = known
            kept.append(name)
            centres.append(drawn_in.mean())
            spreads.append(drawn_in.std())
        if not kept:
            raise BadInput("no descriptor varies over these molecules; give more than one kind of molecule")
        return cls(tuple(kept), np.array(centres), np.array(spreads))

    def __call__(self, values: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Scaled values float32 (n, p of the scaling) of values (n, columns `descriptor_names`); gaps stay NaN."""
        place = {name: column for column, name in enumerate(names)}
        scaled = (values[:, [place[name] for name in self.names]].astype(float) - self.centre) / self.spread
        return np.clip(scaled, -CLIP_SPREADS, CLIP_SPREADS).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        return {"names": list(self.names), "centre": self.centre.tolist(), "spread": self.spread.tolist()}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Scaling":
        return cls(tuple(found["names"]), np.array(found["centre"]), np.array(found["spread"]))
