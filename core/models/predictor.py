"""A backbone under `t` heads, with its masked loss and its label scaler."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from core.chem.features import Features
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput, to_json
from core.models import backbones
from core.models.devices import best_device
from core.models.methods import METHODS, peft_adapters

SCALERS = {"centre": 0.0, "spread": 1.0, "least": -np.inf, "most": np.inf}  # of each task, and what they begin from


class Predictor(nn.Module):
    """Backbone embedding (b, h) → `Linear(h, h/2) → ReLU → Dropout → Linear(h/2, t)` → one output a task.

    With `features`, the p columns that they make of a molecule stand beside its embedding, and the head begins with a
    further layer, `Linear(h + p, 2h) → ReLU → Dropout`, in which they meet. A fingerprint is thinned by the
    same dropout on its way in: its columns are more than the molecules of many a table.

    A regression output is in units of the training labels' spread about their centre, a binary one is a logit. Both
    scalers belong to the predictor: fitted on the training part alone, they are what every other table goes through.
    """

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[str],
        kinds: Sequence[str],
        dropout: float = 0.1,
        seed: int = 0,
        features: Features | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.tasks, self.kinds, self.dropout = backbone, tuple(tasks), tuple(kinds), dropout
        self.features = features
        self.adapter = None  # the method that has put weights of its own into the backbone, if one has
        h = backbone.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = [nn.Linear(h, h // 2), nn.ReLU(), nn.Dropout(dropout), nn.Linear(h // 2, len(self.tasks))]
            if features is not None:
                meet = nn.Linear(h + features.width, 2 * h)
                layers = [meet, nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * h, h // 2), *layers[1:]]
            self.head = nn.Sequential(*layers)
        # float64: 20,230,101 is not 20,230,102
        for name, start in SCALERS.items():
            self.register_buffer(name, torch.full((len(self.tasks),), start, dtype=torch.float64))
        self.register_buffer("binary", torch.tensor([kind == "binary" for kind in self.kinds]), persistent=False)
        self.eval()

    @property
    def device(self) -> torch.device:
        return self.centre.device

    def fit_scaler(self, targets: np.ndarray, margin: float = np.inf) -> None:
        """Take centre and spread of each regression task from training labels (n, t), gaps left out.

        No prediction will lie farther outside their range than `clip_margin` of their spreads: a network goes on in a
        straight line where it has seen nothing, a measurement does not.

        Raises `BadInput` where labels differ by less than float64 can scale.
        """
        for task, kind in enumerate(self.kinds):
            labels = targets[~np.isnan(targets[:, task]), task]
            if kind == "regression":
                self.centre[task] = float(labels.mean())
                self.spread[task] = float(labels.std()) or 1.0
                beyond = margin * float(self.spread[task])
                self.least[task], self.most[task] = float(labels.min()) - beyond, float(labels.max()) + beyond
                if float(self.spread[task]) < 1e-30:
                    least = f"{np.ptp(labels):g}"
                    raise BadInput(f"the labels of {self.tasks[task]!r} differ by {least} only; use a smaller unit")

    def encode(
        self, smiles: Sequence[str], written: Sequence[str] | None = None, embedding: Tensor | None = None
    ) -> dict[str, Tensor]:
        """What `forward` wants of these molecules, on the device of the weights.

        `written`: other spellings to read; `embedding` (b, h): what the backbone makes of them, where that is known.
        """
        known = embedding is not None
        batch = {"embedding": embedding} if known else self.backbone.batch(smiles if written is None else written)
        if self.features is not None:  # 3 ms a molecule the first time
            batch["beside"] = torch.from_numpy(self.features(smiles)).to(self.device, self.head[0].weight.dtype)
        return batch

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """What enters the head (b, h), or (b, h + p) with features."""
        embedding = batch["embedding"] if "embedding" in batch else self.backbone.embed(batch)
        if self.features is None:
            return embedding
        scaled, patterns = batch["beside"].tensor_split([self.features.descriptors], 1)
        return torch.cat([embedding, scaled, functional.dropout(patterns, self.dropout, self.training)], 1)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.head(self.embed(batch))  # (b, t)

    def last_features(self, batch: dict[str, Tensor]) -> Tensor:
        """What enters the last linear layer (b, h/2)."""
        return self.head[:-1](self.embed(batch))

    def scale_labels(self, targets: np.ndarray) -> Tensor:
        """Labels (n, t) as the loss wants them, in the precision of the weights, NaN where unmeasured."""
        labels = torch.tensor(targets, dtype=torch.float64, device=self.device)
        return ((labels - self.centre) / self.spread).to(self.head[0].weight.dtype)

    def cell_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of every cell (b, t): squared error, or cross-entropy of a logit; 0 where the label is missing."""
        measured = ~torch.isnan(targets)
        labels = torch.where(measured, targets, torch.zeros_like(targets))
        squared = (outputs - labels) ** 2
        if any(kind == "binary" for kind in self.kinds):
            entropy = functional.binary_cross_entropy_with_logits(outputs, labels.clamp(0, 1), reduction="none")
            squared = torch.where(self.binary, entropy, squared)
        return torch.where(measured, squared, torch.zeros_like(squared))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean over the measured cells of a batch."""
        return self.cell_loss(outputs, targets).sum() / (~torch.isnan(targets)).sum().clamp(min=1)

    def batches(self, smiles: Sequence[str], size: int) -> list[np.ndarray]:
        """Row numbers in batches of about equal length, longest first: memory runs out at once or never."""
        order = np.argsort(-self.backbone.lengths(smiles), kind="stable")
        return [order[start : start + size] for start in range(0, len(order), size)]

    @torch.no_grad()
    def predict(self, smiles: Sequence[str], batch_size: int = 128, report: Report = SILENT_REPORT) -> np.ndarray:
        """Predictions (n, t): label units for regression, probabilities for binary tasks."""
        found = np.empty((len(smiles), len(self.tasks)))
        was_training = self.training
        self.eval()
        done = 0
        for rows in self.batches(smiles, batch_size):
            found[rows] = self.to_label_units(self(self.encode([smiles[row] for row in rows]))).double().cpu().numpy()
            done += len(rows)
            report(done / len(smiles), f"predicted {done:,} of {len(smiles):,}")
        self.train(was_training)
        return found

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """What the backbone has against some of the molecules, such as unknown tokens: (row, sentence)."""
        return self.backbone.check(smiles)

    def to_label_units(self, outputs: Tensor) -> Tensor:
        """Predictions (n, t) of outputs; losses and influence take the outputs themselves, which no limit bends."""
        values = (outputs * self.spread + self.centre).clamp(self.least, self.most)
        return torch.where(self.binary, torch.sigmoid(outputs), values) if self.binary.any() else values

    def save(self, folder: Path) -> None:
        """Backbone (weights, feature maps, tokenizer), adapter, head and scalers, as safetensors and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        (self.backbone if self.adapter is None else peft_adapters.copy_without_adapter(self.backbone)).save(
            folder / "backbone"
        )
        own = {f"head.{name}": value for name, value in self.head.state_dict().items()}
        own |= {name: getattr(self, name) for name in SCALERS}
        _save(own, folder / "head.safetensors")
        if self.adapter is not None:
            _save(peft_adapters.adapter_weights(self.backbone), folder / "adapter.safetensors")
        about = {
            "tasks": self.tasks,
            "kinds": self.kinds,
            "dropout": self.dropout,
            "moved": [name for name, weight in self.named_parameters() if weight.requires_grad],
            "features": None if self.features is None else self.features.to_json(),
            "adapter": None if self.adapter is None else to_json(self.adapter),
        }
        (folder / "predictor.json").write_text(json.dumps(about, indent=1))

    @classmethod
    def load(cls, folder: Path, device: torch.device | str | None = None) -> "Predictor":
        """A saved predictor, in evaluation mode on `device` (by default the best there is).

        A weight requires a gradient if it moved in training.
        """
        try:
            about = json.loads((folder / "predictor.json").read_text())
            own = load_file(folder / "head.safetensors")
            adapter = load_file(folder / "adapter.safetensors") if about.get("adapter") else {}
        except (OSError, json.JSONDecodeError, SafetensorError) as error:
            raise BadInput(
                f"{folder} holds no readable predictor ({error}); delete the run and make it again"
            ) from None
        moved = set(about["moved"])
        features = Features.from_json(about["features"]) if about.get("features") else None
        body = backbones.load_backbone(folder / "backbone")
        made = cls(body, about["tasks"], about["kinds"], about["dropout"], features=features)
        if adapter:
            METHODS.read(about["adapter"])(made)
            made.backbone.load_state_dict(made.backbone.state_dict() | adapter)
        made.head.load_state_dict({name[5:]: value for name, value in own.items() if name.startswith("head.")})
        for name in SCALERS:
            getattr(made, name).copy_(own[name])
        for name, weight in made.named_parameters():
            weight.requires_grad_(name in moved)
        return made.to(device or best_device()).eval()


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
