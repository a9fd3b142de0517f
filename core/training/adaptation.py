"""Adaptation with torch: continued pre-training of a backbone on molecules without labels."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from core.chem import descriptors as properties
from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput
from core.models.backbones.checkpoint import Checkpoint
from core.models.devices import to_device
from core.training.cuda_graphs import TrainStep
from core.training.pretraining_loss import Batch, PretrainingLoss, average_held_out, unfreeze
from core.training.session import Session

DESCRIPTOR_CHUNK = 64  # molecules between two progress reports, which also check for cancelling
HELD_OUT_BATCH = 128  # molecules


def adapt(
    spec: Any, report: Report, corpus: Dataset, leave_out: Dataset | None, start: Callable[..., Any]
) -> Checkpoint:
    """Make the product of an `Adapt` spec; `start(mlm_head=True)` loads the backbone."""
    session = Session(spec, lambda: start(mlm_head=True), report)
    body = session.backbone
    smiles, warnings = choose_molecules(corpus, leave_out)
    order = np.random.default_rng(spec.seed).permutation(len(smiles))
    held_out = max(1, len(smiles) // 10)
    valid, learn = [smiles[row] for row in order[:held_out]], [smiles[row] for row in order[held_out:]]
    with_tokens, with_properties = spec.objective != "properties", spec.objective != "masked tokens"
    start_share = 0.1 if with_properties else 0.0  # share of the work before the first step
    targets, valid_targets = (
        scale_descriptors(learn, valid, report.part(0, start_share)) if with_properties else (None, None)
    )
    unfreeze(body.to(session.device), with_tokens)
    objective = PretrainingLoss(
        body.model,
        body.tokenizer,
        properties=targets.shape[1] if with_properties else 0,
        masked=float(with_tokens),
        described=float(with_properties),
        share=spec.share,
        seed=spec.seed,
    )

    def read(smiles: Sequence[str], targets: np.ndarray | None, seed: list[int]) -> Batch:
        number = int(np.random.SeedSequence(seed).generate_state(1)[0])
        batch = body.batch(smiles)
        values = None if targets is None else to_device(torch.from_numpy(targets), session.device)
        return Batch(batch["input_ids"], batch["attention_mask"], torch.Generator().manual_seed(number), values)

    def build_batch(rows: np.ndarray, variant_index: np.ndarray, step: int) -> dict[str, Tensor]:
        values = targets[rows] if with_properties else None
        return objective.hide_tokens(read([learn[row] for row in rows], values, [spec.seed, step]))

    def batches() -> Iterator[Batch]:
        for first in range(0, len(valid), HELD_OUT_BATCH):
            report.check("evaluating the held-out molecules")
            values = valid_targets[first : first + HELD_OUT_BATCH] if with_properties else None
            yield read(valid[first : first + HELD_OUT_BATCH], values, [0, first])

    def evaluate() -> dict[str, float]:
        total, losses = average_held_out(objective, batches())
        perplexity = {"perplexity": float(np.exp(losses["masked"]))} if with_tokens else {}
        return {"valid_loss": total} | perplexity | ({"property_error": losses["described"]} if with_properties else {})

    before = evaluate()
    train_step = TrainStep(build_batch, lambda batch: objective(batch).total, is_steady=body.is_steady)
    session.train(objective, body.lengths(learn)[:, None], train_step, evaluate, report.part(start_share, 0.99))
    record = {
        **session.record(body),
        "corpus": corpus.digest,
        "left_out": leave_out.digest if leave_out else None,
        "objective": spec.objective,
        "rows": {"train": len(learn), "held_out": len(valid)},
        **{f"{name}_before": value for name, value in before.items()},
        **{name: session.best[name] for name in before},
        "properties": targets.shape[1] if with_properties else 0,
        "best_epoch": session.progress.best_evaluation,
        "warnings": warnings + session.progress.warnings,
    }
    folder = report.folder()
    session.save_backbone(folder, f"adapted {body.name}", start, smiles, corpus.digest)
    return Checkpoint(pd.DataFrame(session.progress.curve), record, folder)


def choose_molecules(corpus: Dataset, leave_out: Dataset | None) -> tuple[list[str], list[str]]:
    """The molecules to train on, and warnings. Raises `BadInput` when fewer than 10 are left."""
    smiles, warnings = list(dict.fromkeys(corpus.smiles)), []
    if leave_out is None:
        warnings.append("no molecule was left out: if the corpus contains test molecules, their SMILES were used")
    else:
        banned = {chem.stereo_free_smiles(molecule) for molecule in leave_out.smiles}
        allowed = [molecule for molecule in smiles if chem.stereo_free_smiles(molecule) not in banned]
        warnings += (
            [f"{len(smiles) - len(allowed)} molecules of `leave_out` were not read"]
            if len(allowed) < len(smiles)
            else []
        )
        smiles = allowed
    if len(smiles) < 10:
        raise BadInput(f"the corpus has {len(smiles)} molecules to read, at least 10 are needed; take a larger one")
    return smiles, warnings


def scale_descriptors(learn: Sequence[str], valid: Sequence[str], report: Report) -> tuple[np.ndarray, np.ndarray]:
    """Scaled descriptors (n, p), NaN where undefined, of the training and of the held-out molecules.

    Columns, centres and spreads come from the training molecules.
    """
    smiles, names, chunks = [*learn, *valid], properties.descriptor_names(quick=True), []
    for start in range(0, len(smiles), DESCRIPTOR_CHUNK):
        report(start / len(smiles), f"computed properties of {start:,} of {len(smiles):,} molecules")
        chunks.append(properties.compute_descriptors(smiles[start : start + DESCRIPTOR_CHUNK], quick=True))
    values = np.concatenate(chunks)
    scaling = properties.Scaling.of(values[: len(learn)], names)
    return scaling(values[: len(learn)], names), scaling(values[len(learn) :], names)
