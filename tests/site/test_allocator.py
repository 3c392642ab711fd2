"""The web process has one heap for all of its threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Each thread holds a text too large for Python's own allocator while glibc writes down its heaps.
COUNT = """
import ctypes, sys, threading
from dockerfw_site.allocator import return_memory
if sys.argv[2] == "one":
    return_memory()
together = threading.Barrier(5)
def hold():
    held = [bytes(1000 + size) for size in range(100)]
    together.wait(60)
    together.wait(60)
threads = [threading.Thread(target=hold) for _ in range(4)]
for thread in threads:
    thread.start()
together.wait(60)
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
together.wait(60)
"""


def heaps(folder: Path, how: str) -> int:
    """Return how many heaps a process with four threads has."""
    file = folder / how
    subprocess.run([sys.executable, "-c", COUNT, str(file), how], check=True, timeout=120)
    return file.read_text().count("<heap ")


def test_threads_share_a_heap(tmp_path: Path) -> None:
    assert heaps(tmp_path, "many") > 1
    assert heaps(tmp_path, "one") == 1
