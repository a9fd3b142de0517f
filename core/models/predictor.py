"""A backbone with a head for `t` tasks, its masked loss and its label scaler."""

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

SCALERS = {"centre": 0.0, "spread": 1.0, "least": -np.inf, "most": np.inf}  # per task, with their initial values


class Predictor(nn.Module):
    """Backbone embedding (b, h) → `Linear(h, h/2) → ReLU → Dropout → Linear(h/2, t)` → one output per task.

    `features` appends p columns to the embedding; the head then starts with another layer, `Linear(h + p, 2h) → ReLU →
    Dropout`. The same dropout is applied to fingerprint inputs, which have more columns than many tables have
    molecules.

    A regression output is a scaled label, (label − centre) / spread; a binary one is a logit. Label and feature scalers
    are fitted on the training part only and belong to the predictor; every other table uses them.
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
        self.adapter = None  # the method whose adapter is in the backbone, if any
        h = backbone.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = [nn.Linear(h, h // 2), nn.ReLU(), nn.Dropout(dropout), nn.Linear(h // 2, len(self.tasks))]
            if features is not None:
                meet = nn.Linear(h + features.width, 2 * h)
                layers = [meet, nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * h, h // 2), *layers[1:]]
            self.head = nn.Sequential(*layers)
        # float64: in float32, 20,230,101 and 20,230,102 are equal
        for name, start in SCALERS.items():
            self.register_buffer(name, torch.full((len(self.tasks),), start, dtype=torch.float64))
        self.register_buffer("binary", torch.tensor([kind == "binary" for kind in self.kinds]), persistent=False)
        self.eval()

    @property
    def device(self) -> torch.device:
        return self.centre.device

    def fit_scaler(self, targets: np.ndarray, clip_margin: float = np.inf) -> None:
        """Set centre and spread of each regression task from training labels (n, t), NaN where unmeasured.

        Predictions are clipped to the range of these labels, extended by `clip_margin` spreads: far from the training
        data a network extrapolates linearly. Raises `BadInput` where labels differ by less than float64 can scale.
        """
        for task, kind in enumerate(self.kinds):
            labels = targets[~np.isnan(targets[:, task]), task]
            if kind == "regression":
                self.centre[task] = float(labels.mean())
                self.spread[task] = float(labels.std()) or 1.0
                beyond = clip_margin * float(self.spread[task])
                self.least[task], self.most[task] = float(labels.min()) - beyond, float(labels.max()) + beyond
                if float(self.spread[task]) < 1e-30:
                    least = f"{np.ptp(labels):g}"
                    raise BadInput(f"the labels of {self.tasks[task]!r} differ by {least} only; use a smaller unit")

    def encode(
        self, smiles: Sequence[str], variants: Sequence[str] | None = None, embedding: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The input of `forward` for these molecules, on the device of the weights.

        `variants`: other SMILES of the same molecules for the backbone; `embedding` (b, h): computed before.
        """
        is_embedded = embedding is not None
        batch = (
            {"embedding": embedding} if is_embedded else self.backbone.batch(smiles if variants is None else variants)
        )
        if self.features is not None:  # 3 ms per molecule unless cached
            batch["features"] = torch.from_numpy(self.features(smiles)).to(self.device, self.head[0].weight.dtype)
        return batch

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """The input of the head (b, h), or (b, h + p) with features."""
        embedding = batch["embedding"] if "embedding" in batch else self.backbone.embed(batch)
        if self.features is None:
            return embedding
        scaled, patterns = batch["features"].tensor_split([self.features.descriptors], 1)
        return torch.cat([embedding, scaled, functional.dropout(patterns, self.dropout, self.training)], 1)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.head(self.embed(batch))  # (b, t)

    def last_features(self, batch: dict[str, Tensor]) -> Tensor:
        """The input of the last linear layer (b, h/2)."""
        return self.head[:-1](self.embed(batch))

    def scale_labels(self, targets: np.ndarray) -> Tensor:
        """Scaled labels (n, t) for the loss, in the precision of the weights, NaN where unmeasured."""
        labels = torch.tensor(targets, dtype=torch.float64, device=self.device)
        return ((labels - self.centre) / self.spread).to(self.head[0].weight.dtype)

    def cell_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of every cell (b, t): squared error of scaled labels, or cross-entropy; 0 where the label is missing."""
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
        """Row numbers in batches of about equal length, longest first, so that too little memory shows at once."""
        order = np.argsort(-self.backbone.lengths(smiles), kind="stable")
        return [order[start : start + size] for start in range(0, len(order), size)]

    @torch.no_grad()
    def predict(self, smiles: Sequence[str], batch_size: int = 128, report: Report = SILENT_REPORT) -> np.ndarray:
        """Predictions (n, t): label units for regression, probabilities for binary tasks."""
        predictions = np.empty((len(smiles), len(self.tasks)))
        was_training = self.training
        self.eval()
        done = 0
        for rows in self.batches(smiles, batch_size):
            predictions[rows] = (
                self.to_label_units(self(self.encode([smiles[row] for row in rows]))).double().cpu().numpy()
            )
            done += len(rows)
            report(done / len(smiles), f"predicted {done:,} of {len(smiles):,}")
        self.train(was_training)
        return predictions

    def check(self, smiles: Sequence[str]) -> list[tuple[int, str]]:
        """Warnings of the backbone about molecules, such as unknown tokens: (row, sentence)."""
        return self.backbone.check(smiles)

    def to_label_units(self, outputs: Tensor) -> Tensor:
        """Predictions (n, t) in label units, clipped; losses and influence use the unclipped outputs."""
        values = (outputs * self.spread + self.centre).clamp(self.least, self.most)
        return torch.where(self.binary, torch.sigmoid(outputs), values) if self.binary.any() else values

    def save(self, folder: Path) -> None:
        """Write backbone (weights, feature maps, tokenizer), adapter, head and scalers as safetensors and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        (self.backbone if self.adapter is None else peft_adapters.copy_without_adapter(self.backbone)).save(
            folder / "backbone"
        )
        tensors = {f"head.{name}": value for name, value in self.head.state_dict().items()}
        tensors |= {name: getattr(self, name) for name in SCALERS}
        _save(tensors, folder / "head.safetensors")
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
        """A saved predictor, in evaluation mode on `device` (default: `best_device()`). Raises `BadInput`.

        The weights that were trained require a gradient.
        """
        try:
            about = json.loads((folder / "predictor.json").read_text())
            tensors = load_file(folder / "head.safetensors")
            adapter = load_file(folder / "adapter.safetensors") if about.get("adapter") else {}
        except (OSError, json.JSONDecodeError, SafetensorError) as error:
            raise BadInput(
                f"{folder} holds no readable predictor ({error}); delete the run and make it again"
            ) from None
        moved = set(about["moved"])
        features = Features.from_json(about["features"]) if about.get("features") else None
        body = backbones.load_backbone(folder / "backbone")
        predictor = cls(body, about["tasks"], about["kinds"], about["dropout"], features=features)
        if adapter:
            METHODS.read(about["adapter"])(predictor)
            predictor.backbone.load_state_dict(predictor.backbone.state_dict() | adapter)
        predictor.head.load_state_dict({name[5:]: value for name, value in tensors.items() if name.startswith("head.")})
        for name in SCALERS:
            getattr(predictor, name).copy_(tensors[name])
        for name, weight in predictor.named_parameters():
            weight.requires_grad_(name in moved)
        return predictor.to(device or best_device()).eval()


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
