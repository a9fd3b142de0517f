"""How many processes work at once, as the environment says it."""

from core.engine.worker import Worker


def test_the_worker_of_the_pages_has_as_many_processes_as_asked_for(open_page, monkeypatch):
    seen = []
    monkeypatch.setattr(Worker, "start", lambda self: seen.append(self.workers) or self)
    monkeypatch.setenv("MOLSWAY_WORKERS", "3")
    open_page("runs")
    assert seen == [3]


def test_what_is_no_number_is_said_where_it_is_seen(open_page, monkeypatch):
    monkeypatch.setenv("MOLSWAY_WORKERS", "many")
    at = open_page("runs")
    assert "MOLSWAY\\_WORKERS" in at.error[0].value and "got 'many'" in at.error[0].value
