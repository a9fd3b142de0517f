"""The job queue: one job per spec, in order, also after a restart."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.engine.job_queue import JobQueue
from core.engine.spec import BadInput
from tests.queue_specs import Count, Sum, start_process
from tests.waiting import PATIENCE


@pytest.fixture
def queue(tmp_path):
    return JobQueue(tmp_path / "cache")


def test_stored_run_is_done_at_once(queue):
    queue.store.put(Count(), Sum(3, []), 0.0)
    assert queue.submit(Count()).state == "done"
    assert queue.start_next() is None


def test_submitting_from_eight_threads_and_two_queues_is_one_job(tmp_path, queue):
    queues, barrier = [queue, JobQueue(tmp_path / "cache")], threading.Barrier(8)

    def submit(number):
        barrier.wait()
        return queues[number % 2].submit(Count(steps=9))

    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(submit, range(8)))
    assert all(job == jobs[0] for job in jobs)
    assert queue.start_next().key == Count(steps=9).key
    assert queue.start_next() is None


def test_submitting_from_two_processes_is_one_job(queue):
    code = "[queue.submit(Count(steps=n)) for n in range(1, 21)]; print(len(queue.jobs()))"
    others = [start_process(queue.root, code) for _ in range(2)]
    assert [other.wait(PATIENCE) for other in others] == [0, 0]
    keys = []
    while job := queue.start_next():
        keys.append(job.key)
    assert sorted(keys) == sorted(Count(steps=n).key for n in range(1, 21))


def test_waiting_jobs_keep_their_order_after_a_restart(tmp_path, queue):
    specs = [Count(name=name) for name in "abcd"]
    for spec in specs:
        queue.submit(spec)
    assert queue.cancel(specs[1].key).state == "cancelled"
    queue.close()
    queue = JobQueue(tmp_path / "cache")
    assert [job.key for job in queue.jobs()] == [spec.key for spec in reversed(specs)]
    assert [queue.position(spec.key) for spec in specs] == [0, None, 1, 2]
    assert queue.start_next().key == specs[0].key and queue.start_next().key == specs[2].key
    assert queue.resume(specs[1].key).state == "waiting"
    assert [queue.position(spec.key) for spec in specs] == [None, 1, None, 0]


def test_invalid_and_unknown_keys_are_refused(queue):
    for call in (queue.cancel, queue.resume, queue.remove):
        with pytest.raises(BadInput, match="no job with key"):
            call("0" * 16)
    for call in (queue.cancel, queue.job, queue.track):
        with pytest.raises(BadInput, match="16 digits"):
            call("../../etc/passwd")
    assert queue.job("0" * 16) is None and queue.track("0" * 16) == []


def test_active_job_cannot_be_removed(queue):
    queue.submit(Count())
    with pytest.raises(BadInput, match="has not ended; cancel it first"):
        queue.remove(Count().key)
    queue.cancel(Count().key)
    queue.remove(Count().key)
    assert queue.jobs() == []


@pytest.mark.parametrize("action", ["submit", "resume"])
def test_worker_is_woken_after_the_commit(tmp_path, queue, monkeypatch, action):
    if action == "resume":
        queue.submit(Count())
        queue.cancel(Count().key)
    other, states = JobQueue(tmp_path / "cache"), []
    monkeypatch.setattr(queue, "wake", lambda: states.append((job := other.job(Count().key)) and job.state))
    queue.submit(Count()) if action == "submit" else queue.resume(Count().key)
    assert states == ["waiting"]
