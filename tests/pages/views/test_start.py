"""The page Start."""

from core.engine.job_queue import JobQueue
from tests.pages import filled_store
from tests.pages.conftest import find_button, find_door, page_text, without_exception


def test_the_demo_is_queued_once_and_opened(open_page, cache):
    at = open_page("start")
    without_exception(find_button(at, "Run the demo").click().run())
    (job,) = JobQueue(cache).jobs()
    assert (job.key, job.state) == (filled_store.STUDY.key, "waiting")
    at = open_page("start")
    without_exception(find_button(at, "Run the demo").click().run())
    assert len(JobQueue(cache).jobs()) == 1


def test_use_my_table_opens_the_file_form(open_page, cache):
    page, wanted = find_door(open_page("start"), "Choose a table")
    assert page == "data"
    at = open_page("data", **wanted)
    assert at.get("button_group")[0].value == "My file" and "No table chosen yet" in page_text(at)
    assert at.file_uploader(key="file").value is None
    assert open_page("data", **{"from": "elsewhere"}).get("button_group")[0].value == "Built in"
