"""A root worker's report about itself beside each snapshot: its version, its clock, the space it has left.

This is a message of its own because the dashboard of release 0.1.0 refuses a snapshot with an unknown key.
Unknown keys are ignored here, so that later releases can add some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from dockerfw.messages.codec import Absent, AtMost, Message
from dockerfw.messages.list_orders import MOST_LISTS, BoundList
from dockerfw.messages.shapes import BootId, HostName, OrNull, Seconds, Text, Time, Whole
from dockerfw.messages.space import Space

MAX_BYTES: Final = 256 * 1024
MAX_PROBLEM: Final = 1000
MAX_CHANGE: Final = 200
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
    fingerprint of the key whose orders it carries out, empty without one. `sets_problem` says why the bound
    sets may not hold what the host shows, empty where they do or no revision needs them. `lists` are those of
    the last order about lists that was carried out, and `lists_problem` says why a later one was not.
    `lists_signer` is the fingerprint of the key whose lists it takes. `sets_changed` is when bound sets got
    other members last, empty for never, and `sets_change` says which. The report is stored again before the
    look that follows. `log_group` is the group of the kernel's log to which refused packets go, None where
    the kernel cannot log them. `log_problem` says why that is so, or why the log is not read. A release that
    does not log sends neither.
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
    sets_problem: Annotated[str, Text(MAX_PROBLEM), Absent.ALLOWED] = ""
    lists: Annotated[tuple[BoundList, ...], AtMost(MOST_LISTS), Absent.ALLOWED] = ()
    lists_problem: Annotated[str, Text(MAX_PROBLEM), Absent.ALLOWED] = ""
    lists_signer: Annotated[str, Text(64), Absent.ALLOWED] = ""
    sets_changed: Annotated[Time, Absent.WHEN_EMPTY] = ""
    sets_change: Annotated[str, Text(MAX_CHANGE), Absent.WHEN_EMPTY] = ""
    log_group: Annotated[int | None, OrNull(Whole(1, 65_535)), Absent.ALLOWED] = None
    log_problem: Annotated[str, Text(MAX_PROBLEM), Absent.ALLOWED] = ""
