"""Drawings of molecules as SVG: transparent, for light or dark pages, of limited size."""

import base64
import functools
import html
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor, rdFMCS
from rdkit.Chem.Draw import rdMolDraw2D

MOST_ATOMS = 120  # heavy atoms; a chain of 400 takes 0.6 s and 200 kB, and is unreadable
HIGHLIGHT = {False: (0.62, 0.80, 0.95), True: (0.16, 0.38, 0.56)}  # blue, by dark mode


@functools.lru_cache(maxsize=4096)
def draw_svg(
    smiles: str,
    width: int = 220,
    height: int = 160,
    dark: bool = False,
    highlight: tuple[int, ...] = (),
    core: str = "",
    most_atoms: int = MOST_ATOMS,
) -> str:
    """SVG of a molecule on a transparent background, `width` by `height` px.

    `highlight`: atom indices. `core`: SMARTS or SMILES to align the drawing to, so that molecules that share it are
    drawn alike; ignored if the molecule lacks it. Never raises: a placeholder gives the reason.
    """
    with rdBase.BlockLogs():
        mol = _parse_or_none(smiles)
        if mol is None:
            return placeholder_svg("no structure", width, height, dark)
        if mol.GetNumHeavyAtoms() > most_atoms:
            return placeholder_svg(f"{mol.GetNumHeavyAtoms()} atoms: too large to draw", width, height, dark)
        try:
            return _draw(mol, width, height, dark, highlight, core)
        except (RuntimeError, ValueError):  # RDKit: a layout or a valence it cannot draw
            return placeholder_svg("cannot be drawn", width, height, dark)


def placeholder_svg(text: str, width: int = 220, height: int = 160, dark: bool = False) -> str:
    """An SVG of this size with a short text."""
    ink = "#98A2B3" if dark else "#667085"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}px' height='{height}px' "
        f"viewBox='0 0 {width} {height}'><rect x='6' y='6' width='{width - 12}' height='{height - 12}' rx='8' "
        f"fill='none' stroke='{ink}' stroke-opacity='0.4' stroke-dasharray='4 4'/>"
        f"<text x='{width / 2:g}' y='{height / 2:g}' fill='{ink}' font-family='system-ui, sans-serif' font-size='12' "
        f"text-anchor='middle' dominant-baseline='middle'>{html.escape(text)}</text></svg>"
    )


def data_uri(picture: str) -> str:
    """An SVG as a data URI, for `<img src=…>` or an ImageColumn."""
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()


@functools.lru_cache(maxsize=512)
def find_shared_core(first: str, second: str, seconds: int = 2) -> str:
    """SMARTS of the maximum common substructure with complete rings; "" for fewer than five atoms."""
    with rdBase.BlockLogs():
        mols = [_parse_or_none(smiles) for smiles in (first, second)]
        if any(mol is None or mol.GetNumHeavyAtoms() > MOST_ATOMS for mol in mols):
            return ""
        match = rdFMCS.FindMCS(mols, timeout=seconds, ringMatchesRingOnly=True, completeRingsOnly=True)
    return match.smartsString if match.numAtoms >= 5 else ""


def match_atoms(smiles: str, core: str) -> tuple[int, ...]:
    """Atom indices of the first match of `core` (SMARTS) in a molecule; empty where there is none."""
    with rdBase.BlockLogs():
        mol, pattern = _parse_or_none(smiles), Chem.MolFromSmarts(core) if core else None
    return tuple(mol.GetSubstructMatch(pattern)) if mol is not None and pattern is not None else ()


def _parse_or_none(smiles: str) -> Chem.Mol | None:
    mol = Chem.MolFromSmiles(smiles) if isinstance(smiles, str) and smiles.strip() else None
    return mol if mol is not None and mol.GetNumAtoms() else None


def _draw(mol: Chem.Mol, width: int, height: int, dark: bool, highlight: tuple[int, ...], core: str) -> str:
    pattern = (Chem.MolFromSmarts(core) or Chem.MolFromSmiles(core)) if core else None
    if pattern is not None and mol.HasSubstructMatch(pattern):
        if not pattern.GetNumConformers():
            rdDepictor.Compute2DCoords(pattern)
        rdDepictor.GenerateDepictionMatching2DStructure(mol, pattern)
    mol = rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=True)
    drawer = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = drawer.drawOptions()  # its type stubs are wrong
    if dark:
        rdMolDraw2D.SetDarkMode(options)  # it sets a black background
    options.clearBackground = False
    options.padding = 0.06
    options.fixedBondLength = 28.0  # small molecules are not enlarged to the frame
    options.bondLineWidth = 1.6
    options.setHighlightColour(HIGHLIGHT[dark])
    atoms = [atom for atom in highlight if 0 <= atom < mol.GetNumAtoms()]
    bonds = [b.GetIdx() for b in mol.GetBonds() if {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} <= set(atoms)]
    drawer.DrawMolecule(mol, highlightAtoms=atoms, highlightBonds=bonds)
    drawer.FinishDrawing()
    return drawer.GetDrawingText().split("?>", 1)[-1].strip()
