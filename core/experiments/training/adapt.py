"""Adaptation: a backbone goes on learning from molecules of the user's own, before any label is seen."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from core.chem import descriptors as properties
from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.meter import Meter
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.training.finetune import STARTS
from core.models.backbones import Pretrained, pretraining_history
from core.models.backbones.checkpoint import Checkpoint

DESCRIBED_AT_ONCE = 64  # molecules between two looks at whether someone cancelled
TITLES = {
    "masked tokens": "masked-language adaptation",
    "properties": "adaptation by properties",
    "both": "adaptation by masked tokens and properties",
}


@settings
class Adapt(Spec[Checkpoint]):
    """Teach a backbone the language and chemistry of your molecules; no labels needed.

    Masked tokens: 15 % of the tokens are hidden (80 % by `<mask>`, 10 % by a random token, 10 % kept; Devlin et al.
    2019, arXiv 1810.04805) and guessed. Properties: RDKit's descriptors, scaled over the molecules learned from, are
    read from the pooled embedding by one linear layer, which is not kept; on tables of some thousand molecules the
    better adaptation (arXiv 2503.03360). Both: the sum of the two losses, of one pass. A tenth of the molecules is held
    out and chooses the best evaluation: tokens hidden by one fixed mask, properties read from whole molecules.
    Molecules of `leave_out` (stereo marks aside) are not read: hand it the test part.
    """

    kind: ClassVar[str] = "adapt"
    page: ClassVar[str] = "train"
    revision: ClassVar[int] = 3
    effort: ClassVar[float] = 10.0
    repeatable: ClassVar[bool] = True

    corpus: Spec[Dataset] = Field(description="molecules to read; labels are not used")
    leave_out: Spec[Dataset] | None = Field(
        default=None, description="molecules never to read: the test part, unless you want its SMILES seen"
    )
    backbone: Annotated[Any, STARTS] = Field(default=Pretrained(), description="the model to begin from")
    objective: Literal["masked tokens", "properties", "both"] = Field(
        default="both",
        description="what is learned. masked tokens: guess hidden tokens of the SMILES; properties: predict some 200 "
        "properties that RDKit computes; both: the two losses added",
    )
    epochs: int = Field(default=10, ge=1, le=10_000, description="passes over the corpus")
    batch_size: int = Field(default=32, ge=1, le=4096, description="molecules in an optimiser step")
    learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="peak of the learning rate; by default the advice"
    )
    share: float = Field(
        default=0.15, gt=0, lt=1, description="share of the tokens that is hidden; not for properties alone"
    )
    patience: int = Field(
        default=0, ge=0, description="evaluations without a better one before stopping; 0 never stops early"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="arithmetic of training")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of masks, batches, dropout and the property layer")

    @property
    def title(self) -> str:
        return f"{TITLES[self.objective]} of {self.backbone.called} to {self.corpus.title}, seed {self.seed}"

    @property
    def called(self) -> str:
        return f"adapted {self.backbone.called}"

    def make(
        self,
        report: Report,
        corpus: Dataset,
        leave_out: Dataset | None = None,
        backbone: Callable[[], Any] | None = None,
    ) -> Checkpoint:
        import torch

        from core.models.devices import best_device, onto
        from core.training.cuda_graphs import Lesson
        from core.training.loop import Plan, arithmetic, cost, train
        from core.training.pretraining_loss import Objective

        report(0, "loading the backbone")
        meter = Meter()
        body = (backbone or self.backbone)(mlm_head=True)
        smiles, warnings = self.choose(corpus, leave_out)
        order = np.random.default_rng(self.seed).permutation(len(smiles))
        held_out = max(1, len(smiles) // 10)
        valid, learn = [smiles[row] for row in order[:held_out]], [smiles[row] for row in order[held_out:]]
        tokens, described = self.objective != "properties", self.objective != "masked tokens"
        begun = 0.1 if described else 0.0  # share of the work before the first step
        wanted, wanted_valid = described_both(learn, valid, report.part(0, begun)) if described else (None, None)
        device = best_device()
        body.to(device)
        body.requires_grad_(True)
        if not tokens and body.model.lm_head is not None:
            body.model.lm_head.requires_grad_(False)  # it gets no gradient; kept as it is for who begins from here
        objective = Objective(
            body.model,
            body.tokenizer,
            properties=wanted.shape[1] if described else 0,
            masked=float(tokens),
            share=self.share,
            seed=self.seed,
        )

        def batch(smiles: Sequence[str], targets: np.ndarray | None, seed: list[int]) -> tuple[Any, ...]:
            """What the objective is called with."""
            number = int(np.random.SeedSequence(seed).generate_state(1)[0])
            found = body.batch(smiles)
            known = None if targets is None else onto(torch.from_numpy(targets), device)
            return found["input_ids"], found["attention_mask"], torch.Generator().manual_seed(number), known

        def lay(rows: np.ndarray, spellings: np.ndarray, step: int) -> dict[str, torch.Tensor]:
            targets = wanted[rows] if described else None
            return objective.hide(*batch([learn[row] for row in rows], targets, [self.seed, step]))

        lesson = Lesson(lay, lambda batch: objective(batch).total, steady=body.steady)

        @torch.no_grad()
        def look() -> dict[str, float]:
            """Each part over all held-out molecules, the properties over all known cells."""
            masked, errors, sizes, cells = [], [], [], []
            for start in range(0, len(valid), 128):
                report.check("looking at the held-out molecules")
                some = valid[start : start + 128]
                targets = wanted_valid[start : start + 128] if described else None
                losses = objective.held_out(*batch(some, targets, [0, start]))
                masked.append(float(losses.masked) if tokens else 0.0)
                errors.append(float(losses.described) if described else 0.0)
                sizes.append(len(some))
                cells.append(max(1, int((~np.isnan(targets)).sum())) if described else 1)
            guess, error = float(np.average(masked, weights=sizes)), float(np.average(errors, weights=cells))
            found = {"valid_loss": guess + error}
            found |= {"perplexity": float(np.exp(guess))} if tokens else {}
            return found | ({"property_error": error} if described else {})

        before = look()
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
            precision=arithmetic(self.precision, device, body.width),
            seed=self.seed,
        )
        progress = train(objective, body.lengths(learn)[:, None], lesson, look, plan, report.part(begun, 0.99))
        best = progress.curve[progress.best_look - 1]
        record = {
            "backbone": body.name,
            "corpus": corpus.digest,
            "left_out": leave_out.digest if leave_out else None,
            "objective": self.objective,
            "rows": {"train": len(learn), "held_out": len(valid)},
            **{f"{name}_before": value for name, value in before.items()},
            **{name: best[name] for name in before},
            "properties": wanted.shape[1] if described else 0,
            "best_epoch": progress.best_look,
            "seconds": progress.seconds,
            **meter.reading(),
            "learning_rate": plan.learning_rate,
            "seed": self.seed,
            "warnings": warnings + progress.warnings,
            **cost(body),
        }
        folder = report.folder()
        body.name = f"adapted {body.name}"
        body.save(folder / "backbone")
        pretraining_history.note(
            folder / "backbone", self.key, body.name, smiles, corpus.digest, backbone or self.backbone
        )
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


def described_both(learn: Sequence[str], valid: Sequence[str], report: Report) -> tuple[np.ndarray, np.ndarray]:
    """Scaled properties (n, p), gaps NaN, of the molecules learned from and of those held out.

    The first alone decide which properties vary, and their centre and spread.
    """
    smiles, names, found = [*learn, *valid], properties.names(quick=True), []
    for start in range(0, len(smiles), DESCRIBED_AT_ONCE):
        report(start / len(smiles), f"computed properties of {start:,} of {len(smiles):,} molecules")
        found.append(properties.measured(smiles[start : start + DESCRIBED_AT_ONCE], quick=True))
    values = np.concatenate(found)
    scaling = properties.Scaling.of(values[: len(learn)], names)
    return scaling(values[: len(learn)], names), scaling(values[len(learn) :], names)
