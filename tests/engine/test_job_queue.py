"""The line of jobs: one entry a recipe, in order, whoever asks and however often, and still there after a restart."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.engine.job_queue import JobQueue
from core.engine.spec import BadInput
from tests.queue_specs import Count, Sum, start_process
from tests.waiting import PATIENCE


@pytest.fixture
def line(tmp_path):
    return JobQueue(tmp_path / "cache")


def test_what_is_made_already_is_done_at_once(line):
    line.store.put(Count(), Sum(3, []), 0.0)
    assert line.submit(Count()).state == "done"
    assert line.start_next() is None


def test_submitting_from_eight_threads_and_two_lines_is_one_job(tmp_path, line):
    lines, barrier = [line, JobQueue(tmp_path / "cache")], threading.Barrier(8)

    def submit(number):
        barrier.wait()
        return lines[number % 2].submit(Count(steps=9))

    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(submit, range(8)))
    assert all(job == jobs[0] for job in jobs)
    assert line.start_next().key == Count(steps=9).key
    assert line.start_next() is None


def test_submitting_from_two_processes_is_one_job(line):
    code = "[queue.submit(Count(steps=n)) for n in range(1, 21)]; print(len(queue.jobs()))"
    others = [start_process(line.root, code) for _ in range(2)]
    assert [other.wait(PATIENCE) for other in others] == [0, 0]
    taken = []
    while job := line.start_next():
        taken.append(job.key)
    assert sorted(taken) == sorted(Count(steps=n).key for n in range(1, 21))


def test_waiting_jobs_keep_their_order_over_a_restart(tmp_path, line):
    specs = [Count(name=name) for name in "abcd"]
    for spec in specs:
        line.submit(spec)
    assert line.cancel(specs[1].key).state == "cancelled"
    line.close()
    line = JobQueue(tmp_path / "cache")
    assert [job.key for job in line.jobs()] == [spec.key for spec in reversed(specs)]
    assert [line.position(spec.key) for spec in specs] == [0, None, 1, 2]
    assert line.start_next().key == specs[0].key and line.start_next().key == specs[2].key
    assert line.resume(specs[1].key).state == "waiting"
    assert [line.position(spec.key) for spec in specs] == [None, 1, None, 0]


def test_what_is_no_key_or_no_job_is_refused(line):
    for call in (line.cancel, line.resume, line.remove):
        with pytest.raises(BadInput, match="no job with key"):
            call("0" * 16)
    for call in (line.cancel, line.job, line.track):
        with pytest.raises(BadInput, match="16 digits"):
            call("../../etc/passwd")
    assert line.job("0" * 16) is None and line.track("0" * 16) == []


def test_a_live_job_is_not_forgotten(line):
    line.submit(Count())
    with pytest.raises(BadInput, match="has not ended; cancel it first"):
        line.remove(Count().key)
    line.cancel(Count().key)
    line.remove(Count().key)
    assert line.jobs() == []


@pytest.mark.parametrize("action", ["submit", "resume"])
def test_worker_is_woken_after_the_commit(tmp_path, line, monkeypatch, action):
    if action == "resume":
        line.submit(Count())
        line.cancel(Count().key)
    other, states = JobQueue(tmp_path / "cache"), []
    monkeypatch.setattr(line, "wake", lambda: states.append((job := other.job(Count().key)) and job.state))
    line.submit(Count()) if action == "submit" else line.resume(Count().key)
    assert states == ["waiting"]
