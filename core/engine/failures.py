"""One-line messages for errors that end a job or an arm of a study."""

import tempfile
from pathlib import Path

from core.engine import files, memory
from core.engine.spec import BadInput

ROOMY = 1000.0  # MB of free space above which a disk was hardly the full one


def explain_failure(error: BaseException, root: Path) -> str:
    """The error in one line; `root` is the cache folder, named in disk errors that name no file."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, BadInput):
        return str(error)
    if memory.is_out_of_memory(error):
        return f"out of memory ({first:.120}); lower `batch_size` or take a smaller backbone, then resume"
    if files.is_disk_full(error):
        return _explain_full_disk(error, root)
    if files.is_access_denied(error) and isinstance(error, OSError):
        path = files.failed_file(error) or root
        return f"{path} cannot be read or written ({error.strerror}); change its permissions or choose another"
    return f"{type(error).__name__}: {first}"


def _explain_full_disk(error: BaseException, root: Path) -> str:
    """Names the disk that was written to; where the error does not say, the one with little room."""
    temporary = Path(tempfile.gettempdir())
    free = {folder: files.free_megabytes(folder) for folder in (root, temporary)}
    narrow = min(free, key=free.__getitem__)  # the cache, if both are on one disk
    if files.failed_file(error) is not None or free[root] < ROOMY:
        return str(files.disk_full_error(error, root))
    if free[narrow] < ROOMY:
        return str(files.disk_full_error(error, narrow, "free some or set TMPDIR to another folder; nothing was lost"))
    return (
        f"the disk of {root} or of {temporary} is full (now {free[root]:,.0f} and {free[temporary]:,.0f} MB free), or "
        "another that was written to; free some, choose another --cache or set TMPDIR; nothing was lost"
    )
