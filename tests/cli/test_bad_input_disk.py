"""Disks that are full or closed, caches that are held, Ctrl-C: one line, nothing lost, and the same command goes on."""

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
from tests.cli.test_bad_input import Said, ask, check_refused, left
from tests.cli.test_bad_input_runs import kinds, tuned, whole

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path) -> Any:
    def run(spec: Spec) -> Said:
        path = tmp_path / "recipe.json"
        path.write_text(spec.text)
        return ask(capsys, cache, "run", str(path))

    return run


@pytest.fixture
def split(table: Path) -> tuple[Split, ...]:
    return whole(table)


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_in_rust(*_: Any, **__: Any) -> None:
    raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("where", "what", "raises"),
    [
        (Fit, "save", full),
        (os, "fsync", full),
        (os, "rename", full),
        ("core.models.predictor.save_file", None, full_in_rust),
        ("core.models.backbones.weights.save_file", None, full_in_rust),
        (pd.DataFrame, "to_parquet", full),
        ("core.engine.store.write", None, full),
        (os, "replace", full),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_full_disk_loses_nothing(
    run: Any, cache: Path, split: tuple, where: Any, what: str | None, raises: Any
) -> None:
    """Wherever the disk says so: one line; what was there stays; with room the same command succeeds."""
    assert run(Split(split[0].table, part="train", **split[0].sizes, seed=5)).status == 0
    before = {entry.key for entry in Store(cache).entries()}
    fit = tuned(*split[:3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, raises) if what is None else patch.setattr(where, what, raises)
        if (where, what) == (os, "replace"):  # of an import: the file has not been seen before
            Path(split[0].table.source.removeprefix("file:")).write_text("smiles,size\nCCO,1\n")
        check_refused(run(fit), "the disk of", "is full", "MB free", "nothing was lost")
    assert not [path for path in left(cache) if "draft" in path]
    assert {entry.key for entry in Store(cache).entries()} >= before
    if (where, what) != (os, "replace"):
        said = run(fit)
        assert said.status == 0 and said.answer["summary"]["metrics"]["test"]["size"]["rmse"] > 0
        assert left(cache) == []


@pytest.fixture
def holder(cache: Path) -> Iterator[subprocess.Popen]:
    """Another process that works on the cache."""
    code = "import sys; from core.engine.worker import own_cache\nwith own_cache(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(cache)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_cache_that_another_process_works_on(run: Any, cache: Path, split: tuple, holder: subprocess.Popen) -> None:
    check_refused(run(split[0]), "is being worked on by process", str(holder.pid), "stop that, or wait for it")
    assert kinds(cache) == [] and left(cache) == []
    holder.communicate("")
    assert run(split[0]).status == 0


def test_a_cache_that_its_holder_left_by_dying(run: Any, split: tuple, holder: subprocess.Popen) -> None:
    holder.kill()
    holder.wait()
    assert run(split[0]).status == 0


def test_control_c_stops_and_the_same_command_goes_on(run: Any, cache: Path, split: tuple) -> None:
    fit = tuned(*split[:3])

    def pressed(bar: Any, fraction: float, message: str, numbers: dict) -> None:
        if "step 3" in message:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.ProgressBar, "__call__", pressed)
        said = run(fit)
    assert said.status == 1 and said.answer is None
    assert said.line == "molsway: stopped; run the same command again to resume from the last checkpoint\n"
    assert kinds(cache) == ["load", "part"] and not [path for path in left(cache) if "draft" in path]
    assert run(fit).status == 0 and left(cache) == []


def test_a_cache_that_cannot_be_written(capsys: Any, cache: Path, tmp_path: Path, table: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/cache")):
        check_refused(ask(capsys, folder, "run", "demo"), "cannot be a cache", "choose another --cache")

    def closed(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(cache))

    (tmp_path / "a.json").write_text(Load(f"file:{table}").text)
    arguments = ("run", str(tmp_path / "a.json"))
    for where, what in ((os, "replace"), (filelock.FileLock, "acquire"), (Path, "mkdir")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(where, what, closed)
            check_refused(ask(capsys, cache, *arguments), "Read-only file system", "choose another")
    assert ask(capsys, cache, *arguments).status == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_cache_without_permission(capsys: Any, cache: Path) -> None:
    cache.mkdir(mode=0o500)
    check_refused(ask(capsys, cache, "run", "demo"), "cannot be a cache", "Permission denied", "choose another --cache")


def test_a_product_that_was_damaged_says_how_to_go_on(capsys: Any, run: Any, cache: Path, split: tuple) -> None:
    key = run(split[0]).answer["key"]
    file = next(cache.glob(f"part/{key}/table.parquet"))
    file.write_bytes(file.read_bytes()[:-9])
    check_refused(ask(capsys, cache, "show", key), "table.parquet is missing or was changed", f"delete {key}")
    check_refused(run(split[0]), f"delete {key}", "make it again")
    assert ask(capsys, cache, "delete", key).status == 0
    assert run(split[0]).status == 0


def test_an_export_that_fails_leaves_nothing(capsys: Any, run: Any, cache: Path, split: tuple, tmp_path: Path) -> None:
    key = run(split[0]).answer["key"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.copystat", full)
        check_refused(ask(capsys, cache, "export", key, str(tmp_path / "out")), "is full")
    assert not (tmp_path / "out").exists()
    assert ask(capsys, cache, "export", key, str(tmp_path / "out")).status == 0
    check_refused(ask(capsys, cache, "export", key, str(tmp_path / "out")), "there already and not empty")
    check_refused(ask(capsys, cache, "export", key, str(cache / "part")), "inside the cache")


def test_the_answer_is_json_whatever_numbers_it_has(capsys: Any, cache: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        command = dataclasses.replace(
            COMMANDS["bench"], answer=lambda options: {"a": float("nan"), "b": np.float32("inf")}
        )
        patch.setitem(COMMANDS, "bench", command)
        said = ask(capsys, cache, "bench")
    assert said.answer == {"a": None, "b": None}
    json.loads(json.dumps(said.answer), parse_constant=pytest.fail)
