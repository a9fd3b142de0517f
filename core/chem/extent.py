"""Extent of molecules: size, lipophilicity, polarity, charge and the elements, quantities that a model extrapolates in.

Fingerprints say which patterns a molecule has; these say how much of it there is.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from core.chem.molecules import parse


@dataclass(frozen=True)
class Quantity:
    """A quantity of a molecule; `step`: a difference that always counts, however alike the training molecules are."""

    name: str  # plural where it is counted
    step: float
    counted: bool = True
    unit: str = ""
    digits: int = 0

    def describe(self, value: float) -> str:
        """`24 heavy atoms`, `logP 7.9`, `net charge +2`."""
        if not self.counted:
            return f"{self.name} {self.format(value)}{self.unit}"
        return f"{self.format(value)} {self.name.removesuffix('s') if value == 1 else self.name}"

    def format(self, value: float) -> str:
        """The number alone, with a minus sign that cannot be taken for a range."""
        if self.name == "net charge":
            return f"{value:+.0f}".replace("-", "−") if value else "0"
        return f"{round(value, self.digits) + 0:.{self.digits}f}".replace("-", "−")  # + 0: no negative zero


QUANTITIES = (
    Quantity("heavy atoms", 1),
    Quantity("rings", 1),
    Quantity("rotatable bonds", 1),
    Quantity("components", 1),
    Quantity("net charge", 1, counted=False),
    Quantity("logP", 0.5, counted=False, digits=2),  # Wildman & Crippen 1999, doi:10.1021/ci990307l
    Quantity("polar surface", 20, counted=False, unit=" Å²", digits=1),  # Ertl et al. 2000, doi:10.1021/jm000942e
)


ATOM = re.compile(r"\[\d*([A-Z][a-z]?|[a-z]{1,2})|(Cl|Br|[BCNOPSFIbcnops])(?![^\[]*\])")  # its element, in a SMILES


def measure_extent(smiles: Sequence[str]) -> np.ndarray:
    """The `QUANTITIES` of molecules, float (n, 7). Raises `BadInput`.

    About half a millisecond a molecule, most of it for logP; the last 50,000 are cached.
    """
    return np.array([_measure(text) for text in smiles], float).reshape(len(smiles), len(QUANTITIES))


def list_elements(smiles: str) -> frozenset[str]:
    """The elements of a valid SMILES besides hydrogen, read from its text: some microseconds."""
    core = smiles.split(maxsplit=1)[0]  # without a CXSMILES tail
    return _intern(frozenset((bracket or plain).capitalize() for bracket, plain in ATOM.findall(core)) - {"H"})


@functools.lru_cache(maxsize=50_000)
def _measure(smiles: str) -> tuple[float, ...]:
    molecule = parse(smiles)
    return (
        molecule.GetNumHeavyAtoms(),
        rdMolDescriptors.CalcNumRings(molecule),
        rdMolDescriptors.CalcNumRotatableBonds(molecule, rdMolDescriptors.NumRotatableBondsOptions.NonStrict),
        smiles.split(maxsplit=1)[0].count(".") + 1,
        Chem.GetFormalCharge(molecule),
        rdMolDescriptors.CalcCrippenDescriptors(molecule)[0],
        rdMolDescriptors.CalcTPSA(molecule),
    )


@functools.lru_cache(maxsize=10_000)
def _intern(elements: frozenset[str]) -> frozenset[str]:
    """The same object for the same elements: molecules by the thousand have a few sets."""
    return elements
