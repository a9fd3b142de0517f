"""Multitask training with torch: tables and a backbone → a trunk with a head for each table."""

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

PREDICTED_PARTS = ("valid", "test")  # parts that are predicted
PREDICTION_COLUMNS = ("member", "part", "row", "smiles", "task", "label", "prediction")
SORTED = 32  # batches of SMILES that are sorted by length together; graphs are not padded
Labels = dict[str, list]  # of each part, of each table: an array (n, t), or of atoms one for each molecule


def train_multitask(
    spec: Any,
    report: Report,
    members: Sequence[MixtureParts],
    as_long_as: Sequence[MixtureParts],
    start: Callable[[], Any],
) -> MultitaskModel:
    """What a `Multitask` spec yields; `start()` gives the backbone."""
    session = Session(spec, start, report)
    body = session.backbone
    body.set_dropout(spec.backbone_dropout)
    members, warnings = drop_unreadable(members, body, report.part(0, 0.1))
    model = Heads(body, members, spec.weighting, spec.dropout, spec.seed)
    labels = {name: [one.labels(name) for one in members] for name in PARTS}
    for head, own in zip(model.heads, labels["train"], strict=True):
        head.fit_scaler(stack_rows(own))
    model.to(session.device)
    batches = MixtureBatches(model, members, labels, "train")
    variants, lengths = session.randomise(batches.smiles, spec.n_randomised_smiles)
    sizes = [len(one.parts["train"]) for one in members]

    def lay(rows: np.ndarray, spellings: np.ndarray, step: int) -> dict[str, Any]:
        return {"rows": rows, "read": [variants[k][row] for k, row in zip(spellings, rows, strict=True)]}

    def loss(batch: dict[str, Any]) -> Tensor:
        embedded = model.embed(batch["read"])
        return model.total(model.losses(embedded, batches.head_batches(batch["rows"], embedded[2])), embedded[0])

    session.train(
        model,
        lengths,
        TrainStep(lay, loss, is_steady=False),
        build_evaluation(model, members, labels, max(256, spec.batch_size), report),
        report.part(0.1, 0.97),
        draw=lambda generator: draw_epoch(sizes, spec.mixing, generator),
        steps=count_steps(spec, as_long_as),
        sorted_batches=SORTED if body.reads_smiles else 0,
    )
    cards, rows = [], []
    for place, (one, share) in enumerate(zip(members, mixing_shares(sizes, spec.mixing), strict=True)):
        within = report.part(0.97 + 0.03 * place / len(members), 0.97 + 0.03 * (place + 1) / len(members))
        card, table = judge_member(model, place, one, labels, spec.batch_size, within)
        cards.append({**one.summary(), "share": float(share), **card})
        rows += table
    digest = hashlib.sha256("".join(one["digests"]["train"] for one in cards).encode()).hexdigest()[:16]
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
    measured = sum(len(one.tasks) for one in members if one.measured)
    session.save_backbone(folder, spec.called, start, batches.smiles, digest, measured)
    model.save(folder / "heads")
    predictions = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(PREDICTION_COLUMNS))
    return MultitaskModel(pd.DataFrame(session.progress.curve), record, folder, predictions)


def count_steps(spec: Any, as_long_as: Sequence[MixtureParts]) -> int | None:
    """Steps in all, if they are given, or follow from the tables whose molecules make up an epoch."""
    molecules = sum(len(one.parts["train"]) for one in as_long_as)
    if spec.steps is None and molecules:
        return spec.epochs * math.ceil(molecules / spec.batch_size)
    return spec.steps


def judge_member(
    model: Heads, place: int, tables: MixtureParts, labels: Labels, batch_size: int, report: Report
) -> tuple[dict[str, Any], list[pd.DataFrame]]:
    """What the record says of a table and its head, and its predictions part by part (none of atoms)."""
    head, metrics, rows = model.heads[place], {}, []
    deviation = head.deviation.cpu().numpy()
    for name in PREDICTED_PARTS:
        predictions = predict_head(model, place, list(tables.parts[name].smiles), batch_size, report)
        own = labels[name][place]
        given = stack_rows(own), stack_rows(predictions), tables.tasks, tables.kinds, deviation
        metrics[name] = evaluate_tasks(*given)
        if name == "test":
            intervals = metric_intervals(*given, molecule_of_rows(own))
        if not tables.learning.atoms:
            rows.append(tabulate_measured(tables, name, predictions))
    card = {
        "loss_weight": float(model.weights[place]),
        "labels": count_labels(tables),
        "deviation": deviation.tolist(),
        "metrics": metrics,
        **intervals,
        "means": {name: mean_metrics(one) for name, one in metrics.items()},
    }
    if model.variances is not None:
        card["log_variance"] = float(model.variances[place].detach())
    return card, rows


def tabulate_measured(tables: MixtureParts, part: str, predictions: np.ndarray) -> pd.DataFrame:
    """Predictions (n, t) of a part as rows, those of unmeasured cells left out."""
    table = prediction_table(part, tables.parts[part], predictions)
    table.insert(0, "member", tables.learning.name)
    return table[table["label"].notna()]


def build_evaluation(
    model: Heads, members: Sequence[MixtureParts], labels: Labels, size: int, report: Report
) -> Callable[[], dict[str, float]]:
    """What looks at the validation parts: the loss of each table over all its cells, and that of the mixture."""
    batches = MixtureBatches(model, members, labels, "valid")
    counts = [int((~np.isnan(stack_rows(own))).sum()) for own in labels["valid"]]
    for one, count in zip(members, counts, strict=True):
        if not count:
            raise BadInput(f"{one.learning.name}: no molecule of the validation part has a label; enlarge that part")

    def losses(place: int, head: Head) -> Iterator[float]:
        rows = np.flatnonzero(batches.member == place)
        for start in range(0, len(rows), size):
            report.check("looking at the validation parts")
            some = rows[start : start + size]
            embedded = model.embed([batches.smiles[row] for row in some])
            given = batches.head_batches(some, embedded[2])[place]
            values = embedded[1 if head.learning.atoms else 0]
            yield float(head.cell_losses(head(values[given.rows]), given.labels).sum())

    @torch.no_grad()
    def evaluate() -> dict[str, float]:
        means = [
            sum(losses(place, head), 0.0) / count
            for place, (head, count) in enumerate(zip(model.heads, counts, strict=True))
        ]
        own = {f"loss: {one.learning.name}": mean for one, mean in zip(members, means, strict=True)}
        return {"valid_loss": float(np.dot(means, model.weights.cpu().numpy()))} | own

    return evaluate


class MixtureBatches:
    """The molecules of one part of all tables, one below the other, and what a batch of them holds of each table."""

    def __init__(self, model: Heads, members: Sequence[MixtureParts], labels: Labels, part: str) -> None:
        self.smiles = [smiles for one in members for smiles in one.parts[part].smiles]
        sizes = [len(one.parts[part]) for one in members]
        self.member = np.repeat(np.arange(len(members)), sizes)
        self.first = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        self.labels = [
            [head.scale_labels(one) for one in mine] if isinstance(mine, list) else head.scale_labels(mine)
            for head, mine in zip(model.heads, labels[part], strict=True)
        ]
        self.device = model.weights.device

    def head_batches(self, rows: np.ndarray, molecule: Any) -> list[Any]:
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
                found.append(HeadBatch(mine[molecule].nonzero()[:, 0], torch.cat([labels[row] for row in own])))
            else:
                take = torch.from_numpy(own).to(self.device)
                found.append(HeadBatch(torch.from_numpy(there).to(self.device), labels[take]))
        return found


@torch.no_grad()
def predict_head(
    model: Heads, place: int, smiles: list[str], size: int, report: Report
) -> np.ndarray | list[np.ndarray]:
    """What a head predicts (n, t) of molecules in label units; of atoms, an array (atoms, 1) for each molecule."""
    head, found = model.heads[place], []
    for start in range(0, len(smiles), size):
        report(start / len(smiles), f"predicted {start:,} of {len(smiles):,} of {head.learning.name}")
        molecules, atoms, molecule = model.embed(smiles[start : start + size])
        values = head.to_label_units(head(atoms if head.learning.atoms else molecules)).double().cpu().numpy()
        if head.learning.atoms:
            counts = torch.bincount(molecule, minlength=len(molecules)).cpu().numpy()
            found += np.split(values, np.cumsum(counts)[:-1])
        else:
            found.append(values)
    return found if head.learning.atoms else np.concatenate(found)
