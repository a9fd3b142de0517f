"""Audit: what is wrong with a table, alone or beside another, before anything is learned from it."""

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
    """Everything found of a table, by itself and beside `others` by name, of which "valid" and "test" judge.

    With an `embedding` they are compared in that space too. Of large tables neighbours, descriptors and rules are
    looked for in a sample, and so said.
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
