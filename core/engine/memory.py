"""Memory settings of the C library, and free memory. A training allocates the same arrays at every step."""

import ctypes
import gc
import platform
import sys

import psutil

# glibc's parameters (malloc.h): free memory at the top of the heap that is returned to the system, extra memory per
# request, and the size from which an array is mapped separately (32 MiB at most).
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
MALLOC_SETTINGS = {TRIM_THRESHOLD: 1 << 30, TOP_PAD: 64 << 20, MMAP_THRESHOLD: 32 << 20}


def keep_freed_memory() -> bool:
    """Keep freed memory for the next step instead of returning it to the system and faulting it in page by page.

    A training step of `molsway-mini` faulted in ten thousand pages, a tenth of its time. Returns False and changes
    nothing where the C library is not glibc.
    """
    return _glibc() and all(ctypes.CDLL(None).mallopt(name, value) for name, value in MALLOC_SETTINGS.items())


def release_memory() -> None:
    """Return unused memory to the system and to the accelerator."""
    gc.collect()
    if _glibc():
        ctypes.CDLL(None).malloc_trim(0)
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_bytes(device: str = "cpu") -> int:
    """Free bytes of the machine, or of the accelerator `device`."""
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any library means out of memory."""
    first = (str(error).strip() or " ").splitlines()[0]
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or "allocate memory" in first or "out of memory" in first.lower()


def _glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
