"""Atom contributions add up to the molecule, or are NaN."""

import numpy as np
import pytest
from rdkit.Chem import Crippen

from core.chem import molecules as chem
from core.chem.atom_contributions import contributions
from core.engine.spec import BadInput

SMILES = ["C", "CCO", "c1ccccc1O", "[Na+].[Cl-]", "CC(=O)[O-]", "O=[N+]([O-])c1ccccc1", "C[C@H](N)C(=O)O"]


@pytest.mark.parametrize("smiles", SMILES)
def test_contributions_add_up(smiles: str) -> None:
    molecule = chem.parse(smiles)
    sums = {"logP": Crippen.MolLogP(molecule), "molar refractivity": Crippen.MolMR(molecule)}
    for of, total in sums.items():
        values = contributions(smiles, of)
        assert values.shape == (molecule.GetNumAtoms(),) and values.sum() == pytest.approx(total, abs=1e-3)


def test_charges_add_up_and_oxygen_is_negative() -> None:
    for smiles, total in (("CCO", 0), ("CC(=O)[O-]", -1), ("C[NH3+]", 1)):
        assert contributions(smiles, "partial charge").sum() == pytest.approx(total, abs=1e-3)
    oxygen = contributions("CO", "partial charge")
    assert oxygen[1] < oxygen[0]


def test_atom_order_is_that_of_the_graph() -> None:
    from core.models.backbones.gnn.featurize import atoms_and_bonds

    for smiles in SMILES:
        assert len(contributions(smiles, "logP")) == len(atoms_and_bonds(smiles)[0])


def test_elements_without_parameters_give_nan() -> None:
    assert np.isnan(contributions("C[Pt]C", "partial charge")).all()
    with pytest.raises(BadInput, match="exist for logP, molar refractivity, partial charge; got 'mass'"):
        contributions("C", "mass")
