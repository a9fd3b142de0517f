"""Size, lipophilicity, polarity, charge and elements of molecules, and how they are written."""

import pytest
from rdkit import Chem

from core.chem.extent import QUANTITIES, list_elements, measure_extent

NAMES = [quantity.name for quantity in QUANTITIES]


@pytest.mark.parametrize(
    ("smiles", "name", "value", "words"),
    [
        ("C" * 24, "heavy atoms", 24, "24 heavy atoms"),
        ("C", "heavy atoms", 1, "1 heavy atom"),
        ("c1ccc2ccccc2c1", "rings", 2, "2 rings"),
        ("CCCCC", "rotatable bonds", 2, "2 rotatable bonds"),
        ("[Na+].[Cl-]", "components", 2, "2 components"),
        ("CC(=O)[O-]", "net charge", -1, "net charge −1"),
        ("C[N+](C)(C)CC[N+](C)(C)C", "net charge", 2, "net charge +2"),
        ("C[N+](=O)[O-]", "net charge", 0, "net charge 0"),
        ("C", "logP", 0.6361, "logP 0.64"),
        ("CCO", "logP", -0.0014, "logP 0.00"),
        ("O", "polar surface", 31.5, "polar surface 31.5 Å²"),
    ],
)
def test_quantities(smiles: str, name: str, value: float, words: str) -> None:
    (row,) = measure_extent([smiles])
    index = NAMES.index(name)
    assert row[index] == pytest.approx(value, abs=1e-4) and QUANTITIES[index].describe(row[index]) == words


@pytest.mark.parametrize(
    "smiles",
    ["C[Si](C)(C)Cl", "[2H]OC", "[Na+].[Cl-]", "[nH]1cccc1Br", "[se]1cccc1", "C[As](=O)(O)O", "[13CH3][C@@H](F)I", "*C",
     "OB(O)c1ccccc1", "[cH-]1cccc1.[Fe+2]", "Cc1nc[te]c1", "[Sc+3]", "CN |&1:1|", "O=[N+]([O-])c1ccsc1", "[U]CC", "[C-]#[O+]"],
)  # fmt: skip
def test_elements_are_those_of_rdkit(smiles: str) -> None:
    atoms = Chem.MolFromSmiles(smiles).GetAtoms()
    assert list_elements(smiles) == {atom.GetSymbol() for atom in atoms} - {"H", "*"}


def test_no_molecules() -> None:
    assert measure_extent([]).shape == (0, len(QUANTITIES))
