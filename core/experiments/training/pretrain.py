"""Pre-training: a corpus → a backbone that has read it, by hidden tokens, by descriptors, by measured labels."""

import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from core.data.corpus import Corpus, short, write_keys
from core.engine.meter import Meter
from core.engine.report import Report
from core.engine.spec import BadInput, Family, Spec, settings
from core.models.backbones import Pretrained
from core.models.backbones.checkpoint import CARD, KEYS, Checkpoint
from core.models.backbones.molformer.untrained import Fresh
from core.models.backbones.pretraining_history import full_keys, keys_read, lineage, place

BEGINNINGS = Family("beginning", Fresh, Pretrained, product=Checkpoint, name="kind_name")
NAMES = {"masked": "token_loss", "described": "property_error", "measured": "label_loss"}  # when held out


@settings
class Pretrain(Spec[Checkpoint]):
    """Teach a backbone molecules: guess hidden tokens, and tell descriptors and measured labels from the embedding.

    One loss, `masked` × cross-entropy (nats a hidden token; Devlin et al. 2019, arXiv 1810.04805) + `described` ×
    squared error of RDKit's quick descriptors in units of their spread + `measured` × loss of the labels that are
    there, gaps left out (Beaini et al. 2023, arXiv 2310.04292). A weight of 0 switches a part off. Each time a
    molecule is read in one of its spellings, by chance; `held_out` molecules are never learned from.
    """

    kind: ClassVar[str] = "pretrain"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 100.0

    corpus: Spec[Corpus] = Field(description="molecules to read, with what is known of them")
    beginning: Annotated[Any, BEGINNINGS] = Field(default=Fresh(), description="a shape, or a model to go on from")
    masked: float = Field(default=1.0, ge=0, le=100, description="weight of guessing hidden tokens; 0: not asked")
    described: float = Field(default=2.0, ge=0, le=100, description="weight of telling descriptors; 0: not asked")
    measured: float = Field(default=0.2, ge=0, le=100, description="weight of telling measured labels; 0: not asked")
    share: float = Field(default=0.3, gt=0, lt=1, description="share of the tokens that is hidden")
    whole: float = Field(default=0.3, ge=0, lt=1, description="share of the molecules with nothing hidden")
    steps: int = Field(default=8000, ge=1, le=10_000_000, description="optimiser steps")
    batch_size: int = Field(default=128, ge=1, le=65_536, description="molecules in an optimiser step")
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="peak of the learning rate")
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="decay of weight matrices (AdamW)")
    warm_up: float = Field(default=0.05, ge=0, le=1, description="share of the steps in which the learning rate rises")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout while pre-training; few epochs need none")
    evaluations: int = Field(default=40, ge=1, le=1000, description="looks at the molecules that are held out")
    held_out: int = Field(default=4096, ge=8, le=1_000_000, description="molecules that are only looked at")
    half: bool = Field(default=True, description="store the weights in half precision")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="arithmetic; auto is bfloat16 on CUDA and, for wide models, CPUs that multiply in it",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of heads, masks, spellings, batches, held-out part")

    def __post_init__(self) -> None:
        if not self.masked + self.described + self.measured:
            raise BadInput("`masked`, `described` and `measured` are all 0: nothing would be learned; raise one")

    @property
    def title(self) -> str:
        return f"pre-training of {self.called} on a {self.corpus.title}"

    @property
    def called(self) -> str:
        return self.beginning.called

    def make(self, report: Report, corpus: Corpus, beginning: Callable[..., Any] | None = None) -> Checkpoint:
        import torch

        from core.models.devices import best_device
        from core.training.corpus_batches import reader
        from core.training.cuda_graphs import Lesson
        from core.training.loop import Plan, arithmetic, cost, train
        from core.training.pretraining_loss import Objective

        if len(corpus) < self.held_out + self.batch_size:
            raise BadInput(
                f"the corpus has {len(corpus):,} molecules, fewer than the {self.held_out:,} held out and a batch of "
                f"{self.batch_size:,}; lower `held_out` or give more files"
            )
        order = np.random.default_rng(self.seed).permutation(len(corpus))
        valid, learn = np.sort(order[: self.held_out]), np.sort(order[self.held_out :])
        if not self.masked + self.described:
            if not corpus.kinds:
                raise BadInput("the corpus has no measured labels; give it `labelled` tables, or raise `masked`")
            if np.isnan(corpus.labels(valid)).all() or np.isnan(corpus.labels(learn)).all():
                raise BadInput(
                    f"the {self.held_out:,} molecules held out, or the others, have no measured label, and nothing "
                    "else is learned; raise `held_out`, give larger `labelled` tables, or raise `masked`"
                )
        report(0, "loading the model")
        meter = Meter()
        fresh = isinstance(self.beginning, Fresh)
        begun = self.beginning if fresh else beginning or self.beginning
        body = begun(corpus.vocabulary) if fresh else begun(mlm_head=True)
        origin = place(begun)
        device = best_device()
        body.to(device).requires_grad_(True)
        if not self.masked and body.model.lm_head is not None:
            body.model.lm_head.requires_grad_(False)  # it gets no gradient; kept as it is for who begins from here
        weights = {"masked": self.masked, "described": self.described, "measured": self.measured * bool(corpus.kinds)}
        objective = Objective(
            body.model,
            body.tokenizer,
            properties=corpus.arrays["properties"].shape[1],
            labels=corpus.kinds,
            **weights,
            share=self.share,
            whole=self.whole,
            seed=self.seed,
        )
        body.thin(self.dropout)
        read = reader(corpus, body.tokenizer, device, described=bool(self.described), measured=bool(self.measured))

        def lay(rows: np.ndarray, spellings: np.ndarray, step: int) -> dict[str, torch.Tensor]:
            chance = int(np.random.default_rng([self.seed, step, 2]).integers(2**62))
            return objective.hide(*read(learn[rows], spellings, torch.Generator().manual_seed(chance)))

        lesson = Lesson(lay, lambda batch: objective(batch).total, steady=body.steady)

        @torch.no_grad()
        def look() -> dict[str, float]:
            """Tokens over all held-out molecules, descriptors and labels over all their known cells."""
            found: dict[str, list[float]] = {}
            cells: dict[str, list[int]] = {}
            for start in range(0, len(valid), 256):
                report.check("looking at the held-out molecules")
                rows = valid[start : start + 256]
                batch = read(rows, np.zeros(len(rows), int), torch.Generator().manual_seed(start))
                known = {"masked": len(rows), "described": _known(batch[3]), "measured": _known(batch[4])}
                for name, value in objective.held_out(*batch)._asdict().items():
                    if name in known and value is not None:
                        found.setdefault(name, []).append(float(value))
                        cells.setdefault(name, []).append(known[name])
            means = {name: float(np.average(found[name], weights=cells[name])) for name in found if sum(cells[name])}
            total = sum(weights[name] * value for name, value in means.items())
            return {"valid_loss": total} | {NAMES[name]: value for name, value in means.items()}

        before = look()
        plan = Plan(
            epochs=1,
            steps=self.steps,
            evaluations=min(self.evaluations, self.steps),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warm_up=self.warm_up,
            clip=1.0,
            patience=0,
            precision=arithmetic(self.precision, device, body.width),
            seed=self.seed,
        )
        progress = train(objective, corpus.lengths()[learn], lesson, look, plan, report.part(0, 0.99))
        if self.half:
            with torch.no_grad():
                for tensor in (*body.parameters(), *body.buffers()):
                    tensor.copy_(tensor.half())
        after = look()
        curve = pd.DataFrame(progress.curve)
        curve["molecules_per_second"] = curve["step"] * self.batch_size / curve["seconds"]
        tokens = float(corpus.lengths()[:, 0].mean())
        record = {
            "backbone": body.name,
            "objective": weights | {name: getattr(self, name) for name in ("share", "whole", "dropout")},
            "held_out_before": before,
            "held_out": after,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "molecules_read": self.steps * self.batch_size,
            "epochs": self.steps * self.batch_size / len(learn),
            "best_step": progress.curve[progress.best_look - 1]["step"],
            "learning_rate": self.learning_rate,
            "seconds": progress.seconds,
            "molecules_per_second": float(curve["molecules_per_second"].iloc[-1]),
            "tokens_a_molecule": tokens,
            "rows": {"train": len(learn), "held_out": len(valid)},
            **meter.reading(),
            "precision": plan.precision,
            "stored": "float16" if self.half else "float32",
            "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "cpu",
            "seed": self.seed,
            "recipe": self.key,
            "corpus": corpus.summary() | {"recipe": self.corpus.key},
            "warnings": progress.warnings
            + ([] if fresh else [*unknown(corpus, body), *remembered(corpus, valid, body.name, origin)]),
            **cost(body),
        }
        if not fresh:
            record["before"] = lineage(origin) if origin else []
        folder = report.folder()
        body.save(folder / "backbone", half=self.half)
        (folder / "backbone" / CARD).write_text(json.dumps(record, indent=1))
        earlier = full_keys(origin) if origin else np.empty(0, np.uint64)
        write_keys(np.concatenate([corpus.molecules["key"].to_numpy(), earlier]), folder / "backbone" / KEYS)
        return Checkpoint(curve, record, folder)


def unknown(corpus: Corpus, body: Any) -> list[str]:
    """A sentence where the tokens of a corpus are not all known to a model that goes on with it."""
    known = body.tokenizer.get_vocab()
    counts = np.bincount(corpus.arrays["tokens"], minlength=len(corpus.vocabulary))
    lost = {token: int(n) for token, n in zip(corpus.vocabulary, counts, strict=True) if n and token not in known}
    if not lost:
        return []
    first = ", ".join(sorted(lost, key=lost.get, reverse=True)[:8])
    share = 100 * sum(lost.values()) / counts.sum()
    return [f"{share:.2g} % of the tokens of the corpus are unknown to {body.name} and read as <unk>: {first}"]


def remembered(corpus: Corpus, held_out: np.ndarray, name: str, origin: Path | None) -> list[str]:
    """A sentence where molecules that are held out were in the corpus of the model that goes on."""
    keys = short(corpus.molecules["key"].to_numpy(np.uint64)[held_out])
    read = keys_read(origin) if origin else None
    known = 0 if read is None else int(np.isin(keys, read).sum())
    if not known:
        return []
    return [
        f"{known:,} of the {len(keys):,} molecules held out were in the corpus of {name}, which may have learned from "
        "them; their losses flatter by what it remembers"
    ]


def _known(targets: Any) -> int:
    """How many cells of a target (b, columns) are no gap; 0 where there is no target."""
    return 0 if targets is None else int((~targets.isnan()).sum())
