"""Training speed: an epoch of ours against one of transformers' `Trainer`, and against three forward passes.

Same network, molecules, batch size, optimiser and precision, measured in turn, so that the machine cancels out. Ours
chooses the library that multiplies matrices (`core.models.matmul`); `Trainer` uses torch's default. On CUDA our
training replays captured graphs (`core.training.cuda_graphs`), so three eager forward passes are no lower bound there.
"""

import contextlib
import sys
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from core.bench.timing import time_in_turn, time_training_steps

if TYPE_CHECKING:
    import torch

    from core.models.predictor import Predictor
    from core.training.cuda_graphs import TrainStep

MOLECULES, BATCH, REPEATS = 1024, 32, 3
EPOCHS = 10  # with the head only, and on CUDA with all weights
RATE = 1e-5  # learning rate; small, because only time is measured


def run() -> dict[str, Any]:
    """`molsway-mini` (on CUDA also `molformer-xl`) against `Trainer`; then forward passes per step of each method."""
    from core.engine.memory import release_memory
    from core.models.matmul import choose_backend

    device, results = _device(), {}
    for name in ("molsway-mini", "molformer-xl") if device.type == "cuda" else ("molsway-mini",):
        results[name] = compare_with_trainer(name)
        release_memory()
    return {
        "device": str(device),
        "float32 multiplied by": choose_backend(),
        **results,
        "forward passes a training step": time_training_steps(),
    }


def compare_with_trainer(name: str) -> dict[str, Any]:
    """Molecules per second of one epoch with all weights of an untrained backbone of this size, and ratios to it."""
    smiles, targets = _table()
    loops = {
        "ours": lambda: _time_ours(name, smiles, targets),
        "Trainer": lambda: _time_trainer(name, smiles, targets, by_length=False),
        "Trainer, batches by length": lambda: _time_trainer(name, smiles, targets, by_length=True),
        "three forward passes": lambda: 3 * _time_forward(name, smiles),
        "head alone, an epoch after the first": lambda: _time_head(name, smiles, targets),
    }
    medians = time_in_turn(loops, REPEATS)
    ours = medians["ours"]
    return {
        "arithmetic": _precision(name),
        "molecules a second, an epoch of ours": round(len(smiles) / ours, 1),
        "times Trainer": round(medians["Trainer"] / ours, 2),
        "times Trainer with batches by length": round(medians["Trainer, batches by length"] / ours, 2),
        "share of the floor of three forward passes": round(medians["three forward passes"] / ours, 2),
        "head alone, epochs in the time of one": round(ours / medians["head alone, an epoch after the first"], 1),
    }


def _device() -> "torch.device":
    from core.models.devices import best_device

    return best_device()


def _precision(name: str) -> str:
    from core.models.backbones import SIZES
    from core.training.loop import resolve_precision

    return resolve_precision("auto", _device(), SIZES[name].hidden_size)


def _epochs() -> int:
    return EPOCHS if _device().type == "cuda" else 1


def _table() -> tuple[list[str], np.ndarray]:
    """Bundled drug molecules and random labels (n, 1)."""
    from core.engine.report import SILENT_REPORT
    from core.experiments import Load

    smiles = [text for text in Load("bundled:drugs").make(SILENT_REPORT).smiles if len(text) <= 200]
    order = np.random.default_rng(0).permutation(len(smiles))[:MOLECULES]
    return [smiles[row] for row in order], np.random.default_rng(1).normal(size=(len(order), 1))


def _predictor(name: str, method: Any) -> "Predictor":
    from core.models.backbones import Untrained
    from core.models.predictor import Predictor

    predictor = Predictor(Untrained(name)(), ["y"], ["regression"], dropout=0.0).to(_device())
    predictor.backbone.set_dropout(0.0)
    method(predictor)
    return predictor


def _plan(name: str, epochs: int = 1) -> Any:
    from core.training.optimisation import Plan

    return Plan(
        epochs=epochs, steps=None, evaluations=1, batch_size=BATCH, learning_rate=RATE, weight_decay=0.01,
        warmup=0.1, clip=1.0, patience=0, precision=_precision(name), seed=0, ema_decay=0.995,
    )  # fmt: skip


def _timed(work: Callable[[], Any]) -> float:
    """Wall-clock seconds, including the work on the accelerator."""
    import torch

    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


def make_train_step(
    predictor: "Predictor", smiles: list[str], targets: np.ndarray, embeddings: Any = None
) -> "TrainStep":
    """The training step of a fit with these molecules and labels (n, t); `embeddings` (n, h): of a frozen backbone."""
    import torch

    from core.models.devices import to_device
    from core.training.cuda_graphs import TrainStep

    labels = predictor.scale_labels(targets)

    def build_batch(rows: np.ndarray, variants: np.ndarray, step: int) -> dict[str, torch.Tensor]:
        picked = to_device(torch.from_numpy(rows), labels.device)
        batch = predictor.encode(
            [smiles[row] for row in rows], embedding=None if embeddings is None else embeddings[picked]
        )
        return batch | {"targets": labels[picked]}

    def loss(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return predictor.loss(predictor(batch), batch["targets"])

    return TrainStep(build_batch, loss, is_steady=predictor.backbone.is_steady)


def _epoch(predictor: "Predictor", smiles: list[str], train_step: "TrainStep", plan: Any) -> float:
    """Seconds of an epoch by the training loop of fine-tuning."""
    from core.engine.report import SILENT_REPORT
    from core.training.loop import train

    lengths = predictor.backbone.lengths(smiles)[:, None]
    return (
        _timed(lambda: train(predictor, lengths, train_step, lambda: {"valid_loss": 0.0}, plan, SILENT_REPORT))
        / plan.epochs
    )


def _time_ours(name: str, smiles: list[str], targets: np.ndarray) -> float:
    """Seconds of an epoch. On CUDA the mean of ten, because the first ones capture graphs that the others replay."""
    from core.models.methods import Full

    predictor = _predictor(name, Full())
    return _epoch(predictor, smiles, make_train_step(predictor, smiles, targets), _plan(name, _epochs()))


def _time_trainer(name: str, smiles: list[str], targets: np.ndarray, by_length: bool) -> float:
    """Seconds of the loop of transformers from its first step to its last. Tokenised before; padded for each batch."""
    import torch
    from torch.nn.utils.rnn import pad_sequence
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.utils import logging

    from core.models.matmul import default_backend
    from core.models.methods import Full

    predictor = _predictor(name, Full())
    padding = predictor.backbone.tokenizer.pad_token_id

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.predictor = predictor

        def forward(self, input_ids: Any, attention_mask: Any, labels: Any) -> dict[str, Any]:
            batch = {"input_ids": input_ids, "attention_mask": attention_mask}
            return {"loss": self.predictor.loss(self.predictor(batch), labels)}

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        ids = pad_sequence([torch.tensor(row["input_ids"]) for row in rows], True, padding)
        return {
            "input_ids": ids,
            "attention_mask": (ids != padding).long(),
            "labels": torch.tensor([row["labels"] for row in rows], dtype=torch.float32),
        }

    class Clock(TrainerCallback):
        began = ended = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_train_end(self, *_: Any, **__: Any) -> None:
            self.ended = time.perf_counter()

    tokens = predictor.backbone.tokenizer.ids(smiles)
    rows = [{"input_ids": ids, "labels": label} for ids, label in zip(tokens, targets.tolist(), strict=True)]
    clock = Clock()
    logging.set_verbosity_error()
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr), default_backend():
        settings = TrainingArguments(
            folder, num_train_epochs=1, per_device_train_batch_size=BATCH, learning_rate=RATE, weight_decay=0.01,
            warmup_steps=0.1, max_grad_norm=1.0, optim="adamw_torch_fused", bf16=_precision(name) == "bfloat16",
            use_cpu=_device().type == "cpu", report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
            remove_unused_columns=False, seed=0, train_sampling_strategy="group_by_length" if by_length else "random",
        )  # fmt: skip
        Trainer(Model(), settings, collate, rows, callbacks=[clock]).train()
    return clock.ended - clock.began


def _time_forward(name: str, smiles: list[str]) -> float:
    """Seconds of one forward pass over all molecules, in batches of similar length."""
    import torch

    from core.models.methods import Full

    predictor = _predictor(name, Full()).eval()
    order = predictor.batches(smiles, BATCH)

    @torch.no_grad()
    def work() -> None:
        for rows in order:
            with torch.autocast(predictor.device.type, torch.bfloat16, enabled=_precision(name) == "bfloat16"):
                predictor(predictor.encode([smiles[row] for row in rows]))

    return _timed(work)


def _time_head(name: str, smiles: list[str], targets: np.ndarray) -> float:
    """Seconds of an epoch of the head only, with embeddings computed before."""
    from core.models.embeddings import embed_molecules
    from core.models.methods import Head

    predictor = _predictor(name, Head())
    embeddings = embed_molecules(predictor, smiles, _precision(name))
    return _epoch(predictor, smiles, make_train_step(predictor, smiles, targets, embeddings), _plan(name, EPOCHS))
