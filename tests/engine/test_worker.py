"""The worker: failures do not stop it, stopped jobs can resume, and one worker runs at a time."""

import errno
import json
import os
from pathlib import Path

import pytest

from core.engine.job_queue import Job, JobQueue
from core.engine.spec import BadInput
from core.engine.worker import CacheInUse, ProgressWriter, Worker, own_cache
from tests.queue_specs import Both, Count, Fail, start_process, wait_until_ended
from tests.waiting import PATIENCE, until


@pytest.fixture
def queue(tmp_path):
    return JobQueue(tmp_path / "cache")


@pytest.fixture
def work(queue):
    """Start a worker; all are stopped after the test."""
    workers = []

    def start(on=None):
        workers.append(Worker(on or queue, queue.store, "tests.queue_specs").start())
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop(PATIENCE)
        assert not worker.alive


@pytest.fixture
def gate(tmp_path) -> Path:
    """A missing file; a job that waits for it continues when it is written."""
    return tmp_path / "gate"


def test_finished_job_has_its_record_and_track(queue, work):
    work()
    spec = Count(steps=4)
    job = queue.submit(spec)
    assert isinstance(job, Job) and job.state == "waiting" and job.spec == spec.text
    job = wait_until_ended(queue, spec)
    assert (job.state, job.fraction, job.error, job.eta, job.runs) == ("done", 1.0, "", None, 1)
    assert job.submitted <= job.started <= job.ended
    assert queue.store.get(spec).total == 6
    assert job.numbers["epoch"] == 3 and job.numbers["kind"] == "jobs-count"
    assert [point["numbers"]["epoch"] for point in queue.track(spec.key)[1:]] == [0, 1, 2, 3]
    assert queue.submit(spec) == job


def test_deleted_run_is_made_again(queue, work):
    work()
    queue.submit(Count())
    wait_until_ended(queue, Count())
    queue.store.delete(Count().key)
    assert queue.submit(Count()).state == "waiting"
    assert wait_until_ended(queue, Count()).runs == 2 and queue.store.has(Count())


def test_queue_keeps_its_order_after_a_restart(tmp_path, queue, work):
    specs = [Count(name=name) for name in "abc"]
    for spec in specs:
        queue.submit(spec)
    assert [queue.position(spec.key) for spec in specs] == [0, 1, 2]
    queue.close()
    queue = JobQueue(tmp_path / "cache")
    assert [job.key for job in queue.jobs()] == [spec.key for spec in reversed(specs)]
    assert {job.state for job in queue.jobs()} == {"waiting"}
    work(queue)
    ends = [wait_until_ended(queue, spec).ended for spec in specs]
    assert ends == sorted(ends)
    assert queue.position(specs[0].key) is None


def test_idle_worker_takes_a_new_job(queue, work, monkeypatch):
    waits, wait = [], queue.wait
    monkeypatch.setattr(queue, "wait", lambda seconds: (waits.append(seconds), wait(seconds))[1])
    work()
    until(lambda: waits)  # it is idle
    queue.submit(Count(steps=1))
    assert wait_until_ended(queue, Count(steps=1)).state == "done"


def test_cancelling_a_waiting_job(queue, work):
    queue.submit(Count(name="a"))
    queue.submit(Count(name="b"))
    assert queue.cancel(Count(name="a").key).state == "cancelled"
    work()
    assert wait_until_ended(queue, Count(name="b")).state == "done"
    assert queue.job(Count(name="a").key).state == "cancelled"
    assert not queue.store.has(Count(name="a"))
    assert queue.cancel(Count(name="a").key).state == "cancelled"


@pytest.mark.parametrize("other_queue", [False, True])
def test_cancelling_a_running_job_and_resuming_it(tmp_path, queue, work, gate, other_queue):
    work()
    spec = Count(steps=40, gate=str(gate), free=5, silent=False)
    queue.submit(spec)
    until(lambda: (job := queue.job(spec.key)).state == "running" and job.fraction > 0)
    assert (JobQueue(tmp_path / "cache") if other_queue else queue).cancel(spec.key).cancelling
    checkpoint = queue.store.scratch(spec) / "checkpoint.json"
    steps = len(json.loads(checkpoint.read_text()))
    job = wait_until_ended(queue, spec)
    if (
        not other_queue
    ):  # within the step that was under way; cancelling by another process is read from disk at intervals
        assert len(json.loads(checkpoint.read_text())) <= steps + 1
    assert job.state == "cancelled" and not job.cancelling and 0 < job.fraction < 1
    assert not queue.store.has(spec)
    gate.touch()
    queue.resume(spec.key)
    assert wait_until_ended(queue, spec).state == "done"
    product = queue.store.get(spec)
    assert product.total == sum(range(40)) and product.did[0] > 0  # resumed from its checkpoint


def test_cancelling_by_another_process_stops_at_the_next_report(tmp_path, queue, work, gate):
    work()
    spec = Count(steps=3, gate=str(gate))
    queue.submit(spec)
    until(lambda: queue.job(spec.key).numbers.get("epoch") == 0)
    JobQueue(tmp_path / "cache").cancel(spec.key)
    until(queue._stops[spec.key].is_set, "cancelling by another process")
    gate.touch()
    job = wait_until_ended(queue, spec)
    assert job.state == "cancelled" and job.numbers["epoch"] == 0  # its second report did not pass


def test_cancelling_a_finished_job_changes_nothing(queue, work):
    work()
    queue.submit(Count())
    job = wait_until_ended(queue, Count())
    assert queue.cancel(Count().key) == job == queue.job(Count().key)
    with pytest.raises(BadInput, match="no job with key"):
        queue.cancel("0" * 16)


def test_cancelling_after_the_last_report_stores_the_product(queue, work, gate):
    spec = Count(steps=1, gate=str(gate))
    work()
    queue.submit(spec)
    until(lambda: queue.job(spec.key).numbers.get("epoch") == 0)  # in its one step, past its last report
    queue.cancel(spec.key)
    gate.touch()
    job = wait_until_ended(queue, spec)
    assert (job.state, job.cancelling) == ("done", False) and queue.store.has(spec)


@pytest.mark.parametrize(
    ("how", "error", "traced"),
    [
        ("input", "wants 3 rows, got 2; give one more", False),
        ("bug", "KeyError: 'smiles'", True),
        ("memory", "lower `batch_size`", True),
        ("cuda", "CUDA out of memory. Tried to allocate 20 GiB.); lower `batch_size`", True),
        ("disk", "is full", True),
        ("exit", "SystemExit: 3", True),
    ],
)
def test_failed_job_has_a_reason_and_the_queue_continues(queue, work, how, error, traced):
    queue.submit(Fail(how))
    queue.submit(Count())
    work()
    assert wait_until_ended(queue, Count()).state == "done"
    job = queue.job(Fail(how).key)
    assert job.state == "failed" and error in job.error and "\n" not in job.error
    assert ("queue_specs.py" in job.traceback) == traced
    assert queue.submit(Fail(how)).state == "waiting"  # asked for again, it is tried again
    assert wait_until_ended(queue, Fail(how)).runs == 2


def test_unknown_kind_fails_with_a_message(queue, work):
    queue.submit(Count())
    queue._rows.set(["job", Count().key], queue._rows.get(["job", Count().key]) | {"spec": '{"kind": "gone"}'})
    work()
    assert "no spec kind 'gone'" in wait_until_ended(queue, Count()).error


def test_remove(queue, work):
    queue.submit(Fail("bug"))
    with pytest.raises(BadInput, match="has not ended; cancel it first"):
        queue.remove(Fail("bug").key)
    work()
    wait_until_ended(queue, Fail("bug"))
    scratch = queue.store.scratch(Fail("bug"))
    queue.remove(Fail("bug").key)
    assert queue.jobs() == [] and not scratch.exists() and queue.track(Fail("bug").key) == []


def test_second_worker_takes_over_when_the_first_ends(tmp_path, queue, work):
    first = work()
    until(lambda: first.owns)
    second = work(JobQueue(tmp_path / "cache"))
    until(lambda: second.trouble)
    assert f"process {os.getpid()}" in second.trouble and not second.owns
    for name in "abc":
        queue.submit(Count(name=name))
    for name in "abc":
        assert wait_until_ended(queue, Count(name=name)).runs == 1
    first.stop()
    until(lambda: second.owns)
    queue.submit(Count(name="d"))
    assert wait_until_ended(queue, Count(name="d")).state == "done"


def test_stopped_worker_leaves_its_job_interrupted(queue, work, gate):
    worker, spec = work(), Count(steps=100, gate=str(gate), free=5, silent=False)
    queue.submit(spec)
    until(lambda: queue.job(spec.key).fraction > 0)
    worker.stop(PATIENCE)
    job = queue.job(spec.key)
    assert job.state == "interrupted" and "resume" in job.error


def test_resuming_after_kill_9_yields_the_same(tmp_path, queue, work, gate):
    spec = Count(steps=30, gate=str(gate), free=10)
    queue.submit(spec)
    queue.submit(Count(name="next"))
    other = start_process(
        queue.root,
        "worker = Worker(queue, queue.store, 'tests.queue_specs').start(); print(1, flush=True); time.sleep(9999)",
    )
    try:
        other.stdout.readline()
        until(lambda: queue.job(spec.key).fraction > 0.2)
        with pytest.raises(CacheInUse, match=f"process {other.pid} ") as error, own_cache(queue.root):
            pass
        assert "\n" not in str(error.value)
        standby = work()
        until(lambda: standby.trouble)
        assert queue.job(spec.key).state == "running"
    finally:
        other.kill()
        other.wait()
    assert wait_until_ended(queue, spec).state == "interrupted"
    assert wait_until_ended(queue, Count(name="next")).state == "done"
    gate.touch()
    queue.resume(spec.key)
    job = wait_until_ended(queue, spec)
    product = queue.store.get(spec)
    assert job.state == "done" and job.runs == 2
    assert product.total == sum(range(30)) and product.did[0] > 4
    epochs = [point["numbers"].get("epoch") for point in queue.track(spec.key)]
    assert epochs[1] == 0 and epochs[-1] == 29  # the track is continued


def test_own_cache_without_side_file_and_after_an_error(queue):
    with pytest.raises(ZeroDivisionError), own_cache(queue.root):
        (queue.root / "worker.json").write_text('{"pid": 999999999, "started": 1}')
        with pytest.raises(CacheInUse, match="by another process"), own_cache(queue.root):
            pass
        raise ZeroDivisionError
    with own_cache(queue.root):
        pass


def test_cancelled_job_of_a_dead_worker_is_cancelled(queue, work):
    queue.submit(Count())
    queue.start_next()
    queue.cancel(Count().key)
    work()
    assert wait_until_ended(queue, Count()).state == "cancelled"


def test_numbers_of_one_part_are_not_shown_for_the_next(queue, work):
    work()
    spec = Both((Count(steps=2), Fail("bug")))
    queue.submit(spec)
    job = wait_until_ended(queue, spec)
    assert job.state == "failed" and 0 < job.fraction < 1
    assert job.numbers == {"kind": "jobs-fail", "title": "jobs-fail", "key": Fail("bug").key}


def test_progress_is_written_at_most_four_times_a_second(queue, work, monkeypatch):
    writes, update = [], queue.update
    monkeypatch.setattr(queue, "update", lambda key, **news: (writes.append(news), update(key, **news))[1])
    work()
    spec = Count(steps=2000)
    queue.submit(spec)
    job = wait_until_ended(queue, spec)
    assert job.state == "done"
    assert 2 <= len(writes) <= 4 * (job.ended - job.started) + 3


def test_unwritable_queue_does_not_stop_the_worker(queue, work, monkeypatch):
    start_next = queue.start_next
    fails = iter([OSError(errno.ENOSPC, "database or disk is full")] * 2)

    def broken():
        if error := next(fails, None):
            raise error
        return start_next()

    monkeypatch.setattr(queue, "start_next", broken)
    worker = work()
    queue.submit(Count())
    assert wait_until_ended(queue, Count()).state == "done"
    assert worker.alive and worker.trouble == ""


def test_a_resumed_job_goes_on_where_it_was(queue, work, gate):
    """Two of four equal parts are done, and half of the third: it does not begin at nothing again, nor jump."""
    parts = (Count(steps=2), Count(steps=3), Count(steps=40, gate=str(gate), free=20, silent=False), Count(steps=5))
    spec = Both(parts)
    work()
    queue.submit(spec)
    before = until(lambda: (job := queue.job(spec.key)).fraction >= 0.49 and job.message == "step 20" and job).fraction
    queue.cancel(spec.key)
    assert wait_until_ended(queue, spec).fraction == before
    points = len(queue.track(spec.key))
    assert queue.resume(spec.key).fraction == before
    gate.touch()
    assert wait_until_ended(queue, spec).state == "done"
    after = queue.track(spec.key)[points:]
    fractions = [point["fraction"] for point in after]
    assert min(fractions) >= round(before, 6) and fractions == sorted(fractions)
    last_part = [point["fraction"] for point in after if point["numbers"]["key"] == parts[3].key]
    assert last_part[1:] == pytest.approx([0.6, 0.64, 0.68, 0.72, 0.76]), "a fifth of the work, as at the first start"


def test_a_resumed_job_that_has_to_begin_again_says_so(queue, monkeypatch):
    monkeypatch.setattr("core.engine.worker.HOLD_SECONDS", 30.0)
    job = Job("0" * 16, "jobs-count", "count", "{}", fraction=0.8, runs=2)
    now, shown = [1000.0], []
    monkeypatch.setattr("core.engine.worker.time.time", lambda: now[0])
    writer = ProgressWriter(queue, job)
    for fraction in (0.0, 0.1, 0.2, 0.3, 0.4):
        writer.tell(fraction, "step", {})
        shown.append(writer._news["fraction"])
        now[0] += 10.0
    assert shown == [0.8, 0.8, 0.8, 0.8, 0.4]
