"""Fine-tuning: a backbone and measured molecules → a Fit."""

import dataclasses
import math
import platform
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from core.chem import molecules as chem
from core.chem.features import Features
from core.data.dataset import Dataset
from core.engine.meter import Meter
from core.engine.report import Report
from core.engine.spec import Family, Spec, as_json, settings
from core.models.backbones import BACKBONES, Pretrained, pretraining_history
from core.models.backbones.checkpoint import Checkpoint
from core.models.methods import METHODS, Full
from core.results.fit import PARTS, Fit, judged, tabulate
from core.training.checks import check_parts, faults, hardly_learned, held, overlaps, unreadable

if TYPE_CHECKING:
    from core.models.predictor import Predictor

EPOCHS, STEPS = 10, 1000  # what a training has at least, unless told
STARTS = Family("backbone", *BACKBONES.values(), product=Checkpoint, name="kind_name")


@settings
class FineTune(Spec[Fit]):
    """Train a backbone and a head on measured molecules; the best evaluation on the validation part is kept.

    The label scaler is fitted on the training part alone. The test part is predicted once, at the end, to report.
    """

    kind: ClassVar[str] = "finetune"
    revision: ClassVar[int] = 4
    effort: ClassVar[float] = 10.0

    train: Spec[Dataset] = Field(description="molecules to learn from")
    valid: Spec[Dataset] = Field(description="molecules that choose the best epoch")
    test: Spec[Dataset] = Field(description="molecules that only report")
    backbone: Annotated[Any, STARTS] = Field(default=Pretrained(), description="the model to begin from")
    method: Annotated[Any, METHODS] = Field(default=Full(), description="which weights move")
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description=f"passes over the training part; by default {EPOCHS}, or as many as make {STEPS:,} steps",
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        le=10_000_000,
        description="optimiser steps in all, in place of epochs: equal work for unequal tables",
    )
    evaluations: int = Field(
        default=20, ge=1, le=1000, description="looks at the validation part, when `steps` is given"
    )
    batch_size: int = Field(default=32, ge=1, le=4096, description="molecules in an optimiser step")
    learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="peak of the learning rate; by default the advice for method and backbone"
    )
    head_rate: float | None = Field(
        default=None, gt=0, le=100, description="learning rate of the head, times the backbone's; by default the advice"
    )
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="decay of weight matrices (AdamW)")
    warm_up: float = Field(default=0.1, ge=0, le=1, description="share of the steps in which the learning rate rises")
    clip: float = Field(default=1.0, gt=0, description="largest norm of a gradient")
    patience: int = Field(
        default=0, ge=0, description="evaluations without a better one before stopping; 0 never stops early"
    )
    dropout: float = Field(default=0.3, ge=0, lt=1, description="dropout in the head, and of the fingerprint")
    backbone_dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout in the backbone")
    features: Literal["none", "descriptors", "fingerprints", "both"] = Field(
        default="both",
        description="what the head reads beside the embedding: RDKit's descriptors, the fingerprint, or both",
    )
    spellings: int = Field(
        default=5, ge=1, le=64, description="ways each training molecule is written, one drawn each time it is read"
    )
    averaging: float = Field(
        default=0.995, ge=0, lt=1, description="decay of the running mean of the weights, which is kept; 0: no mean"
    )
    margin: float = Field(
        default=0.5,
        ge=0,
        description="how far outside the range of the training labels a prediction may lie, in spreads of the labels",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="arithmetic of training; auto is bfloat16 on CUDA and, for wide models, CPUs that multiply in it",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of head, batches and dropout")

    @property
    def title(self) -> str:
        return f"{self.method.name} fine-tuning of {self.backbone.called} on {self.train.title}, seed {self.seed}"

    def again(self, seed: int) -> "FineTune":
        """The same recipe with everything that is drawn by chance drawn anew, in its backbone too."""
        start = self.backbone
        if hasattr(start, "seed"):  # random weights, or an adaptation
            start = dataclasses.replace(start, seed=seed)
        return dataclasses.replace(self, backbone=start, seed=seed)

    def make(
        self, report: Report, train: Dataset, valid: Dataset, test: Dataset, backbone: Callable[[], Any] | None = None
    ) -> Fit:
        import torch

        from core.models.devices import best_device, onto
        from core.models.embeddings import fits, stands_still
        from core.models.method_check import put_to_work
        from core.models.predictor import Predictor
        from core.training.cuda_graphs import Lesson
        from core.training.loop import cost
        from core.training.loop import train as run

        check_parts(train, valid, test)
        parts = dict(zip(PARTS, (train, valid, test), strict=True))
        report(0, "loading the backbone")
        meter = Meter()
        body = (backbone or self.backbone)()
        body.thin(self.backbone_dropout)
        origin = pretraining_history.place(backbone or self.backbone)
        met = pretraining_history.told(origin, "test", test.smiles) if origin else None
        warnings = [*overlaps(train, valid, test), *unreadable(body, parts), *([met] if met else [])]
        began = time.monotonic()
        beside = self.beside(parts, report.part(0, 0.03))
        predictor = Predictor(body, train.tasks, train.kinds, self.dropout, self.seed, beside)
        predictor.fit_scaler(train.targets, self.margin)
        device = best_device()
        predictor.to(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)  # an adapter's weights are drawn by its library
            proof = put_to_work(self.method, predictor, train.smiles)
        plan = self.plan(body, device.type, len(train))
        if hasattr(self.method, "begins"):
            plan = dataclasses.replace(plan, begins=tuple(self.method.begins(predictor)))
        targets = predictor.scaled(train.targets)

        written = spelled(train.smiles, self.spellings if body.spells else 1, self.seed)
        lengths = np.stack([body.lengths(way) for way in written], 1)
        still = stands_still(predictor) and fits(predictor, lengths.size)
        known = self.embedded(predictor, written, plan.precision, report.part(0.03, 0.6)) if still else None

        def lay(rows: np.ndarray, spellings: np.ndarray, step: int) -> dict[str, torch.Tensor]:
            smiles, at = [train.smiles[row] for row in rows], onto(torch.from_numpy(rows), device)
            if known is None:
                read = [written[k][row] for k, row in zip(spellings, rows, strict=True)]
                batch = predictor.encode(smiles, read)
            else:
                batch = predictor.encode(smiles, embedding=known[onto(torch.from_numpy(spellings), device), at])
            return batch | {"targets": targets[at]}

        lesson = Lesson(
            lay,
            lambda batch: predictor.loss(predictor(batch), batch["targets"]),
            steady=known is not None or (body.steady and getattr(self.method, "steady", True)),
        )

        look = validation(predictor, valid, report, still)
        prepared = time.monotonic() - began
        progress = run(predictor, lengths, lesson, look, plan, report.part(0.6 if still else 0.03, 0.97))
        taken = meter.reading()
        proven = proof.check(predictor)
        found = {}
        for number, (name, table) in enumerate(parts.items()):
            within = report.part(0.97 + 0.01 * number, 0.98 + 0.01 * number)
            found[name] = predictor.predict(list(table.smiles), 4 * self.batch_size, within)
        told = judged(parts, found)
        warnings += faults(train, valid, found["valid"])
        warnings += hardly_learned(train.tasks, train.kinds, told["metrics"]["train"])
        warnings += held(predictor, found) + progress.warnings
        best, last = progress.curve[progress.best_look - 1], progress.curve[-1]
        record = {
            **told,
            "seed": self.seed,
            "backbone": body.name,
            "method": as_json(self.method),
            "beside": beside.words if beside else None,
            **cost(predictor),
            "backbone_parameters": sum(weight.numel() for weight in body.parameters()),
            "backbone_trainable": proven["formula"],
            "proof": proven,
            "forms": ["adapter", "merged"] if predictor.adapter is not None else ["merged"],  # for other programs
            "seconds": prepared + progress.seconds,
            "seconds_to_best": prepared + best["seconds"],
            "seconds_per_epoch": progress.seconds / last["epoch"],
            "best_epoch": best["epoch"],
            "best_step": best["step"],
            "steps": last["step"],
            "learning_rate": plan.learning_rate,
            "precision": plan.precision,
            **taken,
            "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "cpu",
            "warnings": warnings,
        }
        predictions = pd.concat([tabulate(name, parts[name], found[name]) for name in PARTS], ignore_index=True)
        folder = report.folder()
        predictor.save(folder / "predictor")
        return Fit(pd.DataFrame(progress.curve), predictions, record, folder)

    def embedded(self, predictor: "Predictor", written: list[list[str]], precision: str, report: Report) -> Any:
        """Embeddings (k, n, h) of the training molecules in their k spellings."""
        import torch

        from core.models.embeddings import embeddings

        shares = [report.part(place / len(written), (place + 1) / len(written)) for place in range(len(written))]
        size = 4 * self.batch_size
        return torch.stack(
            [embeddings(predictor, way, precision, size, share) for way, share in zip(written, shares, strict=True)]
        )

    def beside(self, parts: dict[str, Dataset], report: Report) -> Features | None:
        """What stands beside the embedding, scaled by the training part; that of the others is computed on the way."""
        if self.features == "none":
            return None
        train = parts["train"].smiles
        features, _ = Features.fitted(self.features, train, report.part(0, 0.8), quick=True, counted=True)
        features([*parts["valid"].smiles, *parts["test"].smiles], report.part(0.8, 1))
        return features

    def plan(self, backbone: Any, device: str, n: int) -> Any:
        """The numbers of the loop over `n` molecules, advice filled in."""
        from core.training.loop import Plan, arithmetic

        return Plan(
            epochs=self.epochs or max(EPOCHS, math.ceil(STEPS / math.ceil(n / self.batch_size))),
            steps=self.steps,
            evaluations=self.evaluations,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate or advised(self.method, backbone.width),
            weight_decay=self.weight_decay,
            warm_up=self.warm_up,
            clip=self.clip,
            patience=self.patience,
            precision=arithmetic(self.precision, device, backbone.width),
            seed=self.seed,
            averaging=self.averaging,
            scales=(("head.", self.head_rate or self.method.head_rate),),
        )


def advised(method: Any, width: int) -> float:
    """The learning rate that a method advises for a backbone of this width."""
    return method.rate * 256 / width


def spelled(smiles: Sequence[str], count: int, seed: int) -> list[list[str]]:
    """The molecules in `count` ways of writing them, the one given first (Bjerrum 2017, arXiv 1703.07076)."""
    others = [chem.respelled(chem.parse(one), count - 1, seed + row) for row, one in enumerate(smiles)]
    return [list(smiles), *(list(way) for way in zip(*others, strict=True))]


def validation(
    predictor: "Predictor", valid: Dataset, report: Report, still: bool = False
) -> Callable[[], dict[str, float]]:
    """What looks at the validation part: its loss and, for one regression task, its RMSE in label units.

    `still`: the backbone does not move, and reads the molecules once.
    """
    import torch

    from core.models.embeddings import embeddings

    smiles, targets = list(valid.smiles), predictor.scaled(valid.targets)
    order = predictor.batches(smiles, 64)  # larger ones are no faster, and glibc maps their arrays anew each time
    known = embeddings(predictor, smiles, size=64) if still else None

    def encoded(rows: np.ndarray) -> dict[str, Any]:
        given = None if known is None else known[torch.from_numpy(rows)]
        return predictor.encode([smiles[row] for row in rows], embedding=given)

    batches = [(encoded(rows), targets[rows]) for rows in order]
    measured = int((~torch.isnan(targets)).sum())

    @torch.no_grad()
    def look() -> dict[str, float]:
        total = 0.0
        for batch, labels in batches:
            report.check("looking at the validation part")
            total += predictor.cell_loss(predictor(batch), labels).sum()
        loss = float(total) / measured
        single = predictor.kinds == ("regression",)
        return {"valid_loss": loss} | ({"valid_rmse": loss**0.5 * float(predictor.spread[0])} if single else {})

    return look
