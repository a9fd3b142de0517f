"""Pre-training with torch: a corpus and a new or existing backbone → a pre-trained backbone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from core.data.corpus import Corpus, shorten_keys, write_keys
from core.engine.report import Report
from core.engine.spec import BadInput
from core.models.backbones.checkpoint import CARD_FILE, KEYS_FILE, Checkpoint
from core.models.backbones.molformer.untrained import UntrainedMolformer
from core.models.backbones.pretraining_history import checkpoint_folder, list_ancestors, load_full_keys, load_short_keys
from core.training.corpus_batches import build_batch_reader
from core.training.cuda_graphs import TrainStep
from core.training.pretraining_loss import Batch, PretrainingLoss, average_held_out, unfreeze
from core.training.session import Session

HELD_OUT_LOSSES = {
    "masked": "token_loss",
    "described": "property_error",
    "measured": "label_loss",
}  # names of held-out losses
HELD_OUT_BATCH = 256  # molecules


def pretrain(spec: Any, report: Report, corpus: Corpus, start: Any) -> Checkpoint:
    """Make the product of a `Pretrain` spec; `start`: an `UntrainedMolformer`, or what loads an existing backbone."""
    valid, learn = split_corpus(spec, corpus)
    is_new = isinstance(start, UntrainedMolformer)
    session = Session(spec, lambda: start(corpus.vocabulary) if is_new else start(mlm_head=True), report)
    body, device = session.backbone, session.device
    unfreeze(body.to(device), bool(spec.masked))
    weights = {"masked": spec.masked, "described": spec.described, "measured": spec.measured * bool(corpus.kinds)}
    objective = PretrainingLoss(
        body.model,
        body.tokenizer,
        properties=corpus.arrays["properties"].shape[1],
        labels=corpus.kinds,
        **weights,
        share=spec.share,
        whole=spec.whole,
        seed=spec.seed,
    )
    body.set_dropout(spec.dropout)
    read = build_batch_reader(
        corpus, body.tokenizer, device, with_properties=bool(spec.described), with_labels=bool(spec.measured)
    )

    def build_batch(rows: np.ndarray, variant_index: np.ndarray, step: int) -> dict[str, Tensor]:
        seed = int(np.random.default_rng([spec.seed, step, 2]).integers(2**62))
        return objective.hide_tokens(read(learn[rows], variant_index, torch.Generator().manual_seed(seed)))

    def batches() -> Iterator[Batch]:
        for first in range(0, len(valid), HELD_OUT_BATCH):
            report.check("evaluating the held-out molecules")
            rows = valid[first : first + HELD_OUT_BATCH]
            yield read(rows, np.zeros(len(rows), int), torch.Generator().manual_seed(first))

    def evaluate() -> dict[str, float]:
        total, losses = average_held_out(objective, batches())
        return {"valid_loss": total} | {HELD_OUT_LOSSES[name]: loss for name, loss in losses.items()}

    before = evaluate()
    train_step = TrainStep(build_batch, lambda batch: objective(batch).total, is_steady=body.is_steady)
    session.train(objective, corpus.lengths()[learn], train_step, evaluate, report.part(0, 0.99))
    if spec.half:
        round_to_half(body)
    curve = pd.DataFrame(session.progress.curve)
    curve["molecules_per_second"] = curve["step"] * spec.batch_size / curve["seconds"]
    record = {
        **session.record(body),
        "objective": weights | {"share": spec.share, "whole": spec.whole, "dropout": spec.dropout},
        "held_out_before": before,
        "held_out": evaluate(),
        "steps": spec.steps,
        "batch_size": spec.batch_size,
        "molecules_read": spec.steps * spec.batch_size,
        "epochs": spec.steps * spec.batch_size / len(learn),
        "molecules_per_second": float(curve["molecules_per_second"].iloc[-1]),
        "tokens_a_molecule": float(corpus.lengths()[:, 0].mean()),
        "rows": {"train": len(learn), "held_out": len(valid)},
        "stored": "float16" if spec.half else "float32",
        "recipe": spec.key,
        "corpus": corpus.summary() | {"recipe": spec.corpus.key},
        "warnings": session.progress.warnings,
    }
    start_folder = checkpoint_folder(start)
    if not is_new:
        record["warnings"] += [
            *describe_unknown_tokens(corpus, body),
            *describe_held_out_overlap(corpus, valid, body.name, start_folder),
        ]
        record["before"] = list_ancestors(start_folder) if start_folder else []
    folder = report.folder()
    save_pretrained(body, folder / "backbone", record, corpus, start_folder)
    return Checkpoint(curve, record, folder)


def split_corpus(spec: Any, corpus: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Held-out rows and training rows. Raises `BadInput` where there are too few molecules or no labels to learn."""
    if len(corpus) < spec.held_out + spec.batch_size:
        raise BadInput(
            f"the corpus has {len(corpus):,} molecules, fewer than the {spec.held_out:,} held out and a batch of "
            f"{spec.batch_size:,}; lower `held_out` or give more files"
        )
    order = np.random.default_rng(spec.seed).permutation(len(corpus))
    valid, learn = np.sort(order[: spec.held_out]), np.sort(order[spec.held_out :])
    if not spec.masked + spec.described:
        if not corpus.kinds:
            raise BadInput("the corpus has no measured labels; give `labelled` tables, or raise `masked`")
        if np.isnan(corpus.labels(valid)).all() or np.isnan(corpus.labels(learn)).all():
            raise BadInput(
                f"the {spec.held_out:,} molecules held out, or the others, have no measured label, and there is no "
                "other objective; raise `held_out`, give larger `labelled` tables, or raise `masked`"
            )
    return valid, learn


@torch.no_grad()
def round_to_half(body: torch.nn.Module) -> None:
    """Round weights to half precision, so that the evaluated weights are the stored ones."""
    for tensor in (*body.parameters(), *body.buffers()):
        tensor.copy_(tensor.half())


def save_pretrained(body: Any, folder: Path, record: dict[str, Any], corpus: Corpus, start_folder: Path | None) -> None:
    """Write the backbone, its card, and the keys of all molecules it was trained on, including those before `start`."""
    body.save(folder, half=record["stored"] == "float16")
    (folder / CARD_FILE).write_text(json.dumps(record, indent=1))
    earlier = load_full_keys(start_folder) if start_folder else np.empty(0, np.uint64)
    write_keys(np.concatenate([corpus.molecules["key"].to_numpy(), earlier]), folder / KEYS_FILE)


def describe_unknown_tokens(corpus: Corpus, body: Any) -> list[str]:
    """A sentence where a corpus has tokens that are not in the vocabulary of the backbone."""
    vocabulary = body.tokenizer.get_vocab()
    counts = np.bincount(corpus.arrays["tokens"], minlength=len(corpus.vocabulary))
    unknown = {
        token: int(n) for token, n in zip(corpus.vocabulary, counts, strict=True) if n and token not in vocabulary
    }
    if not unknown:
        return []
    first = ", ".join(sorted(unknown, key=unknown.get, reverse=True)[:8])
    share = 100 * sum(unknown.values()) / counts.sum()
    return [f"{share:.2g} % of the tokens of the corpus are unknown to {body.name} and read as <unk>: {first}"]


def describe_held_out_overlap(corpus: Corpus, held_out: np.ndarray, name: str, start_folder: Path | None) -> list[str]:
    """A sentence where held-out molecules are in the earlier corpus of the backbone."""
    keys = shorten_keys(corpus.molecules["key"].to_numpy(np.uint64)[held_out])
    read = load_short_keys(start_folder) if start_folder else None
    count = 0 if read is None else int(np.isin(keys, read).sum())
    if not count:
        return []
    return [
        f"{count:,} of the {len(keys):,} held-out molecules are in the earlier corpus of {name}; their losses are too "
        "optimistic"
    ]
