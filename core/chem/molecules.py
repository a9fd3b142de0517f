"""SMILES by RDKit: molecules, canonical SMILES, scaffolds, fingerprints, descriptors.

A molecule is RDKit's `Mol`; its name is its canonical isomeric SMILES. RDKit's log is not printed: its reason is the
message of the `BadInput`.
"""

import functools
import logging
import re
import threading
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold

from core.engine.spec import BadInput

BITS = 2048
RADIUS = 2
# characters; RDKit writes SMILES recursively, and some tens of thousands of atoms crash the process
MAX_SMILES_LENGTH = 5000
BLOCK_ROWS = 2048  # rows of a fingerprint product at a time


class _Reasons(logging.Handler):
    """Collects RDKit's log messages by thread."""

    def __init__(self) -> None:
        super().__init__()
        self.here = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        lines = getattr(self.here, "lines", None)  # unset until `start` in this thread
        message = re.match(r"\[[\d:]+\] (.+)", record.getMessage())  # time stamp; stack traces have none
        if message and lines is not None and len(lines) < 100:
            lines.append(message[1].strip())

    def start(self) -> None:
        self.here.lines = []

    def reason(self) -> str:
        """The first message without its prefix, with its position in the string."""
        messages = [re.sub(r"^(SMILES Parse Error|ERROR): ", "", line) for line in self.here.lines]
        where = next((match[1] for line in messages if (match := re.search(r"around position (\d+)", line))), "")
        first = next((line.rstrip(": ") for line in messages if line), "RDKit gives no reason")
        return f"{first} (near character {where})" if where else first


rdBase.LogToPythonLogger()
_reasons = _Reasons()
_logger = logging.getLogger("rdkit")
_logger.handlers, _logger.propagate = [_reasons], False

MARKED = re.compile(r"@+(?:(?:TH|AL|SP|TB|OH)\d+)?|[/\\]|(\[)\d+")  # stereo marks and isotopes in a SMILES
_generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)


def parse(smiles: str) -> Chem.Mol:
    """The molecule of a SMILES, hydrogens implicit. A CXSMILES tail (` |…|`) is read, any other is refused.

    Raises `BadInput` with RDKit's reason.
    """
    if not isinstance(smiles, str) or not smiles.strip():
        raise BadInput("the SMILES is empty")
    text = smiles.strip()
    core, *tail = text.split(maxsplit=1)  # RDKit ignores what follows a tab or a line end
    if tail and not (text[len(core)] == " " and tail[0].startswith("|")):
        raise BadInput(f"{text[:60]!r} contains a blank; a SMILES has none")
    if len(core) > MAX_SMILES_LENGTH:
        raise BadInput(f"the SMILES has {len(core):,} characters, more than the {MAX_SMILES_LENGTH:,} that are read")
    _reasons.start()
    molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        raise BadInput(f"no molecule: {_reasons.reason()}")
    return molecule


def read_molblock(text: str) -> Chem.Mol | str:
    """The molecule of a V2000 or V3000 block, hydrogens implicit; the reason in place of one that cannot be read."""
    _reasons.start()
    try:
        molecule = Chem.MolFromMolBlock(text)
    except Exception as error:  # RDKit raises its own kinds for damaged blocks
        return str(error).strip().splitlines()[0] or "RDKit gives no reason"
    if molecule is None:
        return _reasons.reason()
    if not molecule.GetNumAtoms():
        return "the molecule has no atoms"
    if molecule.GetNumAtoms() > MAX_SMILES_LENGTH:
        return f"the molecule has more than {MAX_SMILES_LENGTH:,} atoms"
    return molecule


def canonical_smiles(smiles: str) -> str:
    """The canonical isomeric SMILES. Raises `BadInput` with RDKit's reason."""
    return Chem.MolToSmiles(parse(smiles))


def try_canonical_smiles(smiles: str) -> tuple[str, str]:
    """The canonical isomeric SMILES and "", or "" and the reason for the failure."""
    try:
        return canonical_smiles(smiles), ""
    except BadInput as error:
        return "", str(error)


def write_smiles(molecule: Chem.Mol) -> str:
    """The canonical isomeric SMILES of a molecule."""
    return Chem.MolToSmiles(molecule)


def randomised_smiles(molecule: Chem.Mol, count: int, seed: int) -> list[str]:
    """`count` SMILES of a molecule from random atom orders, with stereochemistry; some may be equal."""
    seed = 1 + seed % (2**31 - 1)  # for RDKit 0 means "continue the last sequence"; at most 31 bits
    return list(Chem.MolToRandomSmilesVect(molecule, count, seed)) if count else []


@functools.lru_cache(maxsize=200_000)
def stereo_free_smiles(smiles: str) -> str:
    """Canonical SMILES without stereochemistry and isotopes, equal for stereoisomers. Raises `BadInput`."""
    return Chem.MolToSmiles(_without_stereo(smiles))


@functools.lru_cache(maxsize=200_000)
def scaffold(smiles: str) -> str:
    """Stereo-free SMILES of the ring systems and their linkers; "" without a ring.

    Bemis & Murcko (1996), doi:10.1021/jm9602928. Raises `BadInput`.
    """
    return Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(_without_stereo(smiles)))


def fingerprints(smiles: Sequence[str], counted: bool = False) -> np.ndarray:
    """Morgan bits of radius 2, without chirality: uint8 (n, 2048), 0 or 1. Raises `BadInput`.

    `counted`: counts of the patterns, at most 255. The last 50,000 molecules are cached.
    """
    bits = np.zeros((len(smiles), BITS), np.uint8)
    for row, text in enumerate(smiles):
        positions, counts = _sparse_fingerprint(text)
        bits[row, positions] = counts if counted else 1
    return bits


@functools.lru_cache(maxsize=50_000)
def _sparse_fingerprint(smiles: str) -> tuple[np.ndarray, np.ndarray]:
    """Nonzero positions of a fingerprint, and their counts."""
    counts = _generator.GetCountFingerprintAsNumPy(parse(smiles))
    positions = np.flatnonzero(counts)
    return positions.astype(np.uint16), np.minimum(counts[positions], 255).astype(np.uint8)


def bit_vectors(smiles: Sequence[str]) -> list[DataStructs.ExplicitBitVect]:
    """The same bits as RDKit vectors, for RDKit's pickers. Raises `BadInput`."""
    vectors = []
    for text in smiles:
        vector = DataStructs.ExplicitBitVect(BITS)
        vector.SetBitsFromList(_sparse_fingerprint(text)[0].tolist())
        vectors.append(vector)
    return vectors


def tanimoto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Shared bits over all bits, float32 (n, m), of fingerprints (n, 2048) and (m, 2048); 0 where both have none."""
    a, b = a.astype(np.float32), b.astype(np.float32)  # counts stay exact, and the product is one BLAS call
    both = a @ b.T
    either = a.sum(1)[:, None] + b.sum(1)[None, :] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def nearest(smiles: Sequence[str], others: Sequence[str], count: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The `count` most similar of `others` for each of `smiles`, nearest first; ties go to the earlier one.

    Indices int (n, c) and Tanimoto similarities float32 (n, c), c = min(count, len(others)). A molecule in
    both finds itself. Cost: n × m products of 2048 bits, in blocks. Raises `BadInput`.
    """
    if count < 1:
        raise BadInput(f"nearest wants at least 1 neighbour, got {count}")
    a, b = fingerprints(smiles), fingerprints(others)
    indices = np.zeros((len(a), 0), int)
    similarities = np.zeros((len(a), 0), np.float32)
    for start in range(0, len(b), BLOCK_ROWS):
        block = np.vstack(
            [
                tanimoto(a[row : row + BLOCK_ROWS], b[start : start + BLOCK_ROWS])
                for row in range(0, len(a) or 1, BLOCK_ROWS)
            ]
        )
        block_indices = np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)
        similarities, indices = np.hstack([similarities, block]), np.hstack([indices, block_indices])
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
        similarities, indices = (np.take_along_axis(each, order, axis=1) for each in (similarities, indices))
    return indices, similarities


def descriptors(smiles: Sequence[str]) -> pd.DataFrame:
    """All of RDKit's 2D descriptors, float64 (n, about 200), one row per molecule; NaN where undefined or infinite.

    Some milliseconds per molecule. Raises `BadInput`.
    """
    from rdkit.Chem import Descriptors

    names = [name for name, _ in Descriptors.descList]
    rows = [Descriptors.CalcMolDescriptors(parse(text), missingVal=np.nan, silent=True) for text in smiles]
    values = np.array([[row[name] for name in names] for row in rows], float).reshape(len(rows), len(names))
    values[~np.isfinite(values)] = np.nan
    return pd.DataFrame(values, columns=names)


def as_sdf(smiles: Sequence[str], properties: Mapping[str, Sequence[float]] | None = None) -> str:
    """The molecules as text of an SD file with 2D coordinates and properties; NaN is left out."""
    import io

    from rdkit.Chem import rdDepictor

    buffer = io.StringIO()
    writer = Chem.SDWriter(buffer)
    for row, text in enumerate(smiles):
        molecule = parse(text)
        rdDepictor.Compute2DCoords(molecule)
        molecule.SetProp("_Name", text)
        for name, values in (properties or {}).items():
            if np.isfinite(values[row]):
                molecule.SetProp(name, f"{values[row]:.10g}")
        writer.write(molecule)
    writer.close()
    return buffer.getvalue()


def _without_stereo(smiles: str) -> Chem.Mol:
    """The molecule without stereochemistry and isotopes."""
    if "|" not in smiles:
        return parse(MARKED.sub(r"\1", smiles))  # a third of the time of removing them from a molecule
    molecule = parse(smiles)  # the tail may contain stereo marks
    for atom in molecule.GetAtoms():
        atom.SetIsotope(0)
    molecule = Chem.RemoveHs(molecule)  # former deuterium atoms
    Chem.RemoveStereochemistry(molecule)
    return molecule
