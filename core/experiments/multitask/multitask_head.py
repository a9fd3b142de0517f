"""MultitaskHead: one head of a multitask model as a Fit for its table."""

import time
from typing import Any, ClassVar

import pandas as pd
from pydantic import Field

from core.engine.meter import Meter
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.multitask.multitask import Multitask
from core.experiments.training.baseline import CURVE_COLUMNS
from core.models.multitask_model import MultitaskModel
from core.results.fit import PARTS, Fit, evaluate_parts, prediction_table
from core.results.mixture import MixtureParts
from core.training.checks import describe_one_class, drop_unreadable

MAX_PREDICTIONS = 10_000_000  # molecules × tasks; a fit stores a row of some hundred bytes for each
COPIED_FIELDS = ("seed", "backbone", "backbone_parameters", "learning_rate", "precision", "steps", "best_epoch",
                "best_step", "device")  # fmt: skip


@settings
class MultitaskHead(Spec[Fit]):
    """The model of one table of a multitask model: its shared backbone under the head of that table.

    Nothing is trained. The training, validation and test sets are those of the mixture after overlap was removed, so
    the test set has no molecule of any table's training or validation set. It has no gradient for influence; fine-tune
    the shared backbone on the table for that.
    """

    kind: ClassVar[str] = "multitask-head"
    page: ClassVar[str] = "train"
    effort: ClassVar[float] = 0.5

    multitask_model: Spec[MultitaskModel] = Field(description="the multitask training")
    member: Spec[MixtureParts] = Field(description="one of its tables, with the same fields as in the multitask spec")

    def __post_init__(self) -> None:
        members = self.multitask_model.members if isinstance(self.multitask_model, Multitask) else ()
        if self.member.key not in {member.key for member in members}:
            names = ", ".join(member.called for member in members)
            raise BadInput(f"`member` wants a table of the multitask model, with the same fields: {names}")
        if atoms := self.member.atoms:
            raise BadInput(
                f"{self.member.title} predicts contributions of single atoms to {atoms}, not values of molecules; "
                "choose another table"
            )

    @property
    def title(self) -> str:
        return f"{self.member.title} by {self.multitask_model.called}, seed {self.multitask_model.seed}"

    def make(self, report: Report, multitask_model: MultitaskModel, member: MixtureParts) -> Fit:
        from core.models.devices import best_device
        from core.models.heads import load_heads
        from core.models.single_head import SingleHeadModel

        cells = sum(map(len, member.parts.values())) * len(member.tasks)
        if cells > MAX_PREDICTIONS:
            raise BadInput(
                f"{self.member.title} has {cells:,} predictions to store, at most {MAX_PREDICTIONS:,} are possible; "
                f"`python -m core predict {self.multitask_model.key} TABLE --out FILE` predicts without intervals"
            )
        report(0, "loading the multitask model")
        began, meter, backbone = time.monotonic(), Meter(), multitask_model()
        reading_share = 0.7 if backbone.reads_atoms else 0.02  # building the graphs takes longer than predicting
        (tables,), warnings = drop_unreadable((member,), backbone, report.part(0, reading_share))
        index = [card["name"] for card in multitask_model.record["members"]].index(member.learning.name)
        device = best_device()
        model = SingleHeadModel(
            backbone.to(device), load_heads(multitask_model.folder / "heads", backbone.width)[index].to(device)
        )
        part_predictions, n_done, n_molecules = {}, 0, sum(map(len, tables.parts.values()))
        for name in PARTS:
            table = tables.parts[name]
            share = (n_done / n_molecules, (n_done + len(table)) / n_molecules)
            part_report = report.part(
                *(reading_share + (1 - reading_share) * fraction for fraction in share),
                phase=f"predicting the {name} part",
            )
            part_predictions[name] = model.predict(list(table.smiles), part_report)
            n_done += len(table)
        record: dict[str, Any] = {
            **evaluate_parts(tables.parts, part_predictions),
            **{name: multitask_model.record.get(name) for name in COPIED_FIELDS},
            "trunk": self.multitask_model.key,
            "method": {"kind": "head of a multitask model"},
            "beside": None,
            **dict.fromkeys(("trainable", "parameters", "trainable_share", "trainable_bytes", "backbone_trainable")),
            **dict.fromkeys(("proof", "seconds_to_best", "seconds_per_epoch")),
            "forms": [],
            "seconds": time.monotonic() - began,
            **meter.reading(),
            "warnings": describe_one_class(*(tables.parts[name] for name in PARTS)) + warnings,
        }
        predictions = pd.concat(
            [prediction_table(name, tables.parts[name], part_predictions[name]) for name in PARTS], ignore_index=True
        )
        folder = report.folder()
        model.save(folder / "predictor")
        return Fit(pd.DataFrame({name: [] for name in CURVE_COLUMNS}, dtype=float), predictions, record, folder)
