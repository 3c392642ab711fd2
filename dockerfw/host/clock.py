"""The clocks of this host: one that deadlines count by, one that people read.

Deadlines use CLOCK_BOOTTIME, which goes on while the host is suspended and which nobody can set, together
with the id of the boot that it counts from. The wall clock is for messages only.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime() -> float:
    """Return the seconds since the host was booted, suspended ones included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return the id that the kernel gave to this boot. Raises OSError."""
    return _BOOT_ID.read_text().strip()


def utc_now(*, ahead: float = 0.0) -> str:
    """Return the wall clock's time, `ahead` seconds from now, as the messages carry it."""
    return (datetime.now(UTC) + timedelta(seconds=ahead)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
