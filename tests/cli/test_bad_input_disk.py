"""Full or read-only disks, a cache in use, Ctrl-C: one line, nothing lost, and the same command resumes."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pandas as pd
import pytest
import safetensors

from core.cli import runner
from core.cli.parser import COMMANDS
from core.engine.spec import Spec
from core.engine.store import Store
from core.experiments import Load, Split
from core.results.fit import Fit
from tests.cli.test_bad_input import Result, ask, check_refused, list_leftovers
from tests.cli.test_bad_input_runs import build_fit, split_alcohols, stored_kinds

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path) -> Any:
    def run(spec: Spec) -> Result:
        path = tmp_path / "spec.json"
        path.write_text(spec.text)
        return ask(capsys, cache, "run", str(path))

    return run


@pytest.fixture
def split(table: Path) -> tuple[Split, ...]:
    return split_alcohols(table)


def raise_disk_full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def raise_disk_full_in_rust(*_: Any, **__: Any) -> None:
    raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("where", "what", "raises"),
    [
        (Fit, "save", raise_disk_full),
        (os, "fsync", raise_disk_full),
        (os, "rename", raise_disk_full),
        ("core.models.predictor.save_file", None, raise_disk_full_in_rust),
        ("core.models.backbones.weights.save_file", None, raise_disk_full_in_rust),
        (pd.DataFrame, "to_parquet", raise_disk_full),
        ("core.engine.store.write_json", None, raise_disk_full),
        (os, "replace", raise_disk_full),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_full_disk_loses_nothing(
    run: Any, cache: Path, split: tuple, where: Any, what: str | None, raises: Any
) -> None:
    """At any write: one line; saved runs stay; with free space the same command succeeds."""
    assert run(Split(split[0].table, part="train", **split[0].sizes, seed=5)).status == 0
    before = {entry.key for entry in Store(cache).entries()}
    fit = build_fit(*split[:3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, raises) if what is None else patch.setattr(where, what, raises)
        if (where, what) == (os, "replace"):  # happens on import, so the file has to be new
            Path(split[0].table.source.removeprefix("file:")).write_text("smiles,size\nCCO,1\n")
        check_refused(run(fit), "the disk of", "is full", "MB free", "nothing was lost")
    assert not [path for path in list_leftovers(cache) if "draft" in path]
    assert {entry.key for entry in Store(cache).entries()} >= before
    if (where, what) != (os, "replace"):
        result = run(fit)
        assert result.status == 0 and result.answer["summary"]["metrics"]["test"]["size"]["rmse"] > 0
        assert list_leftovers(cache) == []


@pytest.fixture
def holder(cache: Path) -> Iterator[subprocess.Popen]:
    """Another process that owns the cache."""
    code = "import sys; from core.engine.worker import own_cache\nwith own_cache(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(cache)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_cache_in_use_is_refused(run: Any, cache: Path, split: tuple, holder: subprocess.Popen) -> None:
    check_refused(run(split[0]), "is in use by process", str(holder.pid), "stop that process, or wait for it")
    assert stored_kinds(cache) == [] and list_leftovers(cache) == []
    holder.communicate("")
    assert run(split[0]).status == 0


def test_a_cache_whose_owner_died_is_free(run: Any, split: tuple, holder: subprocess.Popen) -> None:
    holder.kill()
    holder.wait()
    assert run(split[0]).status == 0


def test_control_c_stops_and_the_same_command_resumes(run: Any, cache: Path, split: tuple) -> None:
    fit = build_fit(*split[:3])

    def interrupt(bar: Any, fraction: float, message: str, numbers: dict) -> None:
        if "step 3" in message:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.ProgressBar, "__call__", interrupt)
        result = run(fit)
    assert result.status == 1 and result.answer is None
    assert result.line == "molsway: stopped; run the same command again to resume from the last checkpoint\n"
    assert stored_kinds(cache) == ["load", "split"] and not [path for path in list_leftovers(cache) if "draft" in path]
    assert run(fit).status == 0 and list_leftovers(cache) == []


def test_a_cache_that_cannot_be_written_is_refused(capsys: Any, cache: Path, tmp_path: Path, table: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/cache")):
        check_refused(ask(capsys, folder, "run", "demo"), "cannot be a cache", "choose another --cache")

    def raise_read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(cache))

    (tmp_path / "a.json").write_text(Load(f"file:{table}").text)
    arguments = ("run", str(tmp_path / "a.json"))
    for where, what in ((os, "replace"), (filelock.FileLock, "acquire"), (Path, "mkdir")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(where, what, raise_read_only)
            check_refused(ask(capsys, cache, *arguments), "Read-only file system", "choose another")
    assert ask(capsys, cache, *arguments).status == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_without_permission_is_refused(capsys: Any, cache: Path) -> None:
    cache.mkdir(mode=0o500)
    check_refused(ask(capsys, cache, "run", "demo"), "cannot be a cache", "Permission denied", "choose another --cache")


def test_a_damaged_run_says_how_to_make_it_again(capsys: Any, run: Any, cache: Path, split: tuple) -> None:
    key = run(split[0]).answer["key"]
    file = next(cache.glob(f"split/{key}/table.parquet"))
    file.write_bytes(file.read_bytes()[:-9])
    check_refused(ask(capsys, cache, "show", key), "table.parquet is missing or was changed", f"delete {key}")
    check_refused(run(split[0]), f"delete {key}", "make it again")
    assert ask(capsys, cache, "delete", key).status == 0
    assert run(split[0]).status == 0


def test_a_failed_export_leaves_no_folder(capsys: Any, run: Any, cache: Path, split: tuple, tmp_path: Path) -> None:
    key = run(split[0]).answer["key"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.copystat", raise_disk_full)
        result = ask(capsys, cache, "export", key, str(tmp_path / "out"))
    check_refused(result, f"the disk of {tmp_path / 'out'} is full", "name another folder; nothing is left there")
    assert "--cache" not in result.line
    assert not (tmp_path / "out").exists()
    assert ask(capsys, cache, "export", key, str(tmp_path / "out")).status == 0
    check_refused(ask(capsys, cache, "export", key, str(tmp_path / "out")), "exists and is not empty")
    check_refused(ask(capsys, cache, "export", key, str(cache / "split")), "inside the cache")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_an_answer_that_cannot_be_written_is_said(cache: Path, form: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "core", "list", *form, "--cache", str(cache)]
    with open("/dev/full", "w") as full:
        result = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert "cannot be written to the standard output (No space left on device)" in result.stderr
    assert str(cache) not in result.stderr


def test_numbers_that_are_not_finite_are_null_in_json(capsys: Any, cache: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        command = dataclasses.replace(
            COMMANDS["bench"], answer=lambda options: {"a": float("nan"), "b": np.float32("inf")}
        )
        patch.setitem(COMMANDS, "bench", command)
        result = ask(capsys, cache, "bench")
    assert result.answer == {"a": None, "b": None}
    json.loads(json.dumps(result.answer), parse_constant=pytest.fail)
