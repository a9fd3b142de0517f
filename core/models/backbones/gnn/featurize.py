"""Molecules as graphs: atom and bond features, random-walk and Laplacian positional encodings.

Nodes are heavy atoms; hydrogens are counted by the valence. Every bond gives two directed edges; there are no
self-loops. The features are those of ToyMix (Beaini et al. 2023, arXiv 2310.04292, table of the small data sets).
Features and each encoding are cached by molecule and setting, so that a changed number of walk steps recomputes the
walks only.
"""

import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rdkit import Chem
from threadpoolctl import ThreadpoolController
from torch_geometric.data import Data
from torch_geometric.transforms import AddRandomWalkPE

from core.chem import molecules as chem
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput
from core.models.backbones.gnn.elements import COLUMNS, ELEMENTS, GROUPS, PERIODS

CACHED_MOLECULES = 100_000  # molecules in each cache
REPORT_EVERY = 512  # molecules between two progress reports
MAX_FAILED_SHARE = 0.03  # largest share of a table without a graph
VALENCES = 9  # columns; the last is for all larger valences
BOND_TYPES = {Chem.BondType.SINGLE: 0, Chem.BondType.DOUBLE: 1, Chem.BondType.TRIPLE: 2, Chem.BondType.AROMATIC: 3}
BOND_STEREO = {
    Chem.BondStereo.STEREOZ: 0,
    Chem.BondStereo.STEREOE: 1,
    Chem.BondStereo.STEREOANY: 2,
}  # others: a last column
ORDER_COLUMNS = np.array([-1, -1, 0, 3, 1, -1, 2])  # by twice the bond order: the column of its type, 3 is aromatic
MARKED_BONDS = re.compile(r"[/\\~$<>|]|->")  # bonds with a stereo mark, or neither single, double, triple nor aromatic
ATOM_COLUMNS = len(ELEMENTS) + 1 + GROUPS + PERIODS + VALENCES + 5  # features of an atom
BOND_COLUMNS = len(BOND_TYPES) + 1 + len(BOND_STEREO) + 1 + 1  # features of a bond
BOND_FEATURES = np.array(  # float32 (40, BOND): all combinations of bond type, stereo mark and ring membership
    [
        [*np.eye(len(BOND_TYPES) + 1)[kind], *np.eye(len(BOND_STEREO) + 1)[mark], ring]
        for kind, mark, ring in itertools.product(range(len(BOND_TYPES) + 1), range(len(BOND_STEREO) + 1), range(2))
    ],
    np.float32,
)
ZERO_EIGENVALUE = 1e-5  # eigenvectors of smaller eigenvalues are constant on each connected component


@dataclass(frozen=True)
class Encodings:
    """Size of the positional encodings: steps of the random walk and eigenvectors of the Laplacian."""

    walk: int = 16
    eigenvectors: int = 8

    def __post_init__(self) -> None:
        for name, value in (("walk", self.walk), ("eigenvectors", self.eigenvectors)):
            if type(value) is not int or not 0 <= value <= 64:
                raise BadInput(f"`{name}` wants a whole number from 0 to 64, got {value!r}")


@dataclass(frozen=True, eq=False)
class Graph:
    """A molecule of n atoms and e bonds.

    `atoms` float32 (n, ATOM); `ends` int64 (2, 2e), source and target of each directed edge; `kinds` int64 (k,), the
    rows of `BOND_FEATURES` that occur, and `bonds` int64 (2e,), the index into `kinds` of each edge; `walks` float32
    (n, s), the probability of return after 1 … s steps; `vectors` float32 (n, m), eigenvectors of the Laplacian by
    ascending eigenvalue, and `values` float32 (m,), their eigenvalues, both padded with zeros.
    """

    atoms: np.ndarray
    ends: np.ndarray
    kinds: np.ndarray
    bonds: np.ndarray
    walks: np.ndarray
    vectors: np.ndarray
    values: np.ndarray

    @property
    def edge_features(self) -> np.ndarray:
        """Features (2e, BOND) of each directed edge."""
        return BOND_FEATURES[self.kinds[self.bonds]]

    def __len__(self) -> int:
        return len(self.atoms)


def build_graph(smiles: str, encodings: Encodings = Encodings()) -> Graph:
    """The graph of a molecule; about 1 ms unless cached. Raises `BadInput`."""
    vectors, values = laplacian_eigenvectors(smiles, encodings.eigenvectors)
    return Graph(*atoms_and_bonds(smiles), random_walks(smiles, encodings.walk), vectors, values)


def get_graphs(smiles: Sequence[str], encodings: Encodings = Encodings()) -> list[Graph]:
    """The graphs of molecules. Raises `BadInput` where one has none.

    One kind of array is computed for all molecules before the next, which is faster.
    """
    bodies = [atoms_and_bonds(one) for one in smiles]
    walks = [random_walks(one, encodings.walk) for one in smiles]
    spectra = [laplacian_eigenvectors(one, encodings.eigenvectors) for one in smiles]
    return [Graph(*body, walk, *spectrum) for body, walk, spectrum in zip(bodies, walks, spectra, strict=True)]


def build_graphs(
    smiles: Sequence[str], encodings: Encodings = Encodings(), report: Report = SILENT_REPORT
) -> tuple[list[Graph | None], list[tuple[int, str]]]:
    """The graphs of molecules in their order, None where there is none, and (row, reason) of those.

    Raises `BadInput` where more than `MAX_FAILED_SHARE` have none: then the column is probably not SMILES.
    """
    graphs: list[Graph | None] = []
    failures: list[tuple[int, str]] = []
    for start in range(0, len(smiles), REPORT_EVERY):
        report(start / len(smiles), f"building graphs, {start:,} of {len(smiles):,}")
        chunk = smiles[start : start + REPORT_EVERY]
        try:
            graphs += get_graphs(chunk, encodings)
        except BadInput:  # at least one has no graph: build them singly
            for row, one in enumerate(chunk, start):
                try:
                    graphs.append(build_graph(one, encodings))
                except BadInput as error:
                    graphs.append(None)
                    failures.append((row, str(error)))
    if len(failures) > MAX_FAILED_SHARE * len(smiles):
        row, reason = failures[0]
        raise BadInput(
            f"{len(failures):,} of {len(smiles):,} molecules have no graph (row {row}: {reason}); correct or remove "
            "these rows, or choose another SMILES column"
        )
    return graphs, failures


def pad_graphs(graphs: Sequence[Graph]) -> dict[str, np.ndarray]:
    """Graphs as arrays with a row each, padded to the largest graph.

    `atoms`, `walks` and `vectors` (b, n, …), `kinds` (b, k) and `values` (b, m) as in `Graph`; `bonds` (b, 2e) and
    `ends` (b, 2e, 2), −1 for padding; `known` bool (b, n), false for padding.
    """
    rows, sizes, kinds = len(graphs), [len(graph) for graph in graphs], max(len(graph.kinds) for graph in graphs)
    most, bonds = max(sizes), max(graph.ends.shape[1] for graph in graphs)
    arrays = {
        "known": np.arange(most) < np.array(sizes)[:, None],
        "values": np.stack([graph.values for graph in graphs]),
    }
    arrays["kinds"] = np.zeros((rows, kinds), np.int64)
    for row, graph in enumerate(graphs):
        arrays["kinds"][row, : len(graph.kinds)] = graph.kinds
    for name in ("atoms", "walks", "vectors"):
        arrays[name] = np.zeros((rows, most, getattr(graphs[0], name).shape[1]), np.float32)
        for row, graph in enumerate(graphs):
            arrays[name][row, : len(graph)] = getattr(graph, name)
    arrays["ends"], arrays["bonds"] = np.full((rows, bonds, 2), -1, np.int64), np.full((rows, bonds), -1, np.int64)
    for row, graph in enumerate(graphs):
        arrays["ends"][row, : graph.ends.shape[1]] = graph.ends.T
        arrays["bonds"][row, : graph.ends.shape[1]] = graph.bonds
    return arrays


@functools.lru_cache(maxsize=CACHED_MOLECULES)
def atoms_and_bonds(smiles: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`atoms`, `ends`, `kinds` and `bonds` of a `Graph`. Raises `BadInput`."""
    molecule = chem.parse(smiles)
    if not molecule.GetNumAtoms():
        raise BadInput("the molecule has no atom")
    values = np.array(
        [
            (
                atom.GetAtomicNum(),
                atom.GetTotalValence(),
                atom.GetDegree(),
                atom.GetFormalCharge(),
                atom.GetNumRadicalElectrons(),
                atom.GetIsAromatic(),
                atom.IsInRing(),
            )
            for atom in molecule.GetAtoms()
        ]
    )
    columns = np.column_stack([COLUMNS[values[:, 0]], _FIRST_VALENCE + np.minimum(values[:, 1], VALENCES - 1)])
    atoms = np.zeros((len(values), ATOM_COLUMNS), np.float32)
    atoms[np.arange(len(values))[:, None], columns] = 1.0
    atoms[:, _FIRST_VALENCE + VALENCES :] = values[:, 2:]
    edges = _plain_bonds(molecule) if not MARKED_BONDS.search(smiles) else _all_bonds(molecule)
    ends = np.stack([edges[:, :2], edges[:, 1::-1]], 1).reshape(-1, 2).T.copy()
    kinds, bonds = np.unique(
        (edges[:, 2] * (len(BOND_STEREO) + 1) + edges[:, 3]) * 2 + edges[:, 4], return_inverse=True
    )
    return _read_only(atoms), _read_only(ends), _read_only(kinds), _read_only(np.repeat(bonds, 2))


def _all_bonds(molecule: Chem.Mol) -> np.ndarray:
    """Bonds (e, 5): the two atoms, the columns of type and stereo mark, and whether the bond is in a ring."""
    bonds = [
        (
            bond.GetBeginAtomIdx(),
            bond.GetEndAtomIdx(),
            BOND_TYPES.get(bond.GetBondType(), len(BOND_TYPES)),
            BOND_STEREO.get(bond.GetStereo(), len(BOND_STEREO)),
            bond.IsInRing(),
        )
        for bond in molecule.GetBonds()
    ]
    return _sort_bonds(np.array(bonds, np.int64).reshape(-1, 5))


def _plain_bonds(molecule: Chem.Mol) -> np.ndarray:
    """The same, four times as fast, for molecules without stereo marks or rare types on bonds."""
    order = np.triu(Chem.GetAdjacencyMatrix(molecule, useBO=True))
    first, second = np.nonzero(order)
    bonds = np.empty((len(first), 5), np.int64)
    bonds[:, 0], bonds[:, 1], bonds[:, 3] = first, second, len(BOND_STEREO)
    bonds[:, 2] = ORDER_COLUMNS[(2 * order[first, second]).astype(int)]
    in_ring = np.zeros(order.shape, bool)
    for members in molecule.GetRingInfo().AtomRings():
        ring_atoms = np.array(members)
        in_ring[ring_atoms, np.roll(ring_atoms, 1)] = True
    bonds[:, 4] = in_ring[first, second] | in_ring[second, first]
    return bonds


def _sort_bonds(bonds: np.ndarray) -> np.ndarray:
    """Bonds with the lower atom first, sorted by their atoms."""
    bonds[:, :2].sort(axis=1)
    return bonds[np.lexsort((bonds[:, 1], bonds[:, 0]))]


@functools.lru_cache(maxsize=CACHED_MOLECULES)
def random_walks(smiles: str, steps: int) -> np.ndarray:
    """Probability float32 (n, steps) that a random walk from each atom is back after 1, 2 … steps.

    Dwivedi et al. 2022 (arXiv 2110.07875), by `torch_geometric`. Raises `BadInput`.
    """
    atoms, ends, *_ = atoms_and_bonds(smiles)
    if not steps:
        return _read_only(np.zeros((len(atoms), 0), np.float32))
    data = Data(edge_index=torch.tensor(ends), num_nodes=len(atoms))
    return _read_only(AddRandomWalkPE(steps, attr_name="walks")(data).walks.numpy())


@functools.lru_cache(maxsize=CACHED_MOLECULES)
def laplacian_eigenvectors(smiles: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvectors float32 (n, count) of the symmetric normalised Laplacian, and their eigenvalues (count,).

    The `count` lowest non-zero eigenvalues, ascending; zeros where a molecule has fewer (`torch_geometric`'s transform
    raises there). Signs are arbitrary, and so is any rotation among equal eigenvalues: training flips the signs at
    random. Raises `BadInput`.
    """
    atoms, ends, *_ = atoms_and_bonds(smiles)
    vectors, values = np.zeros((len(atoms), count), np.float32), np.zeros(count, np.float32)
    if count and ends.size:
        with _thread_controller().limit(limits=1, user_api="blas"):  # six times as fast as several threads
            spectrum, basis = np.linalg.eigh(normalised_laplacian(len(atoms), ends))
        columns = np.flatnonzero(spectrum > ZERO_EIGENVALUE)[:count]
        vectors[:, : len(columns)], values[: len(columns)] = basis[:, columns], spectrum[columns]
    return _read_only(vectors), _read_only(values)


def normalised_laplacian(n: int, ends: np.ndarray) -> np.ndarray:
    """The symmetric normalised Laplacian float64 (n, n), 1 − D^−½ A D^−½; an isolated atom has a row of zeros."""
    neighbours = np.zeros((n, n))
    neighbours[ends[0], ends[1]] = 1.0
    degree = neighbours.sum(1)
    scale = np.divide(1.0, np.sqrt(degree), out=np.zeros(n), where=degree > 0)
    return np.diag((degree > 0).astype(float)) - scale[:, None] * neighbours * scale[None, :]


_FIRST_VALENCE = len(ELEMENTS) + 1 + GROUPS + PERIODS  # column


@functools.cache
def _thread_controller() -> Any:
    return ThreadpoolController()


def _read_only(array: np.ndarray) -> np.ndarray:
    """The array, made read-only since the caches share it."""
    array.flags.writeable = False
    return array
