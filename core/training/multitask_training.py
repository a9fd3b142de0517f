"""Multitask training with torch: tables and a backbone → a shared backbone with a head for each table."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from core.engine.report import Report
from core.engine.spec import BadInput
from core.models.heads import Head, HeadBatch, Heads, count_labels
from core.models.multitask_model import MultitaskModel
from core.results.fit import PARTS, prediction_table
from core.results.mixture import (
    MixtureParts,
    draw_epoch,
    evaluate_tasks,
    mean_metrics,
    metric_intervals,
    mixing_shares,
    molecule_of_rows,
    stack_rows,
)
from core.training.checks import drop_unreadable
from core.training.cuda_graphs import TrainStep
from core.training.session import Session

PREDICTED_PARTS = ("valid", "test")
PREDICTION_COLUMNS = ("member", "part", "row", "smiles", "task", "label", "prediction")
SORTED = 32  # batches of SMILES that are sorted by length together; graphs need no padding
Labels = dict[str, list]  # by part, then by table: an array (n, t), or for atom labels a list with one per molecule


def train_multitask(
    spec: Any,
    report: Report,
    members: Sequence[MixtureParts],
    step_reference: Sequence[MixtureParts],
    start: Callable[[], Any],
) -> MultitaskModel:
    """Make the product of a `Multitask` spec; `start()` loads the backbone."""
    session = Session(spec, start, report)
    body = session.backbone
    body.set_dropout(spec.backbone_dropout)
    members, warnings = drop_unreadable(members, body, report.part(0, 0.1))
    model = Heads(body, members, spec.weighting, spec.dropout, spec.seed)
    labels = {name: [member.labels(name) for member in members] for name in PARTS}
    for head, table_labels in zip(model.heads, labels["train"], strict=True):
        head.fit_scaler(stack_rows(table_labels))
    model.to(session.device)
    batches = MixtureBatches(model, members, labels, "train")
    variants, lengths = session.randomise(batches.smiles, spec.n_randomised_smiles)
    sizes = [len(member.parts["train"]) for member in members]

    def build_batch(rows: np.ndarray, variant_index: np.ndarray, step: int) -> dict[str, Any]:
        return {"rows": rows, "read": [variants[k][row] for k, row in zip(variant_index, rows, strict=True)]}

    def loss(batch: dict[str, Any]) -> Tensor:
        embedded = model.embed(batch["read"])
        return model.total(model.losses(embedded, batches.head_batches(batch["rows"], embedded[2])), embedded[0])

    session.train(
        model,
        lengths,
        TrainStep(build_batch, loss, is_steady=False),
        build_evaluation(model, members, labels, max(256, spec.batch_size), report),
        report.part(0.1, 0.97),
        draw=lambda generator: draw_epoch(sizes, spec.mixing, generator),
        steps=count_steps(spec, step_reference),
        sorted_batches=SORTED if body.reads_smiles else 0,
    )
    cards, rows = [], []
    for index, (member, share) in enumerate(zip(members, mixing_shares(sizes, spec.mixing), strict=True)):
        within = report.part(0.97 + 0.03 * index / len(members), 0.97 + 0.03 * (index + 1) / len(members))
        card, table = evaluate_member(model, index, member, labels, spec.batch_size, within)
        cards.append({**member.summary(), "share": float(share), **card})
        rows += table
    digest = hashlib.sha256("".join(member["digests"]["train"] for member in cards).encode()).hexdigest()[:16]
    record = session.record(model)
    record |= {
        "members": cards,
        "backbone": spec.called,
        "mixing": spec.mixing,
        "weighting": spec.weighting,
        "corpus": digest,
        "backbone_parameters": sum(weight.numel() for weight in body.parameters()),
        "valid_loss": session.best["valid_loss"],
        "molecules_read": record["steps"] * spec.batch_size,
        "warnings": warnings + session.progress.warnings,
    }
    folder = report.folder()
    measured = sum(len(member.tasks) for member in members if member.measured)
    session.save_backbone(folder, spec.called, start, batches.smiles, digest, measured)
    model.save(folder / "heads")
    predictions = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(PREDICTION_COLUMNS))
    return MultitaskModel(pd.DataFrame(session.progress.curve), record, folder, predictions)


def count_steps(spec: Any, step_reference: Sequence[MixtureParts]) -> int | None:
    """Number of steps: as given, or of the epochs over the molecules of `step_reference`; None without either."""
    molecules = sum(len(member.parts["train"]) for member in step_reference)
    if spec.steps is None and molecules:
        return spec.epochs * math.ceil(molecules / spec.batch_size)
    return spec.steps


def evaluate_member(
    model: Heads, index: int, tables: MixtureParts, labels: Labels, batch_size: int, report: Report
) -> tuple[dict[str, Any], list[pd.DataFrame]]:
    """The record of a table and its head, and its predictions by part (none of atoms)."""
    head, metrics, rows = model.heads[index], {}, []
    deviation = head.deviation.cpu().numpy()
    for name in PREDICTED_PARTS:
        predictions = predict_head(model, index, list(tables.parts[name].smiles), batch_size, report)
        own_labels = labels[name][index]
        arguments = stack_rows(own_labels), stack_rows(predictions), tables.tasks, tables.kinds, deviation
        metrics[name] = evaluate_tasks(*arguments)
        if name == "test":
            intervals = metric_intervals(*arguments, molecule_of_rows(own_labels))
        if not tables.learning.atoms:
            rows.append(tabulate_measured(tables, name, predictions))
    card = {
        "loss_weight": float(model.weights[index]),
        "labels": count_labels(tables),
        "deviation": deviation.tolist(),
        "metrics": metrics,
        **intervals,
        "means": {name: mean_metrics(values) for name, values in metrics.items()},
    }
    if model.variances is not None:
        card["log_variance"] = float(model.variances[index].detach())
    return card, rows


def tabulate_measured(tables: MixtureParts, part: str, predictions: np.ndarray) -> pd.DataFrame:
    """Predictions (n, t) of a part as a table with a row per label."""
    table = prediction_table(part, tables.parts[part], predictions)
    table.insert(0, "member", tables.learning.name)
    return table[table["label"].notna()]


def build_evaluation(
    model: Heads, members: Sequence[MixtureParts], labels: Labels, size: int, report: Report
) -> Callable[[], dict[str, float]]:
    """A function that evaluates the validation parts: the loss of each table over all its labels, and the total."""
    batches = MixtureBatches(model, members, labels, "valid")
    counts = [int((~np.isnan(stack_rows(table_labels))).sum()) for table_labels in labels["valid"]]
    for member, count in zip(members, counts, strict=True):
        if not count:
            raise BadInput(f"{member.learning.name}: the validation part has no label; enlarge that part")

    def losses(index: int, head: Head) -> Iterator[float]:
        rows = np.flatnonzero(batches.member == index)
        for start in range(0, len(rows), size):
            report.check("evaluating the validation parts")
            chunk = rows[start : start + size]
            embedded = model.embed([batches.smiles[row] for row in chunk])
            head_batch = batches.head_batches(chunk, embedded[2])[index]
            values = embedded[1 if head.learning.atoms else 0]
            yield float(head.cell_losses(head(values[head_batch.rows]), head_batch.labels).sum())

    @torch.no_grad()
    def evaluate() -> dict[str, float]:
        means = [
            sum(losses(index, head), 0.0) / count
            for index, (head, count) in enumerate(zip(model.heads, counts, strict=True))
        ]
        table_losses = {f"loss: {member.learning.name}": mean for member, mean in zip(members, means, strict=True)}
        return {"valid_loss": float(np.dot(means, model.weights.cpu().numpy()))} | table_losses

    return evaluate


class MixtureBatches:
    """The molecules of one part of all tables, concatenated, and the labels of a batch by table."""

    def __init__(self, model: Heads, members: Sequence[MixtureParts], labels: Labels, part: str) -> None:
        self.smiles = [smiles for member in members for smiles in member.parts[part].smiles]
        sizes = [len(member.parts[part]) for member in members]
        self.member = np.repeat(np.arange(len(members)), sizes)
        self.first = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        self.labels = [
            [head.scale_labels(member) for member in table_labels]
            if isinstance(table_labels, list)
            else head.scale_labels(table_labels)
            for head, table_labels in zip(model.heads, labels[part], strict=True)
        ]
        self.device = model.weights.device

    def head_batches(self, rows: np.ndarray, molecule: Tensor | None) -> list[HeadBatch | None]:
        """A `HeadBatch` per table for a batch of these molecules, None where it has none of the table.

        `molecule` (atoms,): index of each atom's molecule in the batch.
        """
        batches = []
        for index, labels in enumerate(self.labels):
            positions = np.flatnonzero(self.member[rows] == index)
            table_rows = rows[positions] - self.first[index]
            if not len(positions):
                batches.append(None)
            elif isinstance(labels, list):
                is_own = torch.zeros(len(rows), dtype=torch.bool, device=self.device)
                is_own[torch.from_numpy(positions).to(self.device)] = True
                batches.append(
                    HeadBatch(is_own[molecule].nonzero()[:, 0], torch.cat([labels[row] for row in table_rows]))
                )
            else:
                take = torch.from_numpy(table_rows).to(self.device)
                batches.append(HeadBatch(torch.from_numpy(positions).to(self.device), labels[take]))
        return batches


@torch.no_grad()
def predict_head(
    model: Heads, index: int, smiles: list[str], size: int, report: Report
) -> np.ndarray | list[np.ndarray]:
    """Predictions (n, t) of a head in label units; for atom tables, a list with an array (atoms, 1) per molecule."""
    head, predictions = model.heads[index], []
    for start in range(0, len(smiles), size):
        report(start / len(smiles), f"predicted {start:,} of {len(smiles):,} of {head.learning.name}")
        molecules, atoms, molecule = model.embed(smiles[start : start + size])
        values = head.to_label_units(head(atoms if head.learning.atoms else molecules)).double().cpu().numpy()
        if head.learning.atoms:
            counts = torch.bincount(molecule, minlength=len(molecules)).cpu().numpy()
            predictions += np.split(values, np.cumsum(counts)[:-1])
        else:
            predictions.append(values)
    return predictions if head.learning.atoms else np.concatenate(predictions)
