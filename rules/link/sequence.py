"""The numbers of the messages to a host's root worker, which only rise."""

from __future__ import annotations

import time

from dockerfw.messages.orders import seconds_ahead
from rules.models import Host


def sequence_next(host: Host) -> int:
    """Count on and return the number of the next message to the host's root worker; `host` is locked."""
    # Milliseconds keep the number rising even when the database is restored from an old copy. The host
    # refuses one far ahead of the clock, so after the clock was set back the number is not counted on.
    now = time.time_ns() // 1_000_000
    host.sequence = now if seconds_ahead(host.sequence + 1, now / 1000) else max(host.sequence + 1, now)
    host.save(update_fields=["sequence"])
    return host.sequence
