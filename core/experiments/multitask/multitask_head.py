"""TrunkHead: a trunk and one of its tables → a Fit, which predicts and is judged as any other."""

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
from core.training.checks import drop_unreadable

MAX_PREDICTIONS = 10_000_000  # predictions, molecules times tasks: a fit keeps a row for each, some hundred bytes
COPIED_FIELDS = ("seed", "backbone", "backbone_parameters", "learning_rate", "precision", "steps", "best_epoch",
                "best_step", "device")  # fmt: skip


@settings
class MultitaskHead(Spec[Fit]):
    """What a trunk says of one of its tables: the trunk under the head that learned it, taken as a fit.

    Nothing is trained. The parts are those that the trunk kept clear of each other, so that the test part is one that
    no table was learned or chosen by. Influence is not taken of it: fine-tune the trunk on the table for that.
    """

    kind: ClassVar[str] = "multitask-head"
    page: ClassVar[str] = "train"
    effort: ClassVar[float] = 0.5

    trunk: Spec[MultitaskModel] = Field(description="the multitask training")
    member: Spec[MixtureParts] = Field(description="one of its tables, as the trunk's recipe has it")

    def __post_init__(self) -> None:
        members = self.trunk.members if isinstance(self.trunk, Multitask) else ()
        if self.member.key not in {one.key for one in members}:
            names = ", ".join(one.called for one in members)
            raise BadInput(f"`member` wants a table that the trunk has learned, with the same fields: {names}")
        if atoms := self.member.atoms:
            raise BadInput(f"{self.member.title} says what single atoms contribute to {atoms}, nothing of a molecule")

    @property
    def title(self) -> str:
        return f"{self.member.title} by {self.trunk.called}, seed {self.trunk.seed}"

    def make(self, report: Report, trunk: MultitaskModel, member: MixtureParts) -> Fit:
        from core.models.devices import best_device
        from core.models.heads import load_heads
        from core.models.single_head import SingleHeadModel

        cells = sum(map(len, member.parts.values())) * len(member.tasks)
        if cells > MAX_PREDICTIONS:
            raise BadInput(
                f"{self.member.title} has {cells:,} predictions to keep, up to {MAX_PREDICTIONS:,} are taken; "
                f"`python -m core predict {self.trunk.key} TABLE --out FILE` predicts without intervals"
            )
        report(0, "loading the trunk")
        began, meter, body = time.monotonic(), Meter(), trunk()
        begun = 0.7 if body.reads_atoms else 0.02  # graphs are drawn once, and take longer than what reads them
        (tables,), warnings = drop_unreadable((member,), body, report.part(0, begun))
        place = [one["name"] for one in trunk.record["members"]].index(member.learning.name)
        device = best_device()
        model = SingleHeadModel(body.to(device), load_heads(trunk.folder / "heads", body.width)[place].to(device))
        found, done, whole = {}, 0, sum(map(len, tables.parts.values()))
        for name in PARTS:
            table = tables.parts[name]
            share = (done / whole, (done + len(table)) / whole)
            within = report.part(*(begun + (1 - begun) * one for one in share), phase=f"predicting the {name} part")
            found[name] = model.predict(list(table.smiles), within)
            done += len(table)
        record: dict[str, Any] = {
            **evaluate_parts(tables.parts, found),
            **{name: trunk.record.get(name) for name in COPIED_FIELDS},
            "trunk": self.trunk.key,
            "method": {"kind": "head of a trunk"},
            "beside": None,
            **dict.fromkeys(("trainable", "parameters", "trainable_share", "trainable_bytes", "backbone_trainable")),
            **dict.fromkeys(("proof", "seconds_to_best", "seconds_per_epoch")),
            "forms": [],
            "seconds": time.monotonic() - began,
            **meter.reading(),
            "warnings": warnings,
        }
        predictions = pd.concat(
            [prediction_table(name, tables.parts[name], found[name]) for name in PARTS], ignore_index=True
        )
        folder = report.folder()
        model.save(folder / "predictor")
        return Fit(pd.DataFrame({name: [] for name in CURVE_COLUMNS}, dtype=float), predictions, record, folder)
