"""What a person reads of an error that ends a job, or an arm of a study: one line."""

from pathlib import Path

from core.engine import files, memory
from core.engine.spec import BadInput


def explain_failure(error: BaseException, root: Path) -> str:
    """One line; `root` is the cache folder, which is named where the disk is at fault."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, BadInput):
        return str(error)
    if memory.is_out_of_memory(error):
        return f"the memory was not enough ({first:.120}); lower `batch_size` or take a smaller backbone, then resume"
    if files.is_disk_full(error):
        return str(files.disk_full_error(root))
    if files.is_access_denied(error) and isinstance(error, OSError):
        return f"{error.filename or root} may not be read or written ({error.strerror}); change that or choose another"
    return f"{type(error).__name__}: {first}"
