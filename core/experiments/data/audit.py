"""Audit: problems of a table, alone or against other tables. CorrectedTable: the table with problems corrected."""

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
    """Problems of a table: in itself, and against the tables that it is compared with.

    In itself: duplicates and their noise, stereoisomer pairs, labels that are outliers, censored or in another unit.
    Against other tables: shared molecules, contradicting labels, near-duplicates, distribution shift, and labels that
    a formula computes from those of the other table. The sets of one split are pooled to search for such a formula.
    """

    kind: ClassVar[str] = "audit"
    page: ClassVar[str] = "data"
    revision: ClassVar[int] = 2
    effort: ClassVar[float] = 0.5

    table: Spec[Dataset] = Field(description="the table to audit")
    others: tuple[Spec[Dataset], ...] = Field(
        default=(), description="tables to compare it with: the sets that a model was trained on, or a table to join"
    )
    backbone: Annotated[Any, BACKBONES] = Field(
        default=Pretrained(), description="the backbone whose embedding compares the tables"
    )

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise BadInput(f"`others` wants tables with different names, got {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the other tables: the set for a part of a split, the title for any other table."""
        return tuple(
            table.part if isinstance(table, Split) else table.title.removeprefix("load ") for table in self.others
        )

    @property
    def title(self) -> str:
        context = f" against {', '.join(self.names)}" if self.others else ""
        return f"audit of {self.table.title.removeprefix('load ')}{context}"

    def make(self, report: Report, table: Dataset, others: tuple[Dataset, ...] = ()) -> Findings:
        return audit(table, dict(zip(self.names, others, strict=True)), report, self.embedding() if others else None)

    def embedding(self) -> Embedding:
        """The embedding of the backbone, not fine-tuned, on the best device available."""
        from core.models.devices import best_device
        from core.models.embeddings import embed_by_backbone

        backbone = self.backbone().to(best_device())
        return Embedding(lambda smiles: embed_by_backbone(backbone, smiles).cpu().numpy(), backbone.name)


@settings
class CorrectedTable(Spec[Dataset]):
    """A table with the named findings of an audit corrected.

    From the audited table the rows of the findings are removed; stereoisomer pairs are merged into one row with the
    median of their labels. From a table that it was compared with, the rows that a finding holds out are removed.
    """

    kind: ClassVar[str] = "corrected-table"
    page: ClassVar[str] = "data"
    effort: ClassVar[float] = 0.05

    table: Spec[Dataset] = Field(description="the audited table, or one of those that it was compared with")
    audit: Spec[Findings] = Field(description="the audit")
    findings: tuple[str, ...] = Field(description="names of the findings to correct")

    def __post_init__(self) -> None:
        if not self.findings:
            raise BadInput("`findings` is empty; name at least one finding of the audit")

    @property
    def title(self) -> str:
        return f"{self.table.title}, corrected"

    def make(self, report: Report, table: Dataset, audit: Findings) -> Dataset:
        report(0, "correcting the table")
        is_audited = table.digest == audit.record["digest"]
        names = [name for name, one in audit.record["others"].items() if one["digest"] == table.digest]
        if not is_audited and not names:
            raise BadInput("the audit is of other tables; audit this table first")
        removed, targets = np.zeros(len(table), bool), table.targets.copy()
        for one in map(audit.of, self.findings):
            _apply_finding(one, is_audited, names, removed, targets)
        if removed.all():
            raise BadInput(f"no row is left without {', '.join(self.findings)}; correct fewer of them")
        remainder = Dataset(
            table.smiles,
            targets,
            table.tasks,
            table.unit,
            table.columns,
            table.dropped,
            table.provenance | {"kinds": list(table.kinds)},
        )
        note = {"findings": list(self.findings), "left_out": int(removed.sum()), "audit": self.audit.key}
        return remainder.take(~removed, mended=note)


def _apply_finding(
    finding: Finding, is_audited: bool, names: list[str], removed: np.ndarray, targets: np.ndarray
) -> None:
    """Mark the rows to remove and set merged labels, in place. Raises `BadInput` for a finding without correction."""
    if not finding.fix:
        raise BadInput(f"{finding.kind!r} cannot be corrected: {finding.statement}")
    if not is_audited:
        for name in names:
            removed[finding.others.get(name, np.zeros(0, int))] = True
        return
    if finding.fix == "hold out":
        raise BadInput(f"{finding.kind!r} is corrected in the other table: {finding.consequence}")
    if finding.fix == "drop":
        removed[finding.rows] = True
        return
    for group in np.unique(finding.groups):
        first, *rest = finding.rows[finding.groups == group]
        labelled = ~np.isnan(targets[[first, *rest]]).all(0)
        targets[first, labelled] = np.nanmedian(targets[[first, *rest]][:, labelled], axis=0)
        removed[rest] = True


def audit_against_parts(pool: Spec[Dataset], fit: Spec) -> Audit:
    """The spec of an audit of a pool against the training, validation and test sets of a model."""
    return Audit(pool, tuple(fit.split_parts.values()))
