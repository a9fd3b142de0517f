"""What atoms contribute adds up to the molecule's, or is not told."""

import numpy as np
import pytest
from rdkit.Chem import Crippen

from core.chem import molecules as chem
from core.chem.atom_contributions import contributions
from core.engine.spec import BadInput

SMILES = ["C", "CCO", "c1ccccc1O", "[Na+].[Cl-]", "CC(=O)[O-]", "O=[N+]([O-])c1ccccc1", "C[C@H](N)C(=O)O"]


@pytest.mark.parametrize("smiles", SMILES)
def test_the_shares_of_atoms_add_up(smiles: str) -> None:
    molecule = chem.parse(smiles)
    sums = {"logP": Crippen.MolLogP(molecule), "molar refractivity": Crippen.MolMR(molecule)}
    for of, whole in sums.items():
        found = contributions(smiles, of)
        assert found.shape == (molecule.GetNumAtoms(),) and found.sum() == pytest.approx(whole, abs=1e-3)


def test_charges_add_up_to_the_formal_one_and_oxygen_is_negative() -> None:
    for smiles, whole in (("CCO", 0), ("CC(=O)[O-]", -1), ("C[NH3+]", 1)):
        assert contributions(smiles, "partial charge").sum() == pytest.approx(whole, abs=1e-3)
    oxygen = contributions("CO", "partial charge")
    assert oxygen[1] < oxygen[0]


def test_the_order_of_atoms_is_that_of_the_graph() -> None:
    from core.models.backbones.gnn.featurize import atoms_and_bonds

    for smiles in SMILES:
        assert len(contributions(smiles, "logP")) == len(atoms_and_bonds(smiles)[0])


def test_what_rdkit_has_no_parameters_for_is_unknown() -> None:
    assert np.isnan(contributions("C[Pt]C", "partial charge")).all()
    with pytest.raises(BadInput, match="contribute to logP, molar refractivity, partial charge; got 'mass'"):
        contributions("C", "mass")
