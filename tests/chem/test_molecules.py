import threading

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem, EnumerateStereoisomers

from core.chem import molecules as chem
from core.engine.spec import BadInput

DRUGS = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O",
    "CCO",
    "c1ccccc1",
)


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        (None, "empty"),
        ("CCX", "near character 3"),
        ("C1CC", "unclosed ring"),
        ("c1cccc1", "kekulize"),
        ("[NH4][Pt]", "valence for atom # 0 N"),
        ("CCO ethanol", "contains a blank"),
        ("C" * 5001, "5,001 characters"),
    ],
)
def test_invalid_smiles_has_a_reason(smiles, reason, capfd):
    with pytest.raises(BadInput, match=reason):
        chem.parse(smiles)
    assert capfd.readouterr() == ("", "")


def test_reasons_do_not_mix_between_threads():
    wrong = []

    def work(smiles, reason):
        for _ in range(200):
            with pytest.raises(BadInput) as caught:
                chem.parse(smiles)
            wrong.extend([str(caught.value)] * (reason not in str(caught.value)))

    threads = [threading.Thread(target=work, args=pair) for pair in (("C1CC", "unclosed"), ("c1cccc1", "kekulize"))]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert wrong == []


def test_cxsmiles_tail_is_read():
    assert chem.canonical_smiles("OCC |(0,0,;1,0,;2,0,)|") == "CCO"


def test_randomised_smiles_are_the_same_molecule():
    for smiles in (*DRUGS, "C/C=C/[C@H](N)O", "C[N+](C)(C)C.[Cl-]", "[13CH3]C%10CC%10"):
        molecule = chem.parse(smiles)
        texts = chem.randomised_smiles(molecule, 8, seed=5)
        assert len(texts) == 8 and {chem.canonical_smiles(one) for one in texts} == {chem.canonical_smiles(smiles)}
        assert texts == chem.randomised_smiles(molecule, 8, seed=5) and texts[:3] == chem.randomised_smiles(
            molecule, 3, seed=5
        )
    drug = chem.parse(DRUGS[0])
    assert chem.randomised_smiles(drug, 8, seed=5) != chem.randomised_smiles(drug, 8, seed=6)
    assert len(set(chem.randomised_smiles(drug, 8, seed=5))) > 4 and chem.randomised_smiles(drug, 0, seed=5) == []
    for seed in (0, 2**31 - 2, 2**31 - 1, 2**31 + 4):  # whatever was written before
        assert chem.randomised_smiles(drug, 3, seed) == chem.randomised_smiles(drug, 3, seed)


def test_very_long_molecule_round_trip():
    assert chem.canonical_smiles("C" * 300) == "C" * 300


def test_stereo_free_smiles_is_equal_for_stereoisomers_and_isotopes():
    start = Chem.MolFromSmiles("CC(O)C(F)C=CC1CCC(C)CC1")
    isomers = [Chem.MolToSmiles(m) for m in EnumerateStereoisomers.EnumerateStereoisomers(start)]
    assert len(set(isomers)) > 8
    keys = {chem.stereo_free_smiles(smiles) for smiles in isomers}
    assert len(keys) == 1
    assert chem.stereo_free_smiles(keys.copy().pop()) in keys
    assert chem.stereo_free_smiles("[2H]C([2H])([2H])O") == chem.stereo_free_smiles("[13CH3]O") == "CO"
    assert chem.stereo_free_smiles("CCO") != chem.stereo_free_smiles("CCN")


def test_scaffold():
    assert chem.scaffold("CC(=O)Oc1ccccc1C(=O)O") == "c1ccccc1"
    assert chem.scaffold("CCCCO") == ""
    assert chem.scaffold("C[C@H](c1ccccc1)N[C@@H]1CCCCO1") == chem.scaffold("CC(c1ccccc1)NC1CCCCO1") != ""


def test_fingerprints_and_tanimoto_equal_rdkit():
    bits = chem.fingerprints(DRUGS)
    assert bits.shape == (5, 2048) and bits.dtype == np.uint8
    vectors = [AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(s), 2, 2048) for s in DRUGS]
    truth = np.array([DataStructs.BulkTanimotoSimilarity(v, vectors) for v in vectors])
    np.testing.assert_allclose(chem.tanimoto(bits, bits), truth, atol=1e-6)
    nothing = np.zeros((1, 2048), np.uint8)
    assert chem.tanimoto(nothing, nothing) == 0
    assert chem.fingerprints([]).shape == (0, 2048)


def test_nearest_in_blocks_equals_sorting(monkeypatch):
    others = [*DRUGS, "CCCO", "CCN", "Cc1ccccc1", "CCO", "OCCO"]
    full = chem.tanimoto(chem.fingerprints(DRUGS), chem.fingerprints(others))
    truth = np.argsort(-full, axis=1, kind="stable")[:, :4]
    monkeypatch.setattr(chem, "BLOCK_ROWS", 3)
    indices, similarities = chem.nearest(DRUGS, others, 4)
    np.testing.assert_array_equal(indices, truth)
    np.testing.assert_array_equal(similarities, np.take_along_axis(full, truth, 1))
    assert list(indices[:, 0]) == [0, 1, 2, 3, 4]
    assert chem.nearest(DRUGS, others[:2], 5)[0].shape == (5, 2)
    assert chem.nearest([], others, 2)[0].shape == (0, 2)


def test_descriptors_have_no_infinity():
    table = chem.descriptors(["CCO", "[Na+].[Cl-]", "c1ccccc1"])
    assert len(table) == 3 and table.shape[1] > 150
    assert not np.isinf(table.to_numpy()).any()
    assert table.loc[0, "MolWt"] == pytest.approx(46.07, abs=0.01)
    assert table.isna().any(axis=None)  # sodium has no partial charges
    assert len(chem.descriptors([])) == 0
