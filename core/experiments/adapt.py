"""Adaptation: a backbone goes on with masked-language modelling on molecules of the user's own."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from core import chem
from core.backbones import Untrained
from core.backbones.checkpoint import Checkpoint
from core.data import Dataset
from core.experiments.finetune import STARTS
from core.report import Report
from core.spec import BadInput, Spec, settings


@settings
class Adapt(Spec[Checkpoint]):
    """Teach a backbone the language of your molecules: guess hidden tokens, no labels needed.

    15 % of the tokens are hidden (80 % by `<mask>`, 10 % by a random token, 10 % kept; Devlin et al. 2019, arXiv
    1810.04805). A tenth of the molecules is held out under one fixed mask and chooses the best evaluation. Molecules of
    `leave_out` (stereo marks aside) are not read: hand it the test part.
    """

    kind: ClassVar[str] = "adapt"
    effort: ClassVar[float] = 10.0

    corpus: Spec[Dataset] = Field(description="molecules to read; labels are not used")
    leave_out: Spec[Dataset] | None = Field(
        default=None, description="molecules never to read: the test part, unless you want its SMILES seen"
    )
    backbone: Annotated[Any, STARTS] = Field(default=Untrained(), description="the model to begin from")
    epochs: int = Field(default=10, ge=1, le=10_000, description="passes over the corpus")
    batch_size: int = Field(default=32, ge=1, le=4096, description="molecules in an optimiser step")
    learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="peak of the learning rate; by default the advice"
    )
    share: float = Field(default=0.15, gt=0, lt=1, description="share of the tokens that is hidden")
    patience: int = Field(
        default=0, ge=0, description="evaluations without a better one before stopping; 0 never stops early"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="arithmetic of training")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of masks, batches and dropout")

    @property
    def title(self) -> str:
        return f"masked-language adaptation of {getattr(self.backbone, 'name', self.backbone.kind)}, seed {self.seed}"

    def make(
        self,
        report: Report,
        corpus: Dataset,
        leave_out: Dataset | None = None,
        backbone: Callable[[], Any] | None = None,
    ) -> Checkpoint:
        import torch

        from core.masking import corrupt, guess_loss
        from core.predictor import best_device
        from core.training import Plan, cost, peak_memory, train

        report(0, "loading the backbone")
        body = (backbone or self.backbone)(mlm_head=True)
        smiles, warnings = self.choose(corpus, leave_out)
        order = np.random.default_rng(self.seed).permutation(len(smiles))
        held_out = max(1, len(smiles) // 10)
        valid, learn = [smiles[row] for row in order[:held_out]], [smiles[row] for row in order[held_out:]]
        device = best_device()
        body.to(device)
        body.requires_grad_(True)
        tokenizer, model = body.tokenizer, body.model
        ordinary = torch.ones(len(tokenizer), dtype=torch.bool)
        ordinary[[tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id]] = False
        ordinary = ordinary.to(device)

        def guess(batch: dict[str, torch.Tensor], seed: list[int]) -> torch.Tensor:
            generator = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
            special = ~ordinary[batch["input_ids"]]
            ids, labels = corrupt(
                batch["input_ids"], special, tokenizer.mask_token_id, len(tokenizer), self.share, generator
            )
            return guess_loss(model.mlm_logits(ids, batch["attention_mask"]), labels)

        def loss_of(rows: np.ndarray, step: int) -> torch.Tensor:
            return guess(body.batch([learn[row] for row in rows]), [self.seed, step])

        @torch.no_grad()
        def look() -> dict[str, float]:
            starts, losses = range(0, len(valid), 128), []
            for start in starts:
                report.check("looking at the held-out molecules")
                losses.append(guess(body.batch(valid[start : start + 128]), [0, start]))
            sizes = [len(valid[start : start + 128]) for start in starts]
            loss = float(np.average([float(loss) for loss in losses], weights=sizes))
            return {"valid_loss": loss, "perplexity": float(np.exp(loss))}

        before = look()
        precision = "bfloat16" if self.precision == "auto" and device.type == "cuda" else self.precision
        plan = Plan(
            epochs=self.epochs,
            steps=None,
            evaluations=1,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate or 5e-4 * 256 / body.width,
            weight_decay=0.01,
            warm_up=0.1,
            clip=1.0,
            patience=self.patience,
            precision="float32" if precision == "auto" else precision,
            seed=self.seed,
        )
        progress = train(body, body.lengths(learn), loss_of, look, plan, report.part(0, 0.99))
        record = {
            "backbone": body.name,
            "corpus": corpus.digest,
            "left_out": leave_out.digest if leave_out else None,
            "rows": {"train": len(learn), "held_out": len(valid)},
            "valid_loss_before": before["valid_loss"],
            "valid_loss": progress.best,
            "perplexity": float(np.exp(progress.best)),
            "best_epoch": progress.best_look,
            "seconds": progress.seconds,
            "peak_memory": peak_memory(),
            "learning_rate": plan.learning_rate,
            "seed": self.seed,
            "warnings": warnings,
            **cost(body),
        }
        folder = report.folder()
        body.name = f"{body.name}, adapted"
        body.save(folder / "backbone")
        return Checkpoint(pd.DataFrame(progress.curve), record, folder)

    def choose(self, corpus: Dataset, leave_out: Dataset | None) -> tuple[list[str], list[str]]:
        """The molecules to read, and what has to be said about them. Raises `BadInput` when fewer than 10 are left."""
        smiles, warnings = list(dict.fromkeys(corpus.smiles)), []
        if leave_out is None:
            warnings.append("no molecule was left out: if the corpus holds test molecules, their SMILES were read")
        else:
            banned = {chem.flat_key(molecule) for molecule in leave_out.smiles}
            kept = [molecule for molecule in smiles if chem.flat_key(molecule) not in banned]
            warnings += (
                [f"{len(smiles) - len(kept)} molecules of `leave_out` were not read"] if len(kept) < len(smiles) else []
            )
            smiles = kept
        if len(smiles) < 10:
            raise BadInput(f"the corpus has {len(smiles)} molecules to read, at least 10 are needed; take a larger one")
        return smiles, warnings
