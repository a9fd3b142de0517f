"""The number of worker processes from the environment."""

from core.engine.worker import Worker


def test_the_worker_has_the_number_of_processes_of_the_environment(open_page, monkeypatch):
    seen = []
    monkeypatch.setattr(Worker, "start", lambda self: seen.append(self.workers) or self)
    monkeypatch.setenv("MOLSWAY_WORKERS", "3")
    open_page("runs")
    assert seen == [3]


def test_a_wrong_number_of_processes_is_reported(open_page, monkeypatch):
    monkeypatch.setenv("MOLSWAY_WORKERS", "many")
    at = open_page("runs")
    assert "MOLSWAY\\_WORKERS" in at.error[0].value and "got 'many'" in at.error[0].value
