"""Fine-tuning with torch: three measured parts, a backbone and a method → a Fit."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from core.chem.features import Features
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import as_json
from core.models.backbones import pretraining_history
from core.models.devices import onto
from core.models.embeddings import embeddings, fits, stands_still
from core.models.method_check import put_to_work
from core.models.predictor import Predictor
from core.results.fit import PARTS, Fit, judged, tabulate
from core.training.checks import check_parts, faults, hardly_learned, held, overlaps, unreadable
from core.training.cuda_graphs import Lesson
from core.training.session import Session


def finetune(spec: Any, report: Report, parts: dict[str, Dataset], start: Callable[[], Any]) -> Fit:
    """What a `FineTune` spec yields of its `parts` by name; `start()` gives the backbone."""
    train, valid, test = (parts[name] for name in PARTS)
    check_parts(train, valid, test)
    session = Session(spec, start, report)
    backbone = session.backbone
    backbone.thin(spec.backbone_dropout)
    warnings = [*overlaps(train, valid, test), *unreadable(backbone, parts), *find_read_before(start, test)]
    began = time.monotonic()
    features = fit_features(spec.features, parts, report.part(0, 0.03))
    predictor = Predictor(backbone, train.tasks, train.kinds, spec.dropout, spec.seed, features)
    predictor.fit_scaler(train.targets, spec.margin)
    predictor.to(session.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)  # an adapter's weights are drawn by its library
        method_check = put_to_work(spec.method, predictor, train.smiles)
    variants, lengths = session.randomise(train.smiles, spec.spellings)
    is_frozen = stands_still(predictor) and fits(predictor, lengths.size)
    embedded = None
    if is_frozen:
        embedded = embed_variants(predictor, variants, session.precision, 4 * spec.batch_size, report.part(0.03, 0.6))
    lesson = build_lesson(predictor, train, variants, embedded, backbone.steady and spec.method.is_steady)
    evaluate = build_evaluation(predictor, valid, report, is_frozen)
    prepared = time.monotonic() - began
    within = report.part(0.6 if is_frozen else 0.03, 0.97)
    session.train(predictor, lengths, lesson, evaluate, within, begins=spec.method.first_steps(predictor))
    checked, predictions = method_check.check(predictor), {}
    for number, name in enumerate(PARTS):
        within = report.part(0.97 + 0.01 * number, 0.98 + 0.01 * number)
        predictions[name] = predictor.predict(list(parts[name].smiles), 4 * spec.batch_size, within)
    metrics = judged(parts, predictions)
    warnings += faults(train, valid, predictions["valid"])
    warnings += hardly_learned(train.tasks, train.kinds, metrics["metrics"]["train"])
    warnings += held(predictor, predictions)
    record = session.record(predictor)
    record |= {
        **metrics,
        "method": as_json(spec.method),
        "beside": features.words if features else None,
        "backbone_parameters": sum(weight.numel() for weight in backbone.parameters()),
        "backbone_trainable": checked["formula"],
        "proof": checked,
        "forms": ["adapter", "merged"] if predictor.adapter is not None else ["merged"],  # for other programs
        "seconds": prepared + record["seconds"],
        "seconds_to_best": prepared + session.best["seconds"],
        "seconds_per_epoch": record["seconds"] / session.progress.curve[-1]["epoch"],
        "warnings": warnings + session.progress.warnings,
    }
    table = pd.concat([tabulate(name, parts[name], predictions[name]) for name in PARTS], ignore_index=True)
    folder = report.folder()
    predictor.save(folder / "predictor")
    return Fit(pd.DataFrame(session.progress.curve), table, record, folder)


def find_read_before(start: Any, test: Dataset) -> list[str]:
    """A sentence where the backbone has read test molecules when it was pre-trained."""
    folder = pretraining_history.place(start)
    sentence = pretraining_history.told(folder, "test", test.smiles) if folder else None
    return [sentence] if sentence else []


def fit_features(name: str, parts: dict[str, Dataset], report: Report) -> Features | None:
    """What stands beside the embedding, scaled by the training part; that of the others is computed on the way."""
    if name == "none":
        return None
    features, _ = Features.fitted(name, parts["train"].smiles, report.part(0, 0.8), quick=True, counted=True)
    features([*parts["valid"].smiles, *parts["test"].smiles], report.part(0.8, 1))
    return features


def embed_variants(
    predictor: Predictor, variants: list[list[str]], precision: str, size: int, report: Report
) -> Tensor:
    """Embeddings (k, n, h) of the training molecules in their k spellings."""
    k = len(variants)
    return torch.stack(
        [
            embeddings(predictor, variant, precision, size, report.part(place / k, (place + 1) / k))
            for place, variant in enumerate(variants)
        ]
    )


def build_lesson(
    predictor: Predictor, train: Dataset, variants: list[list[str]], embedded: Tensor | None, is_steady: bool
) -> Lesson:
    """What a step learns; `embedded` (k, n, h) where the backbone does not move."""
    targets, device = predictor.scaled(train.targets), predictor.device

    def lay(rows: np.ndarray, spellings: np.ndarray, step: int) -> dict[str, Tensor]:
        smiles, at = [train.smiles[row] for row in rows], onto(torch.from_numpy(rows), device)
        if embedded is None:
            read = [variants[k][row] for k, row in zip(spellings, rows, strict=True)]
            batch = predictor.encode(smiles, read)
        else:
            batch = predictor.encode(smiles, embedding=embedded[onto(torch.from_numpy(spellings), device), at])
        return batch | {"targets": targets[at]}

    return Lesson(
        lay, lambda batch: predictor.loss(predictor(batch), batch["targets"]), embedded is not None or is_steady
    )


def build_evaluation(
    predictor: Predictor, valid: Dataset, report: Report, is_frozen: bool
) -> Callable[[], dict[str, float]]:
    """What looks at the validation part: its loss and, for one regression task, its RMSE in label units.

    A frozen backbone reads the molecules once.
    """
    smiles, targets = list(valid.smiles), predictor.scaled(valid.targets)
    order = predictor.batches(smiles, 64)  # larger ones are no faster, and glibc maps their arrays anew each time
    embedded = embeddings(predictor, smiles, size=64) if is_frozen else None

    def encode(rows: np.ndarray) -> dict[str, Any]:
        embedding = None if embedded is None else embedded[torch.from_numpy(rows)]
        return predictor.encode([smiles[row] for row in rows], embedding=embedding)

    batches = [(encode(rows), targets[rows]) for rows in order]
    measured = int((~torch.isnan(targets)).sum())

    @torch.no_grad()
    def evaluate() -> dict[str, float]:
        total = 0.0
        for batch, labels in batches:
            report.check("looking at the validation part")
            total += predictor.cell_loss(predictor(batch), labels).sum()
        loss = float(total) / measured
        single = predictor.kinds == ("regression",)
        return {"valid_loss": loss} | ({"valid_rmse": loss**0.5 * float(predictor.spread[0])} if single else {})

    return evaluate
