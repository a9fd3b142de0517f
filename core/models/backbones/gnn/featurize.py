"""Molecules as graphs: what is told of atoms and bonds, and two encodings of where an atom stands in its molecule.

Atoms are the heavy ones, hydrogens are told by the valence; every bond has two directions, no atom one to itself. The
columns are those of ToyMix (Beaini et al. 2023, arXiv 2310.04292, table of the small data sets). Atoms and bonds and
either encoding are remembered by molecule and setting, so that another number of walk steps recomputes the walks alone.
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

CACHED_MOLECULES = 100_000  # molecules of each kind of array
REPORT_EVERY = 512  # molecules that are drawn between two words on how far it is
MAX_FAILED_SHARE = 0.03  # share of a table that may fail
VALENCES = 9  # columns; the last stands for all larger ones
BOND_TYPES = {Chem.BondType.SINGLE: 0, Chem.BondType.DOUBLE: 1, Chem.BondType.TRIPLE: 2, Chem.BondType.AROMATIC: 3}
BOND_STEREO = {
    Chem.BondStereo.STEREOZ: 0,
    Chem.BondStereo.STEREOE: 1,
    Chem.BondStereo.STEREOANY: 2,
}  # others: a last column
ORDER_COLUMNS = np.array([-1, -1, 0, 3, 1, -1, 2])  # by twice the bond order: the column of its kind, 3 is aromatic
MARKED_BONDS = re.compile(r"[/\\~$<>|]|->")  # bonds with a stereo mark, or neither single, double, triple nor aromatic
ATOM_COLUMNS = len(ELEMENTS) + 1 + GROUPS + PERIODS + VALENCES + 5  # numbers told of an atom
BOND_COLUMNS = len(BOND_TYPES) + 1 + len(BOND_STEREO) + 1 + 1  # and of a bond
BOND_FEATURES = np.array(  # float32 (40, BOND): all that can be told of a bond: kind, stereo mark, whether in a ring
    [
        [*np.eye(len(BOND_TYPES) + 1)[kind], *np.eye(len(BOND_STEREO) + 1)[mark], ring]
        for kind, mark, ring in itertools.product(range(len(BOND_TYPES) + 1), range(len(BOND_STEREO) + 1), range(2))
    ],
    np.float32,
)
ZERO_EIGENVALUE = 1e-5  # eigenvalue below which an eigenvector only tells the components apart


@dataclass(frozen=True)
class Encodings:
    """How much is told of an atom's place: steps of a random walk, and eigenvectors of the Laplacian."""

    walk: int = 16
    eigenvectors: int = 8

    def __post_init__(self) -> None:
        for name, value in (("walk", self.walk), ("eigenvectors", self.eigenvectors)):
            if type(value) is not int or not 0 <= value <= 64:
                raise BadInput(f"`{name}` wants a whole number from 0 to 64, got {value!r}")


@dataclass(frozen=True, eq=False)
class Graph:
    """A molecule of n atoms and e bonds.

    `atoms` float32 (n, ATOM); `ends` int64 (2, 2e), of each direction of a bond where it begins and where it ends;
    `kinds` int64 (k,), the rows of `BOND_FEATURES` that there are among its bonds, and `bonds` int64 (2e,), which of them each
    is; `random_walks` float32 (n, s), the chance to be back after 1 … s steps; `vectors` float32 (n, ·), eigenvectors of the
    Laplacian by ascending eigenvalue, and `values` float32 (·,), padded with zeros.
    """

    atoms: np.ndarray
    ends: np.ndarray
    kinds: np.ndarray
    bonds: np.ndarray
    walks: np.ndarray
    vectors: np.ndarray
    values: np.ndarray

    @property
    def told(self) -> np.ndarray:
        """What is told of each direction of a bond (2e, BOND)."""
        return BOND_FEATURES[self.kinds[self.bonds]]

    def __len__(self) -> int:
        return len(self.atoms)


def build_graph(smiles: str, encodings: Encodings = Encodings()) -> Graph:
    """The graph of a molecule, a millisecond the first time. Raises `BadInput`."""
    vectors, values = laplacian_eigenvectors(smiles, encodings.eigenvectors)
    return Graph(*atoms_and_bonds(smiles), random_walks(smiles, encodings.walk), vectors, values)


def get_graphs(smiles: Sequence[str], encodings: Encodings = Encodings()) -> list[Graph]:
    """The graphs of molecules, one kind of array after another: the processor is quicker at the same thing again.

    Raises `BadInput`.
    """
    bodies = [atoms_and_bonds(one) for one in smiles]
    places = [random_walks(one, encodings.walk) for one in smiles]
    spectra = [laplacian_eigenvectors(one, encodings.eigenvectors) for one in smiles]
    return [Graph(*body, place, *found) for body, place, found in zip(bodies, places, spectra, strict=True)]


def build_graphs(
    smiles: Sequence[str], encodings: Encodings = Encodings(), report: Report = SILENT_REPORT
) -> tuple[list[Graph | None], list[tuple[int, str]]]:
    """The graphs of molecules in their order, and (row, reason) of those that have none, in whose place is None.

    Raises `BadInput` where more than a few in a hundred have none: that is no smaller table but a wrong one.
    """
    found: list[Graph | None] = []
    lost: list[tuple[int, str]] = []
    for start in range(0, len(smiles), REPORT_EVERY):
        report(start / len(smiles), f"drawing graphs, {start:,} of {len(smiles):,}")
        some = smiles[start : start + REPORT_EVERY]
        try:
            found += get_graphs(some, encodings)
        except BadInput:  # one of them has none: which?
            for row, one in enumerate(some, start):
                try:
                    found.append(build_graph(one, encodings))
                except BadInput as error:
                    found.append(None)
                    lost.append((row, str(error)))
    if len(lost) > MAX_FAILED_SHARE * len(smiles):
        row, reason = lost[0]
        raise BadInput(
            f"{len(lost):,} of {len(smiles):,} molecules have no graph (row {row}: {reason}); mend or leave out these "
            "rows, or choose another column of SMILES"
        )
    return found, lost


def pad_graphs(found: Sequence[Graph]) -> dict[str, np.ndarray]:
    """Graphs as rows (b, …) of arrays as long as the largest wants them.

    `atoms`, `random_walks` and `vectors` (b, n, …), `kinds` (b, k) and `values` (b, ·) as in a `Graph`; `bonds` (b, 2e) and
    `ends` (b, 2e, 2), −1 where there is none; `known` bool (b, n), whether there is an atom.
    """
    rows, sizes, kinds = len(found), [len(one) for one in found], max(len(one.kinds) for one in found)
    most, bonds = max(sizes), max(one.ends.shape[1] for one in found)
    laid = {"known": np.arange(most) < np.array(sizes)[:, None], "values": np.stack([one.values for one in found])}
    laid["kinds"] = np.zeros((rows, kinds), np.int64)
    for row, one in enumerate(found):
        laid["kinds"][row, : len(one.kinds)] = one.kinds
    for name in ("atoms", "walks", "vectors"):
        laid[name] = np.zeros((rows, most, getattr(found[0], name).shape[1]), np.float32)
        for row, one in enumerate(found):
            laid[name][row, : len(one)] = getattr(one, name)
    laid["ends"], laid["bonds"] = np.full((rows, bonds, 2), -1, np.int64), np.full((rows, bonds), -1, np.int64)
    for row, one in enumerate(found):
        laid["ends"][row, : one.ends.shape[1]] = one.ends.T
        laid["bonds"][row, : one.ends.shape[1]] = one.bonds
    return laid


@functools.lru_cache(maxsize=CACHED_MOLECULES)
def atoms_and_bonds(smiles: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`atoms`, `ends`, `kinds` and `bonds` of a `Graph`. Raises `BadInput`."""
    molecule = chem.parse(smiles)
    if not molecule.GetNumAtoms():
        raise BadInput("the molecule has no atom")
    told = np.array(
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
    columns = np.column_stack([COLUMNS[told[:, 0]], _FIRST + np.minimum(told[:, 1], VALENCES - 1)])
    atoms = np.zeros((len(told), ATOM_COLUMNS), np.float32)
    atoms[np.arange(len(told))[:, None], columns] = 1.0
    atoms[:, _FIRST + VALENCES :] = told[:, 2:]
    told = _plain_bonds(molecule) if not MARKED_BONDS.search(smiles) else _all_bonds(molecule)
    ends = np.stack([told[:, :2], told[:, 1::-1]], 1).reshape(-1, 2).T.copy()
    kinds, bonds = np.unique((told[:, 2] * (len(BOND_STEREO) + 1) + told[:, 3]) * 2 + told[:, 4], return_inverse=True)
    return _read_only(atoms), _read_only(ends), _read_only(kinds), _read_only(np.repeat(bonds, 2))


def _all_bonds(molecule: Chem.Mol) -> np.ndarray:
    """A row (bonds, 5) a bond: its two ends, the columns of its kind and stereo mark, and whether it is in a ring."""
    told = [
        (
            bond.GetBeginAtomIdx(),
            bond.GetEndAtomIdx(),
            BOND_TYPES.get(bond.GetBondType(), len(BOND_TYPES)),
            BOND_STEREO.get(bond.GetStereo(), len(BOND_STEREO)),
            bond.IsInRing(),
        )
        for bond in molecule.GetBonds()
    ]
    return _sort_bonds(np.array(told, np.int64).reshape(-1, 5))


def _plain_bonds(molecule: Chem.Mol) -> np.ndarray:
    """The same, four times as fast, where no bond has a stereo mark or is of a rare kind."""
    order = np.triu(Chem.GetAdjacencyMatrix(molecule, useBO=True))
    first, second = np.nonzero(order)
    told = np.empty((len(first), 5), np.int64)
    told[:, 0], told[:, 1], told[:, 3] = first, second, len(BOND_STEREO)
    told[:, 2] = ORDER_COLUMNS[(2 * order[first, second]).astype(int)]
    ring = np.zeros(order.shape, bool)
    for members in molecule.GetRingInfo().AtomRings():
        around = np.array(members)
        ring[around, np.roll(around, 1)] = True
    told[:, 4] = ring[first, second] | ring[second, first]
    return told


def _sort_bonds(told: np.ndarray) -> np.ndarray:
    """Bonds with the lower atom first, and in the order of their atoms."""
    told[:, :2].sort(axis=1)
    return told[np.lexsort((told[:, 1], told[:, 0]))]


@functools.lru_cache(maxsize=CACHED_MOLECULES)
def random_walks(smiles: str, steps: int) -> np.ndarray:
    """The chance float32 (n, steps) of a random walk from each atom to be back after 1, 2 … steps.

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

    Of those that are not flat over the components of the molecule, the `count` with the lowest eigenvalues, ascending;
    zeros where a molecule has fewer (`torch_geometric`'s transform raises there). Their signs are arbitrary, and where
    eigenvalues coincide any turn among them is as good: training flips the signs. Raises `BadInput`.
    """
    atoms, ends, *_ = atoms_and_bonds(smiles)
    vectors, values = np.zeros((len(atoms), count), np.float32), np.zeros(count, np.float32)
    if count and ends.size:
        with _thread_controller().limit(limits=1, user_api="blas"):  # several would spend six times as long on waiting
            spectrum, every = np.linalg.eigh(normalised_laplacian(len(atoms), ends))
        told = np.flatnonzero(spectrum > ZERO_EIGENVALUE)[:count]
        vectors[:, : len(told)], values[: len(told)] = every[:, told], spectrum[told]
    return _read_only(vectors), _read_only(values)


def normalised_laplacian(n: int, ends: np.ndarray) -> np.ndarray:
    """The symmetric normalised Laplacian float64 (n, n), 1 − D^−½ A D^−½; a lone atom has a row of zeros."""
    neighbours = np.zeros((n, n))
    neighbours[ends[0], ends[1]] = 1.0
    degree = neighbours.sum(1)
    scale = np.divide(1.0, np.sqrt(degree), out=np.zeros(n), where=degree > 0)
    return np.diag((degree > 0).astype(float)) - scale[:, None] * neighbours * scale[None, :]


_FIRST = len(ELEMENTS) + 1 + GROUPS + PERIODS  # column of the first valence


@functools.cache
def _thread_controller() -> Any:
    return ThreadpoolController()


def _read_only(array: np.ndarray) -> np.ndarray:
    """The array, which many will share, made read-only."""
    array.flags.writeable = False
    return array
