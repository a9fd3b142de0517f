"""One-line messages for errors that end a job or an arm of a study."""

from pathlib import Path

from core.engine import files, memory
from core.engine.spec import BadInput


def explain_failure(error: BaseException, root: Path) -> str:
    """The error in one line; `root` is the cache folder, named in disk errors."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, BadInput):
        return str(error)
    if memory.is_out_of_memory(error):
        return f"out of memory ({first:.120}); lower `batch_size` or take a smaller backbone, then resume"
    if files.is_disk_full(error):
        return str(files.disk_full_error(root))
    if files.is_access_denied(error) and isinstance(error, OSError):
        path = error.filename or root
        return f"{path} cannot be read or written ({error.strerror}); change its permissions or choose another"
    return f"{type(error).__name__}: {first}"
