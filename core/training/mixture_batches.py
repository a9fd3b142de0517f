"""What the training of a mixture reads: the molecules of all its tables, and what its heads predict of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core.engine.report import Report
from core.models.heads import Given
from core.results.mixture import Tables

if TYPE_CHECKING:
    from core.models.heads import Heads


class Batches:
    """The molecules of one part of all tables, one below the other, and what a batch of them holds of each table."""

    def __init__(self, model: "Heads", members: Sequence[Tables], labels: dict[str, list], part: str) -> None:
        self.smiles = [smiles for one in members for smiles in one.parts[part].smiles]
        sizes = [len(one.parts[part]) for one in members]
        self.member = np.repeat(np.arange(len(members)), sizes)
        self.first = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        self.labels = [
            [head.scaled(one) for one in mine] if isinstance(mine, list) else head.scaled(mine)
            for head, mine in zip(model.heads, labels[part], strict=True)
        ]
        self.device = model.weights.device

    def given(self, rows: np.ndarray, molecule: Any) -> list[Any]:
        """Of each table its rows and labels in a batch of these molecules, None where there is none of it.

        `molecule` (atoms,): of each atom of the batch its molecule's place there.
        """
        found = []
        for place, labels in enumerate(self.labels):
            there = np.flatnonzero(self.member[rows] == place)
            own = rows[there] - self.first[place]
            if not len(there):
                found.append(None)
            elif isinstance(labels, list):
                mine = torch.zeros(len(rows), dtype=torch.bool, device=self.device)
                mine[torch.from_numpy(there).to(self.device)] = True
                found.append(Given(mine[molecule].nonzero()[:, 0], torch.cat([labels[row] for row in own])))
            else:
                take = torch.from_numpy(own).to(self.device)
                found.append(Given(torch.from_numpy(there).to(self.device), labels[take]))
        return found


@torch.no_grad()
def predictions(
    model: "Heads", place: int, smiles: list[str], size: int, report: Report
) -> np.ndarray | list[np.ndarray]:
    """What a head predicts (n, t) of molecules in label units; of atoms, an array (atoms, 1) for each molecule."""
    head, found = model.heads[place], []
    for start in range(0, len(smiles), size):
        report(start / len(smiles), f"predicted {start:,} of {len(smiles):,} of {head.learning.name}")
        molecules, atoms, molecule = model.embed(smiles[start : start + size])
        values = head.in_label_units(head(atoms if head.learning.atoms else molecules)).double().cpu().numpy()
        if head.learning.atoms:
            counts = torch.bincount(molecule, minlength=len(molecules)).cpu().numpy()
            found += np.split(values, np.cumsum(counts)[:-1])
        else:
            found.append(values)
    return found if head.learning.atoms else np.concatenate(found)
