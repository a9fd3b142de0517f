"""Heads over a shared backbone: for each table of a mixture a network with its own masked loss and label scaler."""

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
QUARTILES = 1.349  # interquartile range of the standard normal distribution


class HeadBatch(NamedTuple):
    """The part of a batch that belongs to one table: rows (b,) of the embeddings and their scaled labels (b, t).

    A row is a molecule, or an atom for atom tables; a label is NaN where unmeasured.
    """

    rows: Tensor
    labels: Tensor


class Head(nn.Module):
    """`Linear(h, hidden) → GELU → Dropout → Linear(hidden, outputs)`: one output per task, or per bin of binned tasks.

    A regression output is a scaled label, (label − centre) / spread of the training labels; a binary one is a logit.
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
        """Set centre, spread and bins of each regression task from training labels (n, t), NaN where unmeasured.

        Raises `BadInput` for a task without two different labels.
        """
        for task, (name, kind) in enumerate(zip(self.tasks, self.kinds, strict=True)):
            labels = targets[~np.isnan(targets[:, task]), task]
            if len(labels) < 2 or np.ptp(labels) == 0:
                raise BadInput(
                    f"{self.learning.name}: the training part has {len(labels)} labels of {name!r}, all equal: leave "
                    "the task out, or use a larger table"
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
                overall = float(scaled.mean())  # for an empty bin, which repeated labels can cause
                means = [scaled[bins == k].mean() if (bins == k).any() else overall for k in range(self.learning.bins)]
                self.middles[task] = torch.tensor(means)

    def scale_labels(self, targets: np.ndarray) -> Tensor:
        """Scaled labels (n, t) for the loss, in the precision of the weights, NaN where unmeasured."""
        labels = torch.tensor(targets, dtype=torch.float64, device=self.centre.device)
        return ((labels - self.centre) / self.spread).to(self.net[0].weight.dtype)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Outputs (n, t), or (n, t, bins)."""
        outputs = self.net(embeddings)
        return outputs.unflatten(1, (len(self.tasks), -1)) if self.binned else outputs

    def cell_losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of every cell (n, t); 0, without gradient, where the label is missing."""
        measured = ~torch.isnan(labels)
        targets = torch.where(measured, labels, torch.zeros_like(labels))
        if self.binned:
            bins = (targets[..., None] > self.edges.to(targets)).sum(-1)
            losses = functional.cross_entropy(outputs.movedim(2, 1), bins, reduction="none")
        else:
            loss = {"mae": functional.l1_loss, "mse": functional.mse_loss, "huber": functional.huber_loss}
            losses = loss[self.learning.loss](outputs, targets, reduction="none")
            if self.binary.any():
                entropy = functional.binary_cross_entropy_with_logits(outputs, targets.clamp(0, 1), reduction="none")
                losses = torch.where(self.binary, entropy, losses)
        return torch.where(measured, losses, torch.zeros_like(losses))

    def to_label_units(self, outputs: Tensor) -> Tensor:
        """Predictions (n, t): label units or probabilities; for binned tasks the expected value over the bins."""
        if self.binned:
            outputs = (torch.softmax(outputs, -1) * self.middles.to(outputs)).sum(-1)
        return torch.where(self.binary, torch.sigmoid(outputs), outputs * self.spread + self.centre)


class Heads(nn.Module):
    """A shared backbone under the heads of a mixture, and their total loss.

    The loss of a table is the mean over its measured cells in a batch. The total is their sum with `weights`, which add
    up to 1; a table without labels in a batch adds nothing. `weighting` "learned" adds a parameter per table, its log
    variance s: the table then adds e⁻ˢ L + s (Kendall et al. 2018, arXiv 1705.07115).
    """

    def __init__(
        self, backbone: nn.Module, tables: Sequence[MixtureParts], weighting: str, dropout: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__()
        self.backbone = backbone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = nn.ModuleList(
                Head(table.learning, table.tasks, table.kinds, backbone.width, dropout) for table in tables
            )
        for table in tables:
            if table.learning.atoms and not backbone.reads_atoms:
                raise BadInput(
                    f"{table.learning.name} has labels of atoms, and {backbone.name} reads tokens; use a gnn, or leave "
                    "that table out"
                )
        self.atoms = any(table.learning.atoms for table in tables)
        weights = torch.tensor([table.learning.weight for table in tables], dtype=torch.float32)
        if weighting == "count":
            weights = weights * torch.tensor([float(count_labels(table)) for table in tables])
        self.register_buffer("weights", weights / weights.sum(), persistent=False)
        self.variances = nn.Parameter(torch.zeros(len(tables))) if weighting == "learned" else None

    def embed(self, smiles: Sequence[str]) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Embeddings of molecules (b, h); if a table has atom labels, also of atoms (a, h) and their molecules (a,)."""
        batch = self.backbone.batch(smiles)
        return self.backbone.embed_atoms(batch) if self.atoms else (self.backbone.embed(batch), None, None)

    def losses(
        self, embedded: tuple[Tensor, Tensor | None, Tensor | None], batches: Sequence[HeadBatch | None]
    ) -> list[Tensor | None]:
        """The mean loss (scalar) of each table over its measured cells, None where the batch has none."""
        losses: list[Tensor | None] = []
        for head, batch in zip(self.heads, batches, strict=True):
            count = 0 if batch is None else int((~torch.isnan(batch.labels)).sum())
            if not count:
                losses.append(None)
                continue
            values = embedded[1 if head.learning.atoms else 0]
            losses.append(head.cell_losses(head(values[batch.rows]), batch.labels).sum() / count)
        return losses

    def total(self, losses: Sequence[Tensor | None], embeddings: Tensor) -> Tensor:
        """The total loss of the mixture; for a batch without labels 0 with zero gradient."""
        terms = [0.0 * embeddings.sum()]
        for index, loss in enumerate(losses):
            if loss is not None:
                term = loss
                if self.variances is not None:
                    term = torch.exp(-self.variances[index]) * loss + self.variances[index]
                terms.append(self.weights[index] * term)
        return torch.stack(terms).sum()

    def save(self, folder: Path) -> None:
        """Write the heads without the backbone."""
        save_heads(self.heads, folder, {} if self.variances is None else {"variances": self.variances})


def save_heads(heads: Iterable[Head], folder: Path, extra: dict[str, Tensor] | None = None) -> None:
    """Write heads.safetensors, with `extra` tensors, and heads.json."""
    folder.mkdir(parents=True, exist_ok=True)
    state, about = dict(extra or {}), []
    for index, head in enumerate(heads):
        state |= {f"heads.{index}.{name}": value for name, value in head.state_dict().items()}
        about.append({"learning": dataclasses.asdict(head.learning), "tasks": head.tasks, "kinds": head.kinds})
    save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, folder / WEIGHTS_FILE)
    (folder / HEADS_FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")


def load_heads(folder: Path, width: int) -> list[Head]:
    """The heads saved in a folder, in evaluation mode, for a backbone of this `width`. Raises `BadInput`."""
    try:
        about = json.loads((folder / HEADS_FILE).read_text(encoding="utf-8"))
        state, heads = load_file(folder / WEIGHTS_FILE), []
    except (OSError, json.JSONDecodeError, SafetensorError) as error:
        raise BadInput(f"{folder} holds no readable heads ({error}); delete the run and make it again") from None
    for index, entry in enumerate(about):
        head = Head(TaskSettings(**entry["learning"]), entry["tasks"], entry["kinds"], width, 0.0)
        start = f"heads.{index}."
        head.load_state_dict({name[len(start) :]: value for name, value in state.items() if name.startswith(start)})
        heads.append(head.eval())
    return heads


def count_labels(tables: MixtureParts) -> int:
    """Number of labels in the training part."""
    labels = tables.labels("train")
    return int((~np.isnan(np.concatenate(labels) if isinstance(labels, list) else labels)).sum())
