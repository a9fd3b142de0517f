"""Multitask: a mixture of tables and a backbone → a trunk that has learned all of them, and what its heads predict."""

import dataclasses
import hashlib
import math
import platform
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from core.data.dataset import Dataset
from core.engine.meter import Meter
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.training.finetune import STARTS, spelled
from core.models.backbones import Gnn, pretraining_history
from core.models.trunk import Trunk
from core.results.fit import PARTS, tabulate
from core.results.mixture import Tables, drawn, judged, means, owners, shares, spans, stacked
from core.training.checks import unreadable

if TYPE_CHECKING:
    from core.models.heads import Heads

REPORTED = ("valid", "test")  # parts that are predicted


@settings
class Multitask(Spec[Trunk]):
    """Train one backbone on several tables at once, each with a head of its own; most labels may be missing.

    A batch holds molecules of all tables. The best evaluation by the mixture's validation loss is kept; the test parts
    are predicted once, at the end. The trunk is a backbone as any other afterwards: fine-tuned, followed by influence,
    asked for embeddings. With one member it is single-task learning, by the same loop.
    """

    kind: ClassVar[str] = "multitask"
    page: ClassVar[str] = "multitask"
    effort: ClassVar[float] = 20.0
    repeatable: ClassVar[bool] = True

    members: tuple[Spec[Tables], ...] = Field(description="the tables, each with its loss, scaler and weight")
    as_long_as: tuple[Spec[Tables], ...] = Field(
        default=(), description="tables whose molecules together make up an epoch, to match the steps of their mixture"
    )
    backbone: Annotated[Any, STARTS] = Field(default=Gnn(), description="the model to begin from")
    mixing: Literal["proportional", "square-root", "equal"] = Field(
        default="proportional", description="how often each table is drawn: by its molecules, their root, or alike"
    )
    weighting: Literal["equal", "count", "learned"] = Field(
        default="equal", description="what each table's loss weighs: alike, by its labels, or learned uncertainty"
    )
    epochs: int = Field(default=30, ge=1, le=10_000, description="passes over as many molecules as there are in all")
    steps: int | None = Field(
        default=None, ge=1, le=10_000_000, description="optimiser steps in all, in place of epochs"
    )
    evaluations: int = Field(default=20, ge=1, le=1000, description="looks at the validation parts, with `steps`")
    batch_size: int = Field(default=128, ge=1, le=65_536, description="molecules in an optimiser step")
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="peak of the learning rate")
    weight_decay: float = Field(default=0.01, ge=0, le=1, description="decay of weight matrices (AdamW)")
    warm_up: float = Field(default=0.1, ge=0, le=1, description="share of the steps in which the learning rate rises")
    clip: float = Field(default=1.0, gt=0, description="largest norm of a gradient")
    patience: int = Field(
        default=0, ge=0, description="evaluations without a better one before stopping; 0 never stops early"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout in the heads")
    backbone_dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout in the backbone")
    spellings: int = Field(
        default=1, ge=1, le=64, description="ways each molecule is written for a model that reads SMILES"
    )
    averaging: float = Field(
        default=0.995, ge=0, lt=1, description="decay of the running mean of the weights, which is kept; 0: no mean"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="arithmetic of training")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of heads, batches and dropout")

    def __post_init__(self) -> None:
        names = [one.called for one in self.members]
        if not names:
            raise BadInput("`members` wants at least one table")
        if len(set(names)) < len(names):
            raise BadInput(f"two members have one name among {', '.join(names)}; give each its own `name`")

    @property
    def title(self) -> str:
        names = ", ".join(one.called for one in self.members)
        return f"{self.backbone.called} on {names}, seed {self.seed}"

    @property
    def called(self) -> str:
        many = f"{len(self.members)} tables" if len(self.members) > 1 else self.members[0].title
        return f"{self.backbone.called.removesuffix(' (random weights)')} trained on {many}"

    def with_seed(self, seed: int) -> "Multitask":
        """The same with everything that is drawn by chance drawn anew, random weights too."""
        start = dataclasses.replace(self.backbone, seed=seed) if self.backbone.repeatable else self.backbone
        return dataclasses.replace(self, backbone=start, seed=seed)

    def make(
        self,
        report: Report,
        members: tuple[Tables, ...],
        as_long_as: tuple[Tables, ...] = (),
        backbone: Callable[[], Any] | None = None,
    ) -> Trunk:
        import torch

        from core.models.devices import best_device
        from core.models.heads import Heads, labelled
        from core.training.cuda_graphs import Lesson
        from core.training.loop import Plan, arithmetic, cost
        from core.training.loop import train as run
        from core.training.mixture_batches import Batches, predictions

        report(0, "loading the backbone")
        meter, body = Meter(), (backbone or self.backbone)()
        body.thin(self.backbone_dropout)
        members, warnings = readable(members, body, report.part(0, 0.1))
        model = Heads(body, members, self.weighting, self.dropout, self.seed)
        labels = {name: [one.labels(name) for one in members] for name in PARTS}
        for head, mine in zip(model.heads, labels["train"], strict=True):
            head.fit_scaler(stacked(mine))
        device = best_device()
        model.to(device)
        batches = Batches(model, members, labels, "train")
        smiles = batches.smiles
        written = spelled(smiles, self.spellings if body.spells else 1, self.seed)
        lengths = np.stack([body.lengths(way) for way in written], 1)
        sizes = [len(one.parts["train"]) for one in members]
        paced = sum(len(one.parts["train"]) for one in as_long_as)
        steps = self.epochs * math.ceil(paced / self.batch_size) if paced and self.steps is None else self.steps

        def lay(rows: np.ndarray, spellings: np.ndarray, step: int) -> dict[str, Any]:
            return {"rows": rows, "read": [written[way][row] for way, row in zip(spellings, rows, strict=True)]}

        def loss(batch: dict[str, Any]) -> torch.Tensor:
            embedded = model.embed(batch["read"])
            return model.total(model.losses(embedded, batches.given(batch["rows"], embedded[2])), embedded[0])

        plan = Plan(
            epochs=self.epochs,
            steps=steps,
            evaluations=self.evaluations if self.steps else self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warm_up=self.warm_up,
            clip=self.clip,
            patience=self.patience,
            precision=arithmetic(self.precision, device, body.width),
            seed=self.seed,
            averaging=self.averaging,
            sorted=32 if body.spells else 0,
        )
        look = self.look(model, members, labels, report)
        progress = run(model, lengths, Lesson(lay, loss, steady=False), look, plan, report.part(0.1, 0.97),
                       lambda generator: drawn(sizes, self.mixing, generator))  # fmt: skip
        best = progress.curve[progress.best_look - 1]
        told, rows = [], []
        for place, (one, head) in enumerate(zip(members, model.heads, strict=True)):
            within = report.part(0.97 + 0.03 * place / len(members), 0.97 + 0.03 * (place + 1) / len(members))
            metrics, deviation = {}, head.deviation.cpu().numpy()
            for name in REPORTED:
                found = predictions(model, place, list(one.parts[name].smiles), self.batch_size, within)
                wanted = labels[name][place]
                given = stacked(wanted), stacked(found), one.tasks, one.kinds, deviation
                metrics[name] = judged(*given)
                if name == "test":
                    sure = spans(*given, owners(wanted))
                if not one.learning.atoms:
                    rows.append(tabulated(one, name, found))
            told.append(
                {
                    **one.summary(),
                    "share": float(shares(sizes, self.mixing)[place]),
                    "loss_weight": float(model.weights[place]),
                    "labels": labelled(one),
                    "deviation": deviation.tolist(),
                    "metrics": metrics,
                    **sure,
                    "means": {name: means(found) for name, found in metrics.items()},
                }
            )
            if model.variances is not None:
                told[-1]["log_variance"] = float(model.variances[place].detach())
        digest = hashlib.sha256("".join(one["digests"]["train"] for one in told).encode()).hexdigest()[:16]
        body.name = self.called
        record = {
            "members": told,
            "backbone": body.name,
            "mixing": self.mixing,
            "weighting": self.weighting,
            "corpus": digest,
            "seed": self.seed,
            **cost(model),
            "backbone_parameters": sum(weight.numel() for weight in body.parameters()),
            "valid_loss": best["valid_loss"],
            "best_epoch": best["epoch"],
            "best_step": best["step"],
            "steps": progress.curve[-1]["step"],
            "molecules_read": progress.curve[-1]["step"] * self.batch_size,
            "seconds": progress.seconds,
            "learning_rate": self.learning_rate,
            "precision": plan.precision,
            **meter.reading(),
            "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "cpu",
            "warnings": warnings + progress.warnings,
        }
        folder = report.folder()
        body.save(folder / "backbone")
        model.save(folder / "heads")
        measured = sum(len(one.tasks) for one in members if one.measured)
        start = backbone or self.backbone
        pretraining_history.note(folder / "backbone", self.key, body.name, smiles, digest, start, measured)
        found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(PREDICTED))
        return Trunk(pd.DataFrame(progress.curve), record, folder, found)

    def look(
        self, model: "Heads", members: Sequence[Tables], labels: dict[str, list], report: Report
    ) -> Callable[[], dict[str, float]]:
        """What looks at the validation parts: the loss of each table over all its cells, and that of the mixture."""
        import torch

        from core.training.mixture_batches import Batches

        batches = Batches(model, members, labels, "valid")
        places = np.repeat(np.arange(len(members)), [len(one.parts["valid"]) for one in members])
        cells = [int((~np.isnan(stacked(mine))).sum()) for mine in labels["valid"]]
        for one, count in zip(members, cells, strict=True):
            if not count:
                raise BadInput(
                    f"{one.learning.name}: no molecule of the validation part has a label; enlarge that part"
                )
        size = max(256, self.batch_size)

        @torch.no_grad()
        def evaluated() -> dict[str, float]:
            sums = [0.0] * len(members)
            for place in range(len(members)):
                rows = np.flatnonzero(places == place)
                for start in range(0, len(rows), size):
                    report.check("looking at the validation parts")
                    some = rows[start : start + size]
                    embedded = model.embed([batches.smiles[row] for row in some])
                    given = batches.given(some, embedded[2])[place]
                    head = model.heads[place]
                    values = embedded[1 if head.learning.atoms else 0]
                    sums[place] += float(head.cells(head(values[given.rows]), given.labels).sum())
            losses = [total / count for total, count in zip(sums, cells, strict=True)]
            whole = float(np.dot(losses, model.weights.cpu().numpy()))
            own = {f"loss: {one.learning.name}": loss for one, loss in zip(members, losses, strict=True)}
            return {"valid_loss": whole} | own

        return evaluated


PREDICTED = ("member", "part", "row", "smiles", "task", "label", "prediction")


def tabulated(tables: Tables, part: str, predicted: np.ndarray) -> pd.DataFrame:
    """Predictions (n, t) of a part as rows, those of unmeasured cells left out."""
    found = tabulate(part, tables.parts[part], predicted)
    found.insert(0, "member", tables.learning.name)
    return found[found["label"].notna()]


def readable(members: Sequence[Tables], body: Any, report: Report) -> tuple[tuple[Tables, ...], list[str]]:
    """The tables without the molecules that a backbone cannot read at all, and what is to be said of that.

    Raises `BadInput` where those are more than a few in a hundred.
    """
    found, said = [], []
    done, whole = 0, sum(len(table) for one in members for table in one.parts.values())
    for one in members:
        parts: dict[str, Dataset] = {}
        for name, table in one.parts.items():
            share = (done / whole, (done + len(table)) / whole)
            within = report.part(*share, phase=f"reading {one.learning.name}")
            done += len(table)
            lost = body.unread(list(table.smiles), within)
            kept = np.ones(len(table), bool)
            kept[[row for row, _ in lost]] = False
            parts[name] = table.take(kept) if lost else table
            said += [f"{one.learning.name}, {name}, row {row}: left out, {reason}" for row, reason in lost]
        said += [f"{one.learning.name}: {words}" for words in unreadable(body, parts)]
        found.append(dataclasses.replace(one, parts=parts))
    return tuple(found), said
