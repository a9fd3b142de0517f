"""Fine-tuning with torch: labelled parts, a backbone and a method → a Fit."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from core.chem.features import Features
from core.data.dataset import Dataset
from core.data.left_out import describe_left_out
from core.engine.report import Report
from core.engine.spec import to_json
from core.models.backbones import pretraining_history
from core.models.devices import to_device
from core.models.embeddings import embed_molecules, fits_in_memory, is_frozen
from core.models.method_check import apply_and_check
from core.models.predictor import Predictor
from core.results.fit import PARTS, Fit, evaluate_parts, prediction_table
from core.training.checks import (
    check_parts,
    clipped_predictions,
    constant_predictions,
    describe_one_class,
    describe_unreadable,
    find_overlaps,
    underfit_tasks,
)
from core.training.cuda_graphs import TrainStep
from core.training.session import Session


def finetune(spec: Any, report: Report, parts: dict[str, Dataset], start: Callable[[], Any]) -> Fit:
    """Make the product of a `FineTune` spec from its `parts` by name; `start()` loads the backbone."""
    train, valid, test = (parts[name] for name in PARTS)
    check_parts(train, valid, test)
    session = Session(spec, start, report)
    backbone = session.backbone
    backbone.set_dropout(spec.backbone_dropout)
    warnings = [
        *describe_left_out(train.left_out),
        *describe_one_class(train, valid, test),
        *find_overlaps(train, valid, test),
        *describe_unreadable(backbone, parts),
        *describe_pretraining_overlap(start, test),
    ]
    for sentence in describe_one_class(train, valid, test):  # before the time is spent
        report(0, sentence, stays=True)
    began = time.monotonic()
    features = fit_features(spec.features, parts, report.part(0, 0.03))
    predictor = Predictor(backbone, train.tasks, train.kinds, spec.dropout, spec.seed, features)
    predictor.fit_scaler(train.targets, spec.clip_margin)
    predictor.to(session.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)  # `peft` initialises adapters from the global generator
        method_check = apply_and_check(spec.method, predictor, train.smiles)
    variants, lengths = session.randomise(train.smiles, spec.n_randomised_smiles)
    frozen = is_frozen(predictor) and fits_in_memory(predictor, lengths.size)
    embedded = None
    if frozen:
        embedded = embed_variants(predictor, variants, session.precision, 4 * spec.batch_size, report.part(0.03, 0.6))
    train_step = build_train_step(predictor, train, variants, embedded, backbone.is_steady and spec.method.is_steady)
    evaluate = build_evaluation(predictor, valid, report, frozen)
    prepared = time.monotonic() - began
    within = report.part(0.6 if frozen else 0.03, 0.97)
    session.train(predictor, lengths, train_step, evaluate, within, start_shares=spec.method.first_steps(predictor))
    checked, predictions = method_check.check(predictor), {}
    for number, name in enumerate(PARTS):
        within = report.part(0.97 + 0.01 * number, 0.98 + 0.01 * number)
        predictions[name] = predictor.predict(list(parts[name].smiles), 4 * spec.batch_size, within)
    metrics = evaluate_parts(parts, predictions)
    warnings += constant_predictions(train, valid, predictions["valid"])
    warnings += underfit_tasks(train.tasks, train.kinds, metrics["metrics"]["train"])
    warnings += clipped_predictions(predictor, predictions)
    record = session.record(predictor)
    record |= {
        **metrics,
        "method": to_json(spec.method),
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
    table = pd.concat([prediction_table(name, parts[name], predictions[name]) for name in PARTS], ignore_index=True)
    folder = report.folder()
    predictor.save(folder / "predictor")
    return Fit(pd.DataFrame(session.progress.curve), table, record, folder)


def describe_pretraining_overlap(start: Any, test: Dataset) -> list[str]:
    """A sentence where test molecules are in the pre-training corpus of the backbone."""
    folder = pretraining_history.checkpoint_folder(start)
    sentence = pretraining_history.overlap_note(folder, "test", test.smiles) if folder else None
    return [sentence] if sentence else []


def fit_features(name: str, parts: dict[str, Dataset], report: Report) -> Features | None:
    """The features to add to the embedding, scaled on the training part; None for "none".

    Those of the other parts are computed as well, which fills the cache.
    """
    if name == "none":
        return None
    features, _ = Features.fit_rows(name, parts["train"].smiles, report.part(0, 0.8), quick=True, counted=True)
    features([*parts["valid"].smiles, *parts["test"].smiles], report.part(0.8, 1))
    return features


def embed_variants(
    predictor: Predictor, variants: list[list[str]], precision: str, size: int, report: Report
) -> Tensor:
    """Embeddings (k, n, h) of the training molecules in their k SMILES variants."""
    k = len(variants)
    return torch.stack(
        [
            embed_molecules(predictor, variant, precision, size, report.part(index / k, (index + 1) / k))
            for index, variant in enumerate(variants)
        ]
    )


def build_train_step(
    predictor: Predictor, train: Dataset, variants: list[list[str]], embedded: Tensor | None, is_steady: bool
) -> TrainStep:
    """The training step; `embedded` (k, n, h): embeddings of a frozen backbone, else None."""
    targets, device = predictor.scale_labels(train.targets), predictor.device

    def build_batch(rows: np.ndarray, variant_index: np.ndarray, step: int) -> dict[str, Tensor]:
        smiles, at = [train.smiles[row] for row in rows], to_device(torch.from_numpy(rows), device)
        if embedded is None:
            read = [variants[k][row] for k, row in zip(variant_index, rows, strict=True)]
            batch = predictor.encode(smiles, read)
        else:
            batch = predictor.encode(smiles, embedding=embedded[to_device(torch.from_numpy(variant_index), device), at])
        return batch | {"targets": targets[at]}

    return TrainStep(
        build_batch, lambda batch: predictor.loss(predictor(batch), batch["targets"]), embedded is not None or is_steady
    )


def build_evaluation(
    predictor: Predictor, valid: Dataset, report: Report, is_frozen: bool
) -> Callable[[], dict[str, float]]:
    """A function that evaluates the validation part: its loss and, for one regression task, its RMSE in label units.

    With a frozen backbone the embeddings are computed once.
    """
    smiles, targets = list(valid.smiles), predictor.scale_labels(valid.targets)
    order = predictor.batches(smiles, 64)  # larger ones are not faster: glibc then maps their arrays in each batch
    embedded = embed_molecules(predictor, smiles, size=64) if is_frozen else None

    def encode(rows: np.ndarray) -> dict[str, Any]:
        embedding = None if embedded is None else embedded[torch.from_numpy(rows)]
        return predictor.encode([smiles[row] for row in rows], embedding=embedding)

    batches = [(encode(rows), targets[rows]) for rows in order]
    measured = int((~torch.isnan(targets)).sum())

    @torch.no_grad()
    def evaluate() -> dict[str, float]:
        total = 0.0
        for batch, labels in batches:
            report.check("evaluating the validation part")
            total += predictor.cell_loss(predictor(batch), labels).sum()
        loss = float(total) / measured
        single = predictor.kinds == ("regression",)
        return {"valid_loss": loss} | ({"valid_rmse": loss**0.5 * float(predictor.spread[0])} if single else {})

    return evaluate
