"""How the web process gives memory back to the system: at once, and from one heap."""

from __future__ import annotations

import ctypes
from typing import Final

# Of malloc.h in glibc.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
_BYTES: Final = 128 * 1024


def return_memory() -> None:
    """Let freed memory go back to the system, before there are threads.

    glibc gives each thread a heap of its own, and keeps up to 64 MB of each once large texts were freed. The
    threads of one Python process seldom allocate at the same time. Another C library has no such function.
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is None:
        return
    tune(_ARENA_MAX, 1)
    tune(_TRIM_THRESHOLD, _BYTES)
    tune(_MMAP_THRESHOLD, _BYTES)
