"""The audit on the pages: submitted, shown, and the table corrected."""

import numpy as np
import pytest

from core.data.audit import Finding, Findings
from core.engine.store import Store
from core.experiments import Audit, CorrectedTable, audit_against_parts, import_files
from tests.pages import filled_store
from tests.pages.conftest import find_button, page_text, without_exception


def make_findings(table) -> Findings:
    findings = (
        Finding("same molecule: test", "fault", "3 of 240 are in the test part", "the error falls", "drop",
                np.array([2, 5, 7]), {"test": np.array([0, 1, 2])}),
        Finding("stereo twins", "caution", "4 molecules are 2 graphs", "kept together", "merge", np.array([0, 1, 3, 4]),
                groups=np.array([0, 0, 1, 1])),
        Finding("labels: logS", "note", "logS: <b>240</b> measured", "guessing the mean"),
    )  # fmt: skip
    return Findings(findings, {"rows": len(table), "digest": table.digest, "others": {}})


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_pool_is_audited_against_the_sets_of_a_model(open_page, copied, asked):
    at = open_page("influence")
    without_exception(find_button(at, "Audit the candidates").click().run())
    able = [
        import_files(audit_against_parts(asked[0].table, fit), copied / "files")
        for fit in (filled_store.OTHER, filled_store.FIT)
    ]
    assert asked[0] in able
    assert asked[0].names == ("train", "valid", "test")


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_findings_are_shown_by_severity_and_corrected(open_page, copied):
    store = Store(copied)
    table = store.get(filled_store.TABLE)
    audit = import_files(Audit(filled_store.TABLE), store.files)
    store.put(audit, make_findings(table), 2.0)
    at = open_page("data", run=audit.key)
    text = page_text(at)
    assert "1 fault" in text and "1 caution" in text and text.index("Same molecule") < text.index("Stereo twins")
    assert "<b>240" not in text.replace("\\<", "") and "the error falls" in text
    boxes = {box.label: box for box in at.checkbox}
    assert set(boxes) == {
        "Leave these rows out (3)",
        "Merge each group into one row, with the median of its labels (4)",
    }
    for box in boxes.values():
        at = without_exception(at.checkbox(key=box.key).check().run())
    at = without_exception(find_button(at, "Save the corrected table").click().run())
    corrected = CorrectedTable(filled_store.TABLE, audit, ("same molecule: test", "stereo twins"))
    assert len(store.get(corrected)) == len(table) - 3 - 2
    assert any("corrected" in option for box in open_page("train").selectbox for option in box.options)


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_an_audit_is_listed_with_its_most_severe_level(open_page, cache):
    assert (
        Findings.headline(make_findings(Store(cache).get(filled_store.TABLE)).summary()) == "1 fault, 1 caution, 1 note"
    )
