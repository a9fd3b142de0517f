"""Featurisation of molecular graphs: atom and bond features, encodings against numpy, atom order."""

import numpy as np
import pytest

from core.chem import molecules as chem
from core.engine.spec import BadInput
from core.models.backbones.gnn import featurize
from core.models.backbones.gnn.elements import ELEMENTS, GROUPS, PERIODS, element_column
from core.models.backbones.gnn.featurize import (
    ATOM_COLUMNS,
    BOND_COLUMNS,
    BOND_FEATURES,
    Encodings,
    build_graph,
    laplacian_eigenvectors,
    pad_graphs,
    random_walks,
)

SMALL = ("C", "CO", "CCCCCCCC", "C1CC1", "[Na+].[Cl-]", "CC[NH3+].[Cl-]", "c1ccccc1O", "C/C=C/C", "O=C1CCC(=O)N1")


def steps_by_hand(n: int, ends: np.ndarray, steps: int) -> np.ndarray:
    """Return probabilities of random walks, by loops over steps and atoms."""
    neighbours = [[int(b) for a, b in ends.T if a == atom] for atom in range(n)]
    probabilities = np.zeros((n, steps))
    for start in range(n):
        chance = np.zeros(n)
        chance[start] = 1.0
        for step in range(steps):
            after = np.zeros(n)
            for atom in range(n):
                for other in neighbours[atom]:
                    after[other] += chance[atom] / len(neighbours[atom])
            chance = after
            probabilities[start, step] = chance[start]
    return probabilities


@pytest.mark.parametrize("smiles", SMALL)
def test_random_walks_match_loops(smiles: str) -> None:
    graph = build_graph(smiles)
    assert random_walks(smiles, 16).shape == (len(graph), 16)
    np.testing.assert_allclose(graph.walks, steps_by_hand(len(graph), graph.ends, 16), atol=1e-6)


@pytest.mark.parametrize("smiles", SMALL)
def test_laplacian_eigenvectors_and_padding(smiles: str) -> None:
    graph = build_graph(smiles)
    n = len(graph)
    matrix = np.zeros((n, n))
    for a, b in graph.ends.T:
        matrix[a, b] = -1 / np.sqrt((graph.ends[0] == a).sum() * (graph.ends[0] == b).sum())
    for atom in range(n):
        matrix[atom, atom] = float((graph.ends[0] == atom).any())
    pieces = smiles.count(".") + 1
    count = min(8, n - pieces)
    assert graph.vectors.shape == (n, 8) and graph.values.shape == (8,)
    assert (graph.values[:count] > 0).all() and not graph.values[count:].any() and not graph.vectors[:, count:].any()
    np.testing.assert_allclose(matrix @ graph.vectors, graph.vectors * graph.values, atol=1e-5)
    vectors = graph.vectors[:, :count]
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(count), atol=1e-5)
    np.testing.assert_allclose(
        graph.values[:count], np.sort(np.linalg.eigvalsh(matrix))[pieces : pieces + count], atol=1e-5
    )


@pytest.mark.parametrize("smiles", [*SMALL, "CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)NCc1ccncc1"])
def test_atom_order_does_not_change_the_graph(smiles: str) -> None:
    graph = build_graph(smiles)
    for other in map(build_graph, chem.randomised_smiles(chem.parse(smiles), 3, seed=0)):
        rows = [np.hstack([each.atoms, each.walks.round(5)]) for each in (graph, other)]
        first, second = (each[np.lexsort(each.T)] for each in rows)
        np.testing.assert_allclose(first, second, atol=2e-5)
        np.testing.assert_allclose(graph.values, other.values, atol=1e-5)
        assert sorted(map(tuple, graph.edge_features)) == sorted(map(tuple, other.edge_features))


def test_atom_and_bond_features() -> None:
    graph = build_graph("[O-]C(=O)c1ccccc1Br")
    valence = len(ELEMENTS) + 1 + GROUPS + PERIODS
    oxygen, bromine = graph.atoms[0], graph.atoms[-1]
    columns = {ELEMENTS.index(8), len(ELEMENTS) + 1 + 16, len(ELEMENTS) + 1 + GROUPS + 1, valence + 1}
    assert set(np.flatnonzero(oxygen[:-5])) == columns and oxygen[-5:].tolist() == [1, -1, 0, 0, 0]
    assert (
        bromine[ELEMENTS.index(35)] == 1
        and bromine[len(ELEMENTS) + 1 + 17] == 1
        and bromine[-5:].tolist() == [1, 0, 0, 0, 0]
    )
    assert graph.atoms[3, -5:].tolist() == [3, 0, 0, 1, 1]
    bonds = graph.edge_features
    assert (
        graph.atoms.shape == (10, ATOM_COLUMNS)
        and bonds.shape == (20, BOND_COLUMNS)
        and (BOND_FEATURES.sum(1) == 2 + BOND_FEATURES[:, -1]).all()
    )
    assert bonds[:, :5].sum(0).tolist() == [6, 2, 0, 12, 0] and bonds[:, -1].sum() == 12
    assert (
        (bonds[0::2] == bonds[1::2]).all()
        and graph.kinds.size == 3
        and (graph.ends[:, 0::2] == graph.ends[::-1, 1::2]).all()
    )
    trans, cis = build_graph("C/C=C/C").edge_features, build_graph("C/C=C\\C").edge_features
    assert trans[:, 5:8].sum(0).tolist() == [0, 2, 0] and cis[:, 5:8].sum(0).tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    ("number", "where"), [(0, (0, 1)), (1, (1, 1)), (2, (18, 1)), (6, (14, 2)), (9, (17, 2)), (12, (2, 3)), (26, (8, 4)),
                          (53, (17, 5)), (57, (3, 6)), (71, (3, 6)), (72, (4, 6)), (79, (11, 6)), (82, (14, 6)), (92, (3, 7))]
)  # fmt: skip
def test_group_and_period_of_an_element(number: int, where: tuple[int, int]) -> None:
    assert element_column(number) == where


def test_graphs_are_padded_to_the_largest() -> None:
    each = [build_graph(graph) for graph in ("CO", "C", "C1CC1")]
    together = pad_graphs(each)
    assert together["known"].tolist() == [[True, True, False], [True, False, False], [True, True, True]]
    assert together["values"].shape == (3, 8) and together["ends"].shape == (3, 6, 2)
    for row, graph in enumerate(each):
        for name in ("atoms", "walks", "vectors"):
            np.testing.assert_array_equal(together[name][row, : len(graph)], getattr(graph, name))
            assert not together[name][row, len(graph) :].any()
        bonds = graph.ends.shape[1]
        assert (together["ends"][row, :bonds] == graph.ends.T).all() and (together["ends"][row, bonds:] == -1).all()
        assert (together["bonds"][row, :bonds] == graph.bonds).all() and (together["bonds"][row, bonds:] == -1).all()
        assert together["kinds"][row, : len(graph.kinds)].tolist() == graph.kinds.tolist()


def test_a_changed_setting_recomputes_only_its_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_graph("CCOC(=O)CN", Encodings(walk=4))
    monkeypatch.setattr(featurize.chem, "parse", lambda smiles: pytest.fail("read again"))
    second = build_graph("CCOC(=O)CN", Encodings(walk=7))
    assert second.atoms is first.atoms and second.vectors is first.vectors and second.walks.shape[1] == 7
    with pytest.raises(ValueError, match="read-only"):
        first.atoms[0] = 0  # the array is shared
    assert laplacian_eigenvectors("CCOC(=O)CN", 0)[0].shape == (7, 0) and random_walks("CCOC(=O)CN", 0).shape == (7, 0)


def test_molecules_without_a_graph_are_listed_or_refused() -> None:
    smiles = ["CCO"] * 60 + ["CC(", ""]
    with pytest.raises(BadInput, match=r"2 of 62 molecules have no graph \(row 60: no molecule"):
        featurize.build_graphs(smiles)
    graphs, failures = featurize.build_graphs(smiles + ["CCO"] * 60)
    assert [row for row, _ in failures] == [60, 61] and "empty" in failures[1][1]
    assert graphs[60] is None and len(graphs) == 122 and len(graphs[0]) == 3
    with pytest.raises(BadInput, match="`walk` wants a whole number from 0 to 64, got 65"):
        Encodings(walk=65)


@pytest.mark.parametrize(
    "smiles", ["C", "CO", "c1ccccc1O", "[Na+].[Cl-]", "C1CC2CC1C2", "C#CC=C", "c1ccc2ccccc2c1", "O=S(=O)(N)c1ccc[nH]1"]
)
def test_fast_and_general_bond_features_agree(smiles: str) -> None:
    molecule = chem.parse(smiles)
    np.testing.assert_array_equal(featurize._plain_bonds(molecule), featurize._all_bonds(molecule))


def test_rare_and_marked_bonds_take_the_general_path() -> None:
    for smiles in ("C/C=C/C", "N->[Cu]", "C~C", "F/C=C\\F"):
        assert featurize.MARKED_BONDS.search(smiles), smiles
    dative = build_graph("N->[Cu]").edge_features
    assert (dative[:, len(featurize.BOND_TYPES)] == 1).all(), "the column of other kinds"


def test_a_batch_of_graphs_equals_single_graphs() -> None:
    smiles = ["CCO", "c1ccccc1", "CC(=O)O"]
    for graph, single in zip(featurize.get_graphs(smiles), map(featurize.build_graph, smiles), strict=True):
        for name in ("atoms", "ends", "kinds", "bonds", "walks", "vectors", "values"):
            np.testing.assert_array_equal(getattr(graph, name), getattr(single, name))
