"""What single atoms of a molecule contribute to a quantity of the whole: labels of atoms that nobody has to measure."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from rdkit import Chem
from rdkit.Chem import Crippen, rdMolDescriptors, rdPartialCharges

from core.chem import molecules as chem
from core.engine.spec import BadInput

Contribution = Literal["logP", "molar refractivity", "partial charge"]
MOLECULE_SUMS: dict[str, Callable[[Chem.Mol], float]] = {
    "logP": Crippen.MolLogP,  # type: ignore[attr-defined]  # made at run time
    "molar refractivity": Crippen.MolMR,  # type: ignore[attr-defined]
    "partial charge": Chem.GetFormalCharge,
}
TOLERANCE = 1e-3  # how near the sum over atoms must come to the quantity of the molecule


def contributions(smiles: str, of: Contribution) -> np.ndarray:
    """The share (n,) of each heavy atom, its hydrogens with it, in the order of the atoms; their sum is the molecule's.

    logP and molar refractivity after Wildman & Crippen 1999 (doi:10.1021/ci990307l), partial charges after Gasteiger &
    Marsili 1980 (doi:10.1016/0040-4020(80)80168-2), by RDKit. All NaN where RDKit has no parameters for an element or
    the shares do not add up.
    """
    molecule = chem.parse(smiles)
    if of == "partial charge":
        rdPartialCharges.ComputeGasteigerCharges(molecule)
        names = ("_GasteigerCharge", "_GasteigerHCharge")
        found = np.array([sum(float(atom.GetProp(name)) for name in names) for atom in molecule.GetAtoms()])
    elif of in MOLECULE_SUMS:
        whole = Chem.AddHs(molecule)
        column = ("logP", "molar refractivity").index(of)
        shares = np.array(rdMolDescriptors._CalcCrippenContribs(whole))[:, column]
        found = shares[: molecule.GetNumAtoms()].copy()  # hydrogens come after all others
        for atom in list(whole.GetAtoms())[len(found) :]:
            found[atom.GetNeighbors()[0].GetIdx()] += shares[atom.GetIdx()]
    else:
        raise BadInput(f"atoms contribute to {', '.join(MOLECULE_SUMS)}; got {of!r}")
    adds_up = bool(np.isfinite(found).all()) and abs(found.sum() - MOLECULE_SUMS[of](molecule)) < TOLERANCE
    return found if adds_up else np.full(len(found), np.nan)
