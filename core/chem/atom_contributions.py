"""Contributions of atoms to a molecular property: computed atom labels."""

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
TOLERANCE = 1e-3  # of the sum over atoms


def contributions(smiles: str, of: Contribution) -> np.ndarray:
    """Contributions (n,) of the heavy atoms with their hydrogens, in atom order; they add up to the molecule's value.

    logP and molar refractivity after Wildman & Crippen 1999 (doi:10.1021/ci990307l), partial charges after Gasteiger &
    Marsili 1980 (doi:10.1016/0040-4020(80)80168-2), by RDKit. All NaN if RDKit has no parameters for an element or the
    contributions do not add up. Raises `BadInput`.
    """
    molecule = chem.parse(smiles)
    if of == "partial charge":
        rdPartialCharges.ComputeGasteigerCharges(molecule)
        names = ("_GasteigerCharge", "_GasteigerHCharge")
        atom_values = np.array([sum(float(atom.GetProp(name)) for name in names) for atom in molecule.GetAtoms()])
    elif of in MOLECULE_SUMS:
        with_hydrogens = Chem.AddHs(molecule)
        column = ("logP", "molar refractivity").index(of)
        shares = np.array(rdMolDescriptors._CalcCrippenContribs(with_hydrogens))[:, column]
        atom_values = shares[: molecule.GetNumAtoms()].copy()  # hydrogens come after all others
        for atom in list(with_hydrogens.GetAtoms())[len(atom_values) :]:
            atom_values[atom.GetNeighbors()[0].GetIdx()] += shares[atom.GetIdx()]
    else:
        raise BadInput(f"atom contributions exist for {', '.join(MOLECULE_SUMS)}; got {of!r}")
    adds_up = bool(np.isfinite(atom_values).all()) and abs(atom_values.sum() - MOLECULE_SUMS[of](molecule)) < TOLERANCE
    return atom_values if adds_up else np.full(len(atom_values), np.nan)
