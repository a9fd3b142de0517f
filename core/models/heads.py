"""Heads over one trunk: for each table of a mixture a net with its own masked loss and its own label scaler."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from core.engine.spec import BadInput
from core.results.mixture import MixtureParts, TaskSettings

HEADS_FILE, WEIGHTS_FILE = "heads.json", "heads.safetensors"
QUARTILES = 1.349  # standard deviations between the quartiles of a normal distribution


class HeadBatch(NamedTuple):
    """What a batch holds of one table: the rows (b,) of the embeddings that are its, and their scaled labels (b, t).

    A row is a molecule, or an atom where atoms are learned; a label is NaN where unmeasured.
    """

    rows: Tensor
    labels: Tensor


class Head(nn.Module):
    """`Linear(h, hidden) → GELU → Dropout → Linear(hidden, outputs)`: an output a task, of binned ones one a bin.

    A regression output is in units of the training labels' spread about their centre, a binary one a logit.
    """

    def __init__(
        self, learning: TaskSettings, tasks: Sequence[str], kinds: Sequence[str], width: int, dropout: float
    ) -> None:
        super().__init__()
        self.learning, self.tasks, self.kinds = learning, tuple(tasks), tuple(kinds)
        self.binned = learning.loss == "binned"
        t, bins = len(self.tasks), learning.bins
        self.net = nn.Sequential(
            nn.Linear(width, learning.hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(learning.hidden, t * bins if self.binned else t),
        )  # fmt: skip
        for name, start in (("centre", 0.0), ("spread", 1.0), ("deviation", 1.0)):
            self.register_buffer(name, torch.full((t,), start, dtype=torch.float64))
        self.register_buffer("edges", torch.zeros(t, bins - 1, dtype=torch.float64))  # between the bins, scaled
        self.register_buffer("middles", torch.zeros(t, bins, dtype=torch.float64))  # mean label of each, scaled
        self.register_buffer("binary", torch.tensor([kind == "binary" for kind in self.kinds]), persistent=False)

    def fit_scaler(self, targets: np.ndarray) -> None:
        """Take centre, spread and bins of each regression task from training labels (n, t), gaps left out.

        Raises `BadInput` for a task without two different labels.
        """
        for task, (name, kind) in enumerate(zip(self.tasks, self.kinds, strict=True)):
            labels = targets[~np.isnan(targets[:, task]), task]
            if len(labels) < 2 or np.ptp(labels) == 0:
                raise BadInput(
                    f"{self.learning.name}: the training part has {len(labels)} labels of {name!r}, all alike; there "
                    "is nothing to learn from them: leave the task out, or use a larger table"
                )
            if kind == "binary":
                continue
            self.deviation[task] = float(labels.std())
            if self.learning.scaler == "standard":
                self.centre[task], self.spread[task] = float(labels.mean()), float(labels.std())
            elif self.learning.scaler == "robust":
                low, middle, high = np.quantile(labels, [0.25, 0.5, 0.75])
                self.centre[task], self.spread[task] = middle, (high - low) / QUARTILES or float(labels.std())
            if self.binned:
                scaled = (labels - float(self.centre[task])) / float(self.spread[task])
                edges = np.quantile(scaled, np.linspace(0, 1, self.learning.bins + 1)[1:-1])
                bins = np.searchsorted(edges, scaled)
                self.edges[task] = torch.from_numpy(edges)
                overall = float(scaled.mean())  # of a bin that no label falls into, where many are alike
                means = [scaled[bins == k].mean() if (bins == k).any() else overall for k in range(self.learning.bins)]
                self.middles[task] = torch.tensor(means)

    def scale_labels(self, targets: np.ndarray) -> Tensor:
        """Labels (n, t) as the loss wants them, in the precision of the weights, NaN where unmeasured."""
        labels = torch.tensor(targets, dtype=torch.float64, device=self.centre.device)
        return ((labels - self.centre) / self.spread).to(self.net[0].weight.dtype)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Outputs (n, t), or (n, t, bins)."""
        found = self.net(embeddings)
        return found.unflatten(1, (len(self.tasks), -1)) if self.binned else found

    def cell_losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of every cell (n, t), 0 where the label is missing; no gradient comes from there."""
        measured = ~torch.isnan(labels)
        wanted = torch.where(measured, labels, torch.zeros_like(labels))
        if self.binned:
            bins = (wanted[..., None] > self.edges.to(wanted)).sum(-1)
            found = functional.cross_entropy(outputs.movedim(2, 1), bins, reduction="none")
        else:
            loss = {"mae": functional.l1_loss, "mse": functional.mse_loss, "huber": functional.huber_loss}
            found = loss[self.learning.loss](outputs, wanted, reduction="none")
            if self.binary.any():
                entropy = functional.binary_cross_entropy_with_logits(outputs, wanted.clamp(0, 1), reduction="none")
                found = torch.where(self.binary, entropy, found)
        return torch.where(measured, found, torch.zeros_like(found))

    def to_label_units(self, outputs: Tensor) -> Tensor:
        """Predictions (n, t) of outputs: label units, or probabilities; of bins their mean by probability."""
        if self.binned:
            outputs = (torch.softmax(outputs, -1) * self.middles.to(outputs)).sum(-1)
        return torch.where(self.binary, torch.sigmoid(outputs), outputs * self.spread + self.centre)


class Heads(nn.Module):
    """A trunk under the heads of a mixture, and one loss of all.

    The loss of a table is the mean over the cells of a batch that are measured; that of the mixture their sum, each by
    its share `weights`, which add up to 1: a table of which a batch has no label adds nothing. With `learned` each
    table has a weight more, its log variance s, and adds e⁻ˢ L + s (Kendall et al. 2018, arXiv 1705.07115).
    """

    def __init__(
        self, backbone: nn.Module, tables: Sequence[MixtureParts], weighting: str, dropout: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__()
        self.backbone = backbone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = nn.ModuleList(
                Head(one.learning, one.tasks, one.kinds, backbone.width, dropout) for one in tables
            )
        for one in tables:
            if one.learning.atoms and not backbone.reads_atoms:
                raise BadInput(
                    f"{one.learning.name} is learned atom by atom, and {backbone.name} reads tokens, not atoms; take a "
                    "gnn, or leave that table out"
                )
        self.atoms = any(one.learning.atoms for one in tables)
        given = torch.tensor([one.learning.weight for one in tables], dtype=torch.float32)
        if weighting == "count":
            given = given * torch.tensor([float(count_labels(one)) for one in tables])
        self.register_buffer("weights", given / given.sum(), persistent=False)
        self.variances = nn.Parameter(torch.zeros(len(tables))) if weighting == "learned" else None

    def embed(self, smiles: Sequence[str]) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Embeddings of molecules (b, h), and where a table wants them of their atoms, with the molecule of each."""
        batch = self.backbone.batch(smiles)
        return self.backbone.embed_atoms(batch) if self.atoms else (self.backbone.embed(batch), None, None)

    def losses(self, embedded: tuple[Tensor, Tensor | None, Tensor | None], given: Sequence[HeadBatch | None]) -> list:
        """The mean loss (scalar) of each table over its measured cells, None where the batch has none of it."""
        found = []
        for head, mine in zip(self.heads, given, strict=True):
            count = 0 if mine is None else int((~torch.isnan(mine.labels)).sum())
            if not count:
                found.append(None)
                continue
            values = embedded[1 if head.learning.atoms else 0]
            found.append(head.cell_losses(head(values[mine.rows]), mine.labels).sum() / count)
        return found

    def total(self, losses: Sequence[Tensor | None], embeddings: Tensor) -> Tensor:
        """The loss of the mixture; of a batch of these embeddings without any label 0, and no gradient."""
        found = [0.0 * embeddings.sum()]
        for place, loss in enumerate(losses):
            if loss is not None:
                own = loss
                if self.variances is not None:
                    own = torch.exp(-self.variances[place]) * loss + self.variances[place]
                found.append(self.weights[place] * own)
        return torch.stack(found).sum()

    def save(self, folder: Path) -> None:
        """The heads by themselves, without the trunk."""
        save_heads(self.heads, folder, {} if self.variances is None else {"variances": self.variances})


def save_heads(heads: Iterable[Head], folder: Path, more: dict[str, Tensor] | None = None) -> None:
    """heads.safetensors, with `more` tensors, and heads.json."""
    folder.mkdir(parents=True, exist_ok=True)
    state, about = dict(more or {}), []
    for place, head in enumerate(heads):
        state |= {f"heads.{place}.{name}": value for name, value in head.state_dict().items()}
        about.append({"learning": dataclasses.asdict(head.learning), "tasks": head.tasks, "kinds": head.kinds})
    save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, folder / WEIGHTS_FILE)
    (folder / HEADS_FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")


def load_heads(folder: Path, width: int) -> list[Head]:
    """The heads kept in a folder, in evaluation mode, for a trunk of this width. Raises `BadInput`."""
    try:
        about = json.loads((folder / HEADS_FILE).read_text(encoding="utf-8"))
        state, found = load_file(folder / WEIGHTS_FILE), []
    except (OSError, json.JSONDecodeError, SafetensorError) as error:
        raise BadInput(f"{folder} holds no readable heads ({error}); delete the run and make it again") from None
    for place, one in enumerate(about):
        head = Head(TaskSettings(**one["learning"]), one["tasks"], one["kinds"], width, 0.0)
        start = f"heads.{place}."
        head.load_state_dict({name[len(start) :]: value for name, value in state.items() if name.startswith(start)})
        found.append(head.eval())
    return found


def count_labels(tables: MixtureParts) -> int:
    """Measured cells of the training part."""
    labels = tables.labels("train")
    return int((~np.isnan(np.concatenate(labels) if isinstance(labels, list) else labels)).sum())
