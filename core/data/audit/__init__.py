"""Audit: problems of a table, by itself or compared with other tables, before a model is trained on it."""

from collections.abc import Mapping

from core.data.audit.findings import FIXES, Finding, Findings, sort_by_level
from core.data.audit.single_table import audit_single_table
from core.data.audit.two_tables import Embedding, audit_against_tables
from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT, Report

__all__ = ["FIXES", "Embedding", "Finding", "Findings", "audit"]


def audit(
    table: Dataset,
    others: Mapping[str, Dataset] | None = None,
    report: Report = SILENT_REPORT,
    embedding: Embedding | None = None,
) -> Findings:
    """All findings on a table, by itself and compared with `others` by name; "valid" and "test" are held-out parts.

    With an `embedding` the tables are also compared in that space. For large tables, neighbours, descriptors and rules
    are checked on a sample, and the finding says so.
    """
    others = dict(others or {})
    share = 0.4 if others else 1.0
    findings = audit_single_table(table, report.part(0, share))
    if others:
        findings += audit_against_tables(table, others, report.part(share, 1), embedding)
    record = {
        "rows": len(table),
        "digest": table.digest,
        "tasks": list(table.tasks),
        "others": {name: {"rows": len(other), "digest": other.digest} for name, other in others.items()},
    }
    return Findings(sort_by_level(findings), record)
