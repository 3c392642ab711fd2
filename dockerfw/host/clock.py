"""The clocks of this host: one for deadlines, one for the times that admins read.

Deadlines use CLOCK_BOOTTIME, which continues while the host is suspended and cannot be set, together with the
id of the boot that it counts from. The wall clock is only for messages.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime() -> float:
    """Return the seconds since the host was booted, including the time that it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return the kernel's id of this boot. Raises OSError."""
    return _BOOT_ID.read_text().strip()


def utc_now(*, ahead: float = 0.0) -> str:
    """Return the time `ahead` seconds from now by the wall clock, in the format of the messages."""
    return (datetime.now(UTC) + timedelta(seconds=ahead)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
