"""Audit: a table, perhaps others beside it → what is wrong with it; Mend: the table without that."""

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from core.data.audit import Embedding, Finding, Findings, audit
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec, settings
from core.experiments.data.split import Split
from core.models.backbones import BACKBONES, Pretrained


@settings
class Audit(Spec[Findings]):
    """What is wrong with a table: alone, and beside the tables it is to join or to be judged by.

    Duplicates and their noise, stereo twins, labels far out, at an end of the scale or in another unit; beside others
    the same molecules, contradictions, near-copies, shift, and whether labels look computed from the others' by a rule.
    Parts of one table, such as a fit's training, validation and test part, are taken together where a rule is sought.
    """

    kind: ClassVar[str] = "audit"
    page: ClassVar[str] = "data"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 0.5

    table: Spec[Dataset] = Field(description="the table that is looked at")
    others: tuple[Spec[Dataset], ...] = Field(
        default=(), description="tables beside it: the parts of a fit, or a table to join"
    )
    backbone: Annotated[Any, BACKBONES] = Field(
        default=Pretrained(), description="the model in whose embedding the tables are compared too"
    )

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise BadInput(f"`others` wants tables of different names, got {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """What the others are called: train, valid, test and pool parts by that, others by their title."""
        return tuple(one.part if isinstance(one, Split) else one.title.removeprefix("load ") for one in self.others)

    @property
    def title(self) -> str:
        beside = f" beside {', '.join(self.names)}" if self.others else ""
        return f"audit of {self.table.title.removeprefix('load ')}{beside}"

    def make(self, report: Report, table: Dataset, others: tuple[Dataset, ...] = ()) -> Findings:
        return audit(table, dict(zip(self.names, others, strict=True)), report, self.embedding() if others else None)

    def embedding(self) -> Embedding:
        """By the backbone as it is, on the best device there is."""
        from core.models.devices import best_device
        from core.models.embeddings import embed_by_backbone

        body = self.backbone().to(best_device())
        return Embedding(lambda smiles: embed_by_backbone(body, smiles).cpu().numpy(), body.name)


@settings
class CorrectedTable(Spec[Dataset]):
    """A table without what an audit has found.

    Of the audited table the rows of the named findings go; stereo twins are made one row with the median of their
    labels, if that finding is named. Of a table beside it the rows that a finding holds out go.
    """

    kind: ClassVar[str] = "corrected-table"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.05

    table: Spec[Dataset] = Field(description="the audited table, or one of those beside it")
    audit: Spec[Findings] = Field(description="the audit")
    findings: tuple[str, ...] = Field(description="the findings that are to be mended, by their names")

    def __post_init__(self) -> None:
        if not self.findings:
            raise BadInput("`findings` names none; name at least one of the audit's")

    @property
    def title(self) -> str:
        return f"{self.table.title}, mended"

    def make(self, report: Report, table: Dataset, audit: Findings) -> Dataset:
        report(0, "mending the table")
        own = table.digest == audit.record["digest"]
        names = [name for name, one in audit.record["others"].items() if one["digest"] == table.digest]
        if not own and not names:
            raise BadInput("the audit is not of this table, nor was it beside it; audit it first")
        gone, targets = np.zeros(len(table), bool), table.targets.copy()
        for one in map(audit.of, self.findings):
            _apply_finding(one, own, names, gone, targets)
        if gone.all():
            raise BadInput(f"no row is left without {', '.join(self.findings)}; mend fewer of them")
        left = Dataset(
            table.smiles,
            targets,
            table.tasks,
            table.unit,
            table.columns,
            table.dropped,
            table.provenance | {"kinds": list(table.kinds)},
        )
        mended = {"findings": list(self.findings), "left_out": int(gone.sum()), "audit": self.audit.key}
        return left.take(~gone, mended=mended)


def _apply_finding(one: Finding, own: bool, names: list[str], gone: np.ndarray, targets: np.ndarray) -> None:
    """Mark the rows that go, and set the labels that are merged. Raises `BadInput` where nothing can be done."""
    if not one.fix:
        raise BadInput(f"nothing can be mended of {one.kind!r}: {one.statement}")
    if not own:
        for name in names:
            gone[one.others.get(name, np.zeros(0, int))] = True
        return
    if one.fix == "hold out":
        raise BadInput(f"{one.kind!r} is mended in the table beside this one: {one.consequence}")
    if one.fix == "drop":
        gone[one.rows] = True
        return
    for group in np.unique(one.groups):
        first, *rest = one.rows[one.groups == group]
        known = ~np.isnan(targets[[first, *rest]]).all(0)
        targets[first, known] = np.nanmedian(targets[[first, *rest]][:, known], axis=0)
        gone[rest] = True


def audit_against_parts(pool: Spec[Dataset], fit: Spec) -> Audit:
    """The audit of a pool beside the parts of a fit's recipe."""
    return Audit(pool, tuple(fit.split_parts.values()))
