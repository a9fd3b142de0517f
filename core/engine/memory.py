"""How the C library keeps freed memory: a training allocates the same arrays at every step."""

import ctypes
import gc
import platform
import sys

import psutil

# glibc's numbers (malloc.h): how much free memory at the top of the heap goes back to the system, how much more than is
# asked for it takes, and from which size on an array is mapped by itself (32 MiB is the most that it takes).
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
MALLOC_SETTINGS = {TRIM_THRESHOLD: 1 << 30, TOP_PAD: 64 << 20, MMAP_THRESHOLD: 32 << 20}


def keep_freed_memory() -> bool:
    """Have freed memory kept for the next step instead of given back and asked for again, page by page.

    A training step of `molsway-mini` asked for ten thousand pages, which took a tenth of its time. False where the C
    library is not glibc: nothing is changed then.
    """
    return _glibc() and all(ctypes.CDLL(None).mallopt(name, value) for name, value in MALLOC_SETTINGS.items())


def release_memory() -> None:
    """Give back what nobody holds any more: to the system, and on the accelerator."""
    gc.collect()
    if _glibc():
        ctypes.CDLL(None).malloc_trim(0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_bytes(device: str = "cpu") -> int:
    """Bytes that nobody holds: of the machine, or of the accelerator that `device` names."""
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, of whichever library, says that memory was not enough."""
    first = (str(error).strip() or " ").splitlines()[0]
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "allocate memory" in first or "out of memory" in first.lower()


def _glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
