"""A root worker's report about itself beside each snapshot: its version, its clock, the space it has left.

This is a message of its own because the dashboard of release 0.1.0 refuses a snapshot with an unknown key.
Unknown keys are ignored here, so that later releases can add some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from dockerfw.messages.codec import Absent, Message
from dockerfw.messages.shapes import BootId, HostName, Seconds, Text, Time, Whole
from dockerfw.messages.space import Space

MAX_BYTES: Final = 64 * 1024
ABOUT_FILE: Final = "about.json"
"""The file in the state directory with the report that the root worker made when it started."""


def about_key(host: str) -> str:
    """Return the Redis key of the report; the users of release 0.1.0 may use it, and no apply has it."""
    return f"dockerfw:progress:{host}:about"


@dataclass(frozen=True, slots=True)
class About(Message):
    """What the root worker of `host` reported at `at`, just before it stored the snapshot of that time.

    `boot` is the id of the host's boot and `offset` the wall clock less CLOCK_BOOTTIME, in seconds, when the
    root worker started. `state` is the space of its state directory, None when it is unknown. `signer` is the
    fingerprint of the key whose orders it carries out, empty without one.
    """

    FORMAT: ClassVar = "dockerfw-about/1"
    IGNORES_UNKNOWN_KEYS: ClassVar = True

    host: HostName
    at: Time
    version: Annotated[str, Text(64)]
    boot: BootId
    offset: Seconds
    every: Annotated[int, Whole(most=86_400)]
    state: Space | None
    signer: Annotated[str, Text(64), Absent.ALLOWED] = ""
