"""The line that explains a failure; a full disk is the one that was written to."""

import errno
from pathlib import Path

import pytest

from core.engine import files
from core.engine.failures import explain_failure
from core.engine.files import disk_full_error, failed_file, free_megabytes, is_disk_full, raise_if_disk_full

NO_SPACE = "No space left on device"


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[Path, float]:
    """Megabytes free by folder, the cache and the folder of temporary files."""
    room = {tmp_path / "cache": 78_779.0, tmp_path / "temporary": 50_000.0, tmp_path / "out": 3.0}
    for folder in room:
        folder.mkdir()
    monkeypatch.setattr(
        files, "free_megabytes", lambda path: next(v for k, v in room.items() if path.is_relative_to(k))
    )
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    return room


def test_the_file_of_an_error_names_the_disk(free: dict, tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, NO_SPACE, str(tmp_path / "out" / "x.csv"))
    line = explain_failure(error, tmp_path / "cache")
    assert line == f"the disk of {tmp_path / 'out'} is full: 3 MB free; free some; nothing was lost"
    both = OSError(errno.ENOSPC, NO_SPACE, str(tmp_path / "cache" / "a"), None, str(tmp_path / "out" / "b"))
    assert failed_file(both) == tmp_path / "out" / "b"
    inside = OSError(errno.ENOSPC, NO_SPACE, str(tmp_path / "cache" / "a"))
    line = explain_failure(inside, tmp_path / "cache")
    assert line.startswith(f"the disk of {tmp_path / 'cache'} is full: 78,779 MB free; ") and "--cache" in line


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, NO_SPACE), RuntimeError(f"I/O error: {NO_SPACE} (os error 28)")]
)
def test_an_error_without_a_file_blames_no_disk_with_room(free: dict, tmp_path: Path, error: Exception) -> None:
    line = explain_failure(error, tmp_path / "cache")
    assert "(now 78,779 and 50,000 MB free), or another that was written to" in line and "TMPDIR" in line
    free[tmp_path / "temporary"] = 12
    line = explain_failure(error, tmp_path / "cache")
    assert line.startswith(f"the disk of {tmp_path / 'temporary'} is full: 12 MB free; ") and "--cache" not in line
    free[tmp_path / "cache"] = 11
    assert explain_failure(error, tmp_path / "cache").startswith(
        f"the disk of {tmp_path / 'cache'} is full: 11 MB free"
    )


def test_quotas_and_limits_are_no_full_disk(free: dict, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for code, words in ((errno.EDQUOT, "quota on the disk of"), (errno.EFBIG, "has reached the largest size")):
        error = OSError(code, "it does not fit", str(cache / "a"))
        assert (
            is_disk_full(error)
            and words in explain_failure(error, cache)
            and "MB free" not in explain_failure(error, cache)
        )


def test_a_disk_without_inodes(free: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Status:
        f_files, f_favail = 1000, 0

    monkeypatch.setattr("os.statvfs", lambda path: Status)
    error = disk_full_error(OSError(errno.ENOSPC, NO_SPACE), tmp_path / "cache")
    assert "it has no room for more files" in str(error)


def test_a_missing_permission_names_the_file(tmp_path: Path) -> None:
    error = OSError(errno.EACCES, "Permission denied", "/a", None, "/b")
    assert explain_failure(error, tmp_path).startswith("/b cannot be read or written (Permission denied)")


def test_free_space_of_what_does_not_exist_yet(tmp_path: Path) -> None:
    assert free_megabytes(tmp_path / "a" / "b") > 0


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), raise_if_disk_full(tmp_path):
        raise ZeroDivisionError
