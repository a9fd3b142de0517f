"""The worker of the line: what fails does not stop it, what is stopped can go on, and there is one at a time."""

import errno
import json
import os
from pathlib import Path

import pytest

from core.engine.job_queue import Job, JobQueue
from core.engine.spec import BadInput
from core.engine.worker import CacheInUse, Worker, own_cache
from tests.queue_specs import Both, Count, Fail, start_process, wait_until_ended
from tests.waiting import PATIENCE, until


@pytest.fixture
def line(tmp_path):
    return JobQueue(tmp_path / "cache")


@pytest.fixture
def work(line):
    """Start a worker; all are stopped after the test."""
    workers = []

    def start(on=None):
        workers.append(Worker(on or line, line.store, "tests.queue_specs").start())
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop(PATIENCE)
        assert not worker.alive


@pytest.fixture
def gate(tmp_path) -> Path:
    """A file that is not there yet: what waits for it goes on when it is written."""
    return tmp_path / "gate"


def test_a_job_is_made_and_told(line, work):
    work()
    spec = Count(steps=4)
    job = line.submit(spec)
    assert isinstance(job, Job) and job.state == "waiting" and job.spec == spec.text
    job = wait_until_ended(line, spec)
    assert (job.state, job.fraction, job.error, job.eta, job.runs) == ("done", 1.0, "", None, 1)
    assert job.submitted <= job.started <= job.ended
    assert line.store.get(spec).total == 6
    assert job.numbers["epoch"] == 3 and job.numbers["kind"] == "jobs-count"
    assert [point["numbers"]["epoch"] for point in line.track(spec.key)[1:]] == [0, 1, 2, 3]
    assert line.submit(spec) == job


def test_what_was_done_and_deleted_is_made_again(line, work):
    work()
    line.submit(Count())
    wait_until_ended(line, Count())
    line.store.delete(Count().key)
    assert line.submit(Count()).state == "waiting"
    assert wait_until_ended(line, Count()).runs == 2 and line.store.has(Count())


def test_the_line_is_in_order_and_survives_a_restart(tmp_path, line, work):
    specs = [Count(name=name) for name in "abc"]
    for spec in specs:
        line.submit(spec)
    assert [line.position(spec.key) for spec in specs] == [0, 1, 2]
    line.close()
    line = JobQueue(tmp_path / "cache")
    assert [job.key for job in line.jobs()] == [spec.key for spec in reversed(specs)]
    assert {job.state for job in line.jobs()} == {"waiting"}
    work(line)
    ends = [wait_until_ended(line, spec).ended for spec in specs]
    assert ends == sorted(ends)
    assert line.position(specs[0].key) is None


def test_an_idle_worker_takes_a_new_job(line, work, monkeypatch):
    waits, wait = [], line.wait
    monkeypatch.setattr(line, "wait", lambda seconds: (waits.append(seconds), wait(seconds))[1])
    work()
    until(lambda: waits)  # it has found nothing to do
    line.submit(Count(steps=1))
    assert wait_until_ended(line, Count(steps=1)).state == "done"


def test_cancelling_a_waiting_job(line, work):
    line.submit(Count(name="a"))
    line.submit(Count(name="b"))
    assert line.cancel(Count(name="a").key).state == "cancelled"
    work()
    assert wait_until_ended(line, Count(name="b")).state == "done"
    assert line.job(Count(name="a").key).state == "cancelled"
    assert not line.store.has(Count(name="a"))
    assert line.cancel(Count(name="a").key).state == "cancelled"


@pytest.mark.parametrize("other_line", [False, True])
def test_cancelling_a_running_job_and_resuming_it(tmp_path, line, work, gate, other_line):
    work()
    spec = Count(steps=40, gate=str(gate), free=5, silent=False)
    line.submit(spec)
    until(lambda: (job := line.job(spec.key)).state == "running" and job.fraction > 0)
    assert (JobQueue(tmp_path / "cache") if other_line else line).cancel(spec.key).cancelling
    checkpoint = line.store.scratch(spec) / "checkpoint.json"
    steps = len(json.loads(checkpoint.read_text()))
    job = wait_until_ended(line, spec)
    if not other_line:  # within the step that was under way; another process's wish is read from the disk now and then
        assert len(json.loads(checkpoint.read_text())) <= steps + 1
    assert job.state == "cancelled" and not job.cancelling and 0 < job.fraction < 1
    assert not line.store.has(spec)
    gate.touch()
    line.resume(spec.key)
    assert wait_until_ended(line, spec).state == "done"
    product = line.store.get(spec)
    assert product.total == sum(range(40)) and product.did[0] > 0  # it went on from its checkpoint


def test_cancelling_from_elsewhere_is_noticed_before_the_next_report_however_late(tmp_path, line, work, gate):
    work()
    spec = Count(steps=3, gate=str(gate))
    line.submit(spec)
    until(lambda: line.job(spec.key).numbers.get("epoch") == 0)
    JobQueue(tmp_path / "cache").cancel(spec.key)
    until(line._stops[spec.key].is_set, "the wish of another process")
    gate.touch()
    job = wait_until_ended(line, spec)
    assert job.state == "cancelled" and job.numbers["epoch"] == 0  # its second report did not pass


def test_cancelling_a_finished_job_changes_nothing(line, work):
    work()
    line.submit(Count())
    job = wait_until_ended(line, Count())
    assert line.cancel(Count().key) == job == line.job(Count().key)
    with pytest.raises(BadInput, match="no job with key"):
        line.cancel("0" * 16)


def test_cancelling_after_the_last_report_keeps_what_was_made(line, work, gate):
    spec = Count(steps=1, gate=str(gate))
    work()
    line.submit(spec)
    until(lambda: line.job(spec.key).numbers.get("epoch") == 0)  # in its one step, past its last report
    line.cancel(spec.key)
    gate.touch()
    job = wait_until_ended(line, spec)
    assert (job.state, job.cancelling) == ("done", False) and line.store.has(spec)


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
def test_a_failed_job_says_why_and_the_line_goes_on(line, work, how, error, traced):
    line.submit(Fail(how))
    line.submit(Count())
    work()
    assert wait_until_ended(line, Count()).state == "done"
    job = line.job(Fail(how).key)
    assert job.state == "failed" and error in job.error and "\n" not in job.error
    assert ("queue_specs.py" in job.traceback) == traced
    assert line.submit(Fail(how)).state == "waiting"  # asked for again, it is tried again
    assert wait_until_ended(line, Fail(how)).runs == 2


def test_a_kind_nobody_knows_fails_in_words(line, work):
    line.submit(Count())
    line._rows.set(["job", Count().key], line._rows.get(["job", Count().key]) | {"spec": '{"kind": "gone"}'})
    work()
    assert "no recipe of kind 'gone'" in wait_until_ended(line, Count()).error


def test_forget(line, work):
    line.submit(Fail("bug"))
    with pytest.raises(BadInput, match="has not ended; cancel it first"):
        line.remove(Fail("bug").key)
    work()
    wait_until_ended(line, Fail("bug"))
    scratch = line.store.scratch(Fail("bug"))
    line.remove(Fail("bug").key)
    assert line.jobs() == [] and not scratch.exists() and line.track(Fail("bug").key) == []


def test_two_workers_on_one_root_one_works_and_the_other_takes_over(tmp_path, line, work):
    first = work()
    until(lambda: first.owns)
    second = work(JobQueue(tmp_path / "cache"))
    until(lambda: second.trouble)
    assert f"process {os.getpid()}" in second.trouble and not second.owns
    for name in "abc":
        line.submit(Count(name=name))
    for name in "abc":
        assert wait_until_ended(line, Count(name=name)).runs == 1
    first.stop()
    until(lambda: second.owns)
    line.submit(Count(name="d"))
    assert wait_until_ended(line, Count(name="d")).state == "done"


def test_a_stopped_worker_leaves_its_job_interrupted(line, work, gate):
    worker, spec = work(), Count(steps=100, gate=str(gate), free=5, silent=False)
    line.submit(spec)
    until(lambda: line.job(spec.key).fraction > 0)
    worker.stop(PATIENCE)
    job = line.job(spec.key)
    assert job.state == "interrupted" and "resume" in job.error


def test_kill_9_then_standby_then_resume_yields_the_same(tmp_path, line, work, gate):
    spec = Count(steps=30, gate=str(gate), free=10)
    line.submit(spec)
    line.submit(Count(name="next"))
    other = start_process(
        line.root,
        "worker = Worker(queue, queue.store, 'tests.queue_specs').start(); print(1, flush=True); time.sleep(9999)",
    )
    try:
        other.stdout.readline()
        until(lambda: line.job(spec.key).fraction > 0.2)
        with pytest.raises(CacheInUse, match=f"process {other.pid} ") as held, own_cache(line.root):
            pass
        assert "\n" not in str(held.value)
        standby = work()
        until(lambda: standby.trouble)
        assert line.job(spec.key).state == "running"
    finally:
        other.kill()
        other.wait()
    assert wait_until_ended(line, spec).state == "interrupted"
    assert wait_until_ended(line, Count(name="next")).state == "done"
    gate.touch()
    line.resume(spec.key)
    job = wait_until_ended(line, spec)
    product = line.store.get(spec)
    assert job.state == "done" and job.runs == 2
    assert product.total == sum(range(30)) and product.did[0] > 4
    epochs = [point["numbers"].get("epoch") for point in line.track(spec.key)]
    assert epochs[1] == 0 and epochs[-1] == 29  # the track goes on where it was


def test_own_says_so_without_the_side_file_and_lets_go_after_an_error(line):
    with pytest.raises(ZeroDivisionError), own_cache(line.root):
        (line.root / "worker.json").write_text('{"pid": 999999999, "started": 1}')
        with pytest.raises(CacheInUse, match="by another process"), own_cache(line.root):
            pass
        raise ZeroDivisionError
    with own_cache(line.root):
        pass


def test_a_cancelled_job_whose_worker_died_is_cancelled(line, work):
    line.submit(Count())
    line.start_next()
    line.cancel(Count().key)
    work()
    assert wait_until_ended(line, Count()).state == "cancelled"


def test_numbers_of_one_part_do_not_leak_into_the_next(line, work):
    work()
    spec = Both((Count(steps=2), Fail("bug")))
    line.submit(spec)
    job = wait_until_ended(line, spec)
    assert job.state == "failed" and 0 < job.fraction < 1
    assert job.numbers == {"kind": "jobs-fail", "title": "jobs-fail", "key": Fail("bug").key}


def test_progress_is_written_at_most_four_times_a_second(line, work, monkeypatch):
    writes, update = [], line.update
    monkeypatch.setattr(line, "update", lambda key, **news: (writes.append(news), update(key, **news))[1])
    work()
    spec = Count(steps=2000)
    line.submit(spec)
    job = wait_until_ended(line, spec)
    assert job.state == "done"
    assert 2 <= len(writes) <= 4 * (job.ended - job.started) + 3


def test_a_ledger_that_cannot_be_written_does_not_stop_the_worker(line, work, monkeypatch):
    take = line.start_next
    fails = iter([OSError(errno.ENOSPC, "database or disk is full")] * 2)

    def broken():
        if error := next(fails, None):
            raise error
        return take()

    monkeypatch.setattr(line, "start_next", broken)
    worker = work()
    line.submit(Count())
    assert wait_until_ended(line, Count()).state == "done"
    assert worker.alive and worker.trouble == ""
