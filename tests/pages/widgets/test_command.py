"""The copied command runs from any folder, whatever `python` the machine has, on the library of the page."""

import json
import os
import subprocess
import sys

import pytest

from core.engine.spec import to_json
from core.experiments import Load, Split, import_files
from pages.base import shell
from pages.base.shell import write_command
from pages.widgets.frame import list_files
from tests.pages import filled_store


def run(command: str, folder) -> subprocess.CompletedProcess:
    path = folder / "bin"
    path.mkdir()
    (path / "python").write_text("#!/bin/sh\necho the wrong python; exit 7\n")
    (path / "python").chmod(0o755)
    environment = os.environ | {"PATH": f"{path}:/usr/bin:/bin"}
    return subprocess.run(["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_command_finds_the_run_of_the_page(copied, tmp_path):
    text = json.dumps(to_json(filled_store.PREDICT), ensure_ascii=False)
    done = run(write_command("run - --json", text), tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["key"] == filled_store.PREDICT.key


def test_backslashes_and_quotes_reach_the_command(copied, tmp_path):
    done = run(write_command("run -", "it's \\n C/C=C\\C"), tmp_path)
    assert done.returncode == 2 and "this is not JSON" in done.stderr and "line 1, column 1" in done.stderr


def test_an_installed_command_is_named(tmp_path, monkeypatch, copied):
    for name in ("molsway", "python"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(shell.sys, "executable", str(tmp_path / "python"))
    assert write_command("show 0").startswith(f"{tmp_path / 'molsway'} show 0 --cache ")
    (tmp_path / "molsway").unlink()
    assert f"{tmp_path / 'python'} -m core show 0" in write_command("show 0")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix")
def test_the_files_of_a_spec_are_named_with_their_digests(tmp_path):
    (tmp_path / "mine.csv").write_text("smiles,y\nCCO,1\nCCN,2\nCCC,3\n")
    spec = import_files(Split(Load(f"file:{tmp_path / 'mine.csv'}")), tmp_path / "files")
    assert list_files(spec) == [f"mine.csv (SHA-256 {spec.table.digest[:12]}…)"] and len(spec.table.digest) == 64
    assert list_files(filled_store.FIT) == []
