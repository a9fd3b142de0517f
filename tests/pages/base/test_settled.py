"""Pages ask for runs and jobs by specs; what they find is what is made."""

import re

import pytest

from core.data.audit import Finding, Findings
from core.engine.job_queue import JobQueue
from core.engine.store import Store
from core.experiments import Audit, Load, audit_against_parts, import_files
from tests.pages import filled_store
from tests.pages.base.test_address import find_lines
from tests.pages.conftest import find_button, page_text, without_exception

SERVICE = "pages/base/service.py"


def test_no_page_asks_for_a_spec_by_a_key_of_its_own():
    assert not find_lines(r"import_files|store\.has\(", SERVICE)
    assert not find_lines(r"queue\.job\(", SERVICE, "pages/widgets/job_panel.py")
    assert not find_lines(r"find_entry\([\w.]*(spec|search|projection|demo|audit|pool|table)[\w.]*\.key\)", SERVICE)


def make_findings() -> Findings:
    fault = Finding("same molecule: test", "fault", "3 molecules are in the test set", "the error is too low")
    return Findings([fault], {"rows": 3, "digest": "", "others": {}})


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_an_audit_of_the_page_data_is_found_again(open_page, copied):
    store = Store(copied)
    asked = Audit(Load("bundled:solubility"))
    settled = import_files(asked, store.files)
    assert settled.key != asked.key, "the digest of the backbone belongs to the key"
    store.put(settled, make_findings(), 1.0)
    text = page_text(open_page("data"))
    assert "1 fault" in text and "Audit this table" not in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
@pytest.mark.parametrize(("page", "words"), [("data", "Audit this table"), ("influence", "Audit the candidates")])
def test_an_audit_that_was_started_is_shown_under_way(open_page, copied, page, words):
    at = open_page(page)
    without_exception(find_button(at, words).click().run())
    (job,) = JobQueue(copied).jobs()
    assert job.kind == "audit"
    assert any(button.key == f"cancel-{job.key}" for button in at.button), "its progress, with a button to stop it"
    assert not any(button.label == words for button in at.button)


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_an_audit_of_candidates_is_found_again(open_page, copied):
    store = Store(copied)
    for fit in (filled_store.OTHER, filled_store.FIT):
        store.put(import_files(audit_against_parts(filled_store.POOL, fit), store.files), make_findings(), 1.0)
    assert "1 fault" in page_text(open_page("influence", fit=filled_store.FIT.key))


def test_the_command_shows_the_spec_that_is_made(open_page, cache):
    at = open_page("train")
    text = next(code.value for code in at.code if "finetune" in code.value)
    assert re.search(r'"digest": "[0-9a-f]{64}"', text), "with the digest of its backbone"
