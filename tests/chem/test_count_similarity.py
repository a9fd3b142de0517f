"""Similarity of pattern counts: RDKit's own numbers, and chains of any length."""

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from core.chem import count_similarity
from core.chem import molecules as chem
from core.chem.count_similarity import CountIndex, nearest_by_counts
from core.engine.spec import BadInput

MOLECULES = ["CCO", "CCCCCCCC", "C" * 300, "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "C", "[Na+].[Cl-]", "OCCO", "CCO"]


def test_similarities_are_those_of_rdkit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_similarity, "OTHER_ROWS", 4)  # several blocks
    monkeypatch.setattr(count_similarity, "QUERY_ROWS", 2)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    counts = [generator.GetCountFingerprint(Chem.MolFromSmiles(one)) for one in MOLECULES]
    truth = np.array([[DataStructs.TanimotoSimilarity(a, b) for b in counts] for a in counts])
    index = CountIndex.of(MOLECULES)
    np.testing.assert_allclose(index.similarities(MOLECULES), truth, rtol=1e-6)
    rows, similarities = index.nearest(MOLECULES, 3)
    order = np.argsort(-truth.round(9), axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(rows, order)  # ties go to the earlier one
    np.testing.assert_allclose(similarities, np.take_along_axis(truth, order, 1), rtol=1e-6)


def test_a_long_chain_is_not_a_short_one() -> None:
    assert chem.nearest(["C" * 24], ["C" * 10])[1] == 1  # to bits it is
    values = [nearest_by_counts(["C" * n], ["C" * 10])[1][0, 0] for n in range(10, 400, 13)]
    assert values[0] == 1 and (np.diff(values) < 0).all()


@pytest.mark.parametrize(("others", "count", "shape"), [([], 3, (1, 0)), (["C"], 3, (1, 1)), (["C", "CC"], 1, (1, 1))])
def test_as_many_neighbours_as_there_are(others: list[str], count: int, shape: tuple[int, int]) -> None:
    rows, similarities = nearest_by_counts(["CC"], others, count)
    assert rows.shape == similarities.shape == shape
    assert [one.shape for one in nearest_by_counts([], others, count)] == [(0, shape[1])] * 2


def test_bad_input() -> None:
    with pytest.raises(BadInput, match="at least 1 neighbour"):
        nearest_by_counts(["C"], ["C"], 0)
    with pytest.raises(BadInput, match="no molecule"):
        nearest_by_counts(["C(("], ["C"])
